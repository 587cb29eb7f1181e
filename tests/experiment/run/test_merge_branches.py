"""Runs whose branches are merged: the same wherever they are stopped, and what they say and refuse."""

import contextlib
import io
import re
from pathlib import Path

import numpy as np
import pytest

import tost_tf as tost
from tost_tf.compat import keras, tf
from tost_tf.errors import TostError
from tost_tf.experiment.options import RunConfig
from tost_tf.experiment.run.folder import RunDirectory
from tost_tf.experiment.run.merge_branches import MergeBranches
from tost_tf.ghost.merge import retire

# Three steps an epoch: branches are there for six.
OPTIONS = {
    **{"dataset": "digits", "train_examples": 60, "batch_size": 24, "epochs": 4, "lr_drop_epochs": (2, 3)},
    **{"mask": "erk", "sparsity": 0.5, "recipe": "default", "deterministic": True, "learning_rate": 0.02},
    **{"ghost_branches": 2, "ghost_neurons": "pswish", "weight_average": 0.8},
}


@pytest.fixture(scope="module")
def said(network, tmp_path_factory) -> tuple[Path, str]:
    """A run that nothing stopped, and what it printed."""
    folder, printed = tmp_path_factory.mktemp("branches") / "run", io.StringIO()
    with contextlib.redirect_stdout(printed):
        tost.launch(RunConfig.make(model=network, **OPTIONS, run_dir=str(folder)))
    return folder, printed.getvalue()


@pytest.fixture(scope="module")
def undisturbed(said) -> Path:
    return said[0]


def state(run: Path) -> dict[str, np.ndarray]:
    reader = tf.train.load_checkpoint(str(run / "checkpoints/epoch-4"))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def require_same(run: Path, undisturbed: Path) -> None:
    mine, theirs = state(run), state(undisturbed)
    assert mine.keys() == theirs.keys() and any("/merged/" in name for name in mine)
    for name, value in mine.items():
        np.testing.assert_array_equal(value, theirs[name], err_msg=name)
    for one, other in zip(RunDirectory(run).read_metrics(), RunDirectory(undisturbed).read_metrics(), strict=True):
        assert one | {"seconds": 0} == other | {"seconds": 0}


@pytest.mark.exhaustive
@pytest.mark.parametrize(("step", "where"), [(5, "step 2 of epoch 2"), (6, "epoch 2"), (10, "step 1 of epoch 4")])
def test_stopped_run_ends_as_one_that_was_not(network, undisturbed, tmp_path, stopped_after, step, where):
    config = RunConfig.make(model=network, **OPTIONS, run_dir=str(tmp_path / "run"))
    assert stopped_after(config, step) == where
    assert stopped_after(config, 12 - step) == "epoch 4"
    require_same(tmp_path / "run", undisturbed)


class Killed(BaseException):
    """As if the process ended in the middle."""


def test_killed_while_it_merges_and_stopped_after_it(network, undisturbed, tmp_path, monkeypatch, stopped_after):
    config = RunConfig.make(model=network, **OPTIONS, run_dir=str(tmp_path / "run"))
    done = []

    def killing(layer):
        if done:
            raise Killed
        done.append(layer)
        retire(layer)

    with monkeypatch.context() as patch:
        patch.setattr("tost_tf.ghost.merge.retire", killing)
        with pytest.raises(Killed):
            tost.launch(config)
    assert done
    assert stopped_after(config, 1) == "step 1 of epoch 3"
    assert stopped_after(config, 5) == "epoch 4"  # the last: what comes after it is not compared
    require_same(tmp_path / "run", undisturbed)


def test_it_says_so_and_exports_the_network_alone(said):
    folder, printed = said
    result = RunDirectory(folder).read_result()
    pattern = r"merged the 2 branches of 2 layers: validation loss (\S+) before, (\S+) with statistics .*, (\S+) after"
    (losses,) = re.findall(pattern, printed)
    before, up_to_date, after = map(float, losses)
    assert up_to_date == pytest.approx(after, abs=0.02)  # PSwish with β near 20 became ReLU
    assert before == pytest.approx(RunDirectory(folder).read_metrics()[1]["val_loss"], abs=0.2)  # of the average there
    names = {variable.name for variable in tf.saved_model.load(str(folder / "export/saved_model")).network_variables}
    assert not any("branch" in name for name in names) and len(names) == 2 * 3 + 2 * 4
    assert result["best_epoch"] > 2 and result["sparsity"] == pytest.approx(0.5, abs=0.01)
    plain_losses = [row["plain_loss"] for row in RunDirectory(folder).read_metrics()]
    assert [loss is not None for loss in plain_losses] == [True, True, False, False]


def test_losses_are_printed_by_one_worker_alone(small_images, small_model, capsys):
    sparse = tost.sparsify(small_model, sparsity=0.3)
    for prints in (True, False):
        model = tost.GhostModel(sparse, "none", "none", branches=3)
        batches = tf.data.Dataset.from_tensor_slices(small_images).batch(8)
        callback = MergeBranches(2, batches, batches, prints)
        callback.set_model(model)
        callback.on_epoch_begin(1)
        assert model.unmerged_branches()
        callback.on_epoch_begin(2)
        assert not model.unmerged_branches()
        callback.on_epoch_begin(3)
        assert capsys.readouterr().out.count("merged the 3 branches of 2 layers") == prints


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ghost_branches": 0}, "--ghost_branches is 0, it must be at least 1 and at most 16"),
        ({"ghost_branches": 17}, "--ghost_branches is 17, it must be at least 1 and at most 16"),
        ({"ghost_branches": 2, "ghost_end_epoch": -1}, "--ghost_branches=2 are merged when the ghosts end, .*-1 keeps"),
        (
            {"ghost_branches": 2, "dynamic": "rigl"},
            "--dynamic=rigl changes a mask that all of --ghost_b",
        ),
        ({"ghost_branches": 2, "ghost_schedule": "cosine"}, "--ghost_schedule=cosine has no effect"),
        ({"ghost_branches": 2, "epochs": 1}, "--epochs=1 leaves no epoch after the ghosts"),
    ],
)
def test_options_that_cannot_go_together(options, message):
    with pytest.raises(TostError, match=message):
        RunConfig.make(**{"dataset": "digits", "recipe": "default", "epochs": 4} | options)


def test_branches_alone_end_at_the_first_drop():
    config = RunConfig.make(dataset="digits", recipe="default", epochs=20, ghost_branches=2)
    assert config.recipe.ghost_end_epoch == config.recipe.passing_ghost_epochs == 10
    assert config.recipe_label == "default ghost_branches=2"
    assert RunConfig.make(dataset="digits", ghost_branches=2, ghost_end_epoch=3).recipe.has_ghosts


def test_a_network_without_normalisation_is_refused_before_anything_long(tmp_path):
    image = keras.Input((8, 8, 1))
    x = keras.layers.Flatten()(keras.layers.ReLU()(keras.layers.Conv2D(3, 3)(image)))
    keras.Model(image, keras.layers.Dense(10)(x), name="bare").save(tmp_path / "bare.keras")
    config = RunConfig.make(**OPTIONS, model=str(tmp_path / "bare.keras"), run_dir=str(tmp_path / "run"))
    with pytest.raises(TostError, match="--ghost_branches=2 needs a convolution or Dense layer .* bare has none"):
        tost.launch(config)
    assert not (tmp_path / "run/mask.npz").exists()
