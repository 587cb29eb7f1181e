"""Runs that train without dead channels: as runs that train with them, and the same wherever they are stopped."""

import contextlib
import io
import json
from pathlib import Path

import numpy as np
import pytest

import tost_tf as tost
from tests.exhaustive import exhaustive
from tost_tf.compat import tf
from tost_tf.errors import TostError
from tost_tf.experiment.options import RunConfig
from tost_tf.experiment.run.folder import RunDirectory
from tost_tf.experiment.stages.load_run import load_run

# Three steps an epoch; the first epoch has ghosts.
OPTIONS = {
    **{"dataset": "digits", "train_examples": 60, "batch_size": 24, "epochs": 3, "lr_drop_epochs": (1, 2)},
    **{
        "mask": "magnitude",
        "mask_pattern": "channels",
        "sparsity": 0.5,
        "mask_scope": "layer",
        "recipe": "default",
        "deterministic": True,
    },
    **{"ghost_neurons": "pswish", "weight_average": 0.8, "learning_rate": 0.02},
}


def launched(network: str, folder: Path, **more) -> tuple[Path, str]:
    """A run, and what it printed."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        tost.launch(RunConfig.make(model=network, **(OPTIONS | more), run_dir=str(folder)))
    return folder, printed.getvalue()


@pytest.fixture(scope="module")
def compact(network, tmp_path_factory) -> tuple[Path, str]:
    return launched(network, tmp_path_factory.mktemp("compact") / "run", compact_training=True)


@pytest.fixture(scope="module")
def ordinary(network, tmp_path_factory) -> tuple[Path, str]:
    return launched(network, tmp_path_factory.mktemp("ordinary") / "run")


def state(run: Path) -> dict[str, np.ndarray]:
    reader = tf.train.load_checkpoint(str(run / "checkpoints/epoch-3"))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def test_everything_is_that_of_the_original_architecture(compact, ordinary):
    (mine, printed), (theirs, other) = compact, ordinary
    line = "training without dead channels: 24 channels to 21, 3 layers to 3, 8,064 MACs to 4,392 (54.5%)\n"
    assert printed.count(line) == 1 and line not in other
    assert printed.index("1 of 3 epochs") < printed.index(line) < printed.index("2 of 3 epochs")
    found, expected = state(mine), state(theirs)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert np.shape(found[name]) == np.shape(value)
        # Statistics of removed channels stay as they were, and so do their averages.
        if np.asarray(value).dtype.kind == "f" and "moving" not in name and not name.startswith("average/"):
            np.testing.assert_allclose(found[name], value, atol=1e-4, err_msg=name)
    for one, same in zip(RunDirectory(mine).read_metrics(), RunDirectory(theirs).read_metrics(), strict=True):
        assert one.keys() == same.keys()
        for name in one.keys() - {"seconds", "plain_loss"}:
            assert one[name] == pytest.approx(same[name], abs=1e-4), name
    one, same = (json.loads((run / "result.json").read_text()) for run in (mine, theirs))
    assert one.keys() == same.keys()
    for name in ("test_accuracy", "best_epoch", "sparsity", "layer_sparsity", "parameters", "macs"):
        assert one[name] == pytest.approx(same[name], abs=1e-6)
    assert one["mask_pattern"] == same["mask_pattern"] == "channels"
    names = [sorted(variable.name for variable in exported(run).network_variables) for run in (mine, theirs)]
    assert names[0] == names[1]


def test_a_run_keeps_its_channels(ordinary):
    run, _ = ordinary
    masks, result = tost.Masks.load(run / "mask.npz"), RunDirectory(run).read_result()
    assert masks.pattern == result["mask_pattern"] == "channels"
    assert result["sparsity"] == pytest.approx(masks.sparsity) == pytest.approx(0.5, abs=0.05)
    kept = masks["stem/kernel"].any(axis=(0, 1, 2))
    assert 0 < kept.sum() < len(kept)
    np.testing.assert_array_equal(masks["middle/kernel"].any(axis=(0, 1, 3)), kept)


def exported(run: Path) -> tf.Module:
    return tf.saved_model.load(str(run / "export/saved_model"))


def test_a_run_in_memory_has_all_channels(compact, ordinary):
    mine, theirs = (load_run(run).model.plain for run in (compact[0], ordinary[0]))
    assert [weight.shape for weight in mine.weights] == [weight.shape for weight in theirs.weights]


@pytest.mark.parametrize(
    ("step", "where"),
    [
        (5, "step 2 of epoch 2"),
        exhaustive(3, "epoch 1"),
        exhaustive(6, "epoch 2"),
    ],
)
def test_stopped_run_ends_as_one_that_was_not(network, compact, tmp_path, stopped_after, step, where):
    config = RunConfig.make(model=network, **OPTIONS, compact_training=True, run_dir=str(tmp_path / "run"))
    assert stopped_after(config, step) == where
    assert stopped_after(config, 9 - step) == "epoch 3"  # the last: what comes after it is not compared
    mine, theirs = state(tmp_path / "run"), state(compact[0])
    assert mine.keys() == theirs.keys()
    for name, value in mine.items():
        np.testing.assert_array_equal(value, theirs[name], err_msg=name)
    for one, other in zip(*(RunDirectory(run).read_metrics() for run in (tmp_path / "run", compact[0])), strict=True):
        assert one | {"seconds": 0} == other | {"seconds": 0}


@pytest.mark.exhaustive
def test_a_run_may_go_on_without_dead_channels(network, ordinary, tmp_path, stopped_after):
    config = RunConfig.make(model=network, **OPTIONS, run_dir=str(tmp_path / "run"))
    assert stopped_after(config, 5) == "step 2 of epoch 2"
    _, printed = launched(network, tmp_path / "run", compact_training=True)
    assert "training without dead channels" in printed
    last = [RunDirectory(run).read_metrics()[-1]["val_loss"] for run in (tmp_path / "run", ordinary[0])]
    assert last[0] == pytest.approx(last[1], abs=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mask": "none", "sparsity": 0.95}, "--compact_training=True has no effect with --mask=none"),
        (
            {"ghost_neurons": "pswish", "ghost_end_epoch": -1},
            "--compact_training=True has no effect with --ghost_end_epoch=-1",
        ),
        ({"dynamic": "rigl"}, "--dynamic=rigl changes the mask, so that they may come alive: leave one out"),
        ({"superpose": "cima"}, "in the cycles of --superpose=cima weights grow, .* or give --cycle_growth=none"),
    ],
)
def test_masks_that_change_are_refused(options, message):
    with pytest.raises(TostError, match=message):
        RunConfig.make(**{"dataset": "digits", "recipe": "default", "epochs": 100, "compact_training": True} | options)


def test_cycles_that_keep_the_mask_are_fine():
    options = {"superpose": "cima", "cycle_growth": "none", "epochs": 100, "compact_training": True}
    assert RunConfig.make(dataset="digits", recipe="default", **options).machine.compact_training
