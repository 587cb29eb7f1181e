"""Runs with the tweaks that keep a state: it is theirs after a stop, and what is exported."""

import itertools
from pathlib import Path

import numpy as np
import pytest

import tost_tf as tost
from tost_tf.compat import tf
from tost_tf.experiment.options import RunConfig
from tost_tf.experiment.run.folder import RunDirectory
from tost_tf.registry import OPTIMIZER_TWEAKS
from tost_tf.training.sign_in import SignIn

COMMON = {
    **{"dataset": "digits", "train_examples": 60, "batch_size": 24, "epochs": 3, "lr_drop_epochs": (2,)},
    **{"mask": "erk", "sparsity": 0.5, "recipe": "default", "deterministic": True, "learning_rate": 0.02},
}
OPTIONS = COMMON | {
    **{"ghost_neurons": "pswish", "ghost_dead_channels": "relu", "beta_schedule": "inverse"},
    **{"ghost_skips": "projection", "ghost_skip_gate": "stochastic", "ghost_skip_initializer": "dirac"},
    **{"optimizer_tweak": "s2_sam", "weight_average": 0.8},
}
RIVALS = COMMON | {
    **{"ghost_neurons": "dyrelu", "ghost_schedule": "delayed", "optimizer_tweak": "sign_in"},
    **{"dynamic": "rigl", "update_every": 2},
}


@pytest.fixture(scope="module")
def undisturbed(network, tmp_path_factory) -> Path:
    return launched(network, OPTIONS, tmp_path_factory.mktemp("tweaks") / "run")


def launched(network: str, options: dict, folder: Path) -> Path:
    tost.launch(RunConfig.make(model=network, **options, run_dir=str(folder)))
    return folder


def state(run: Path) -> dict[str, np.ndarray]:
    reader = tf.train.load_checkpoint(str(run / "checkpoints/epoch-3"))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def test_stopped_run_ends_as_one_that_was_not(network, undisturbed, tmp_path, stopped_after):
    require_same_end(
        network, OPTIONS, tmp_path, stopped_after, undisturbed, ("/varies/", "average/averages/", "/step/")
    )


def require_same_end(network, options, tmp_path, stopped_after, undisturbed, state_of_its_own):
    config = RunConfig.make(model=network, **options, run_dir=str(tmp_path / "run"))
    assert stopped_after(config, 5) == "step 2 of epoch 2"
    assert stopped_after(config, 4) == "epoch 3"  # the last: what comes after it is not compared
    mine, theirs = state(tmp_path / "run"), state(undisturbed)
    assert mine.keys() == theirs.keys()
    for kept in state_of_its_own:
        assert any(kept in name for name in mine)
    for name, value in mine.items():
        np.testing.assert_array_equal(value, theirs[name], err_msg=name)


def test_stopped_run_with_rivals_ends_as_one_that_was_not(network, tmp_path, stopped_after):
    """DyReLU fades and is gone, factors are rescaled every four steps and weights grow."""
    with OPTIMIZER_TWEAKS.temporarily("sign_in", SignIn(rescale_every=4)):
        undisturbed = launched(network, RIVALS, tmp_path / "undisturbed")
        require_same_end(network, RIVALS, tmp_path, stopped_after, undisturbed, ("/excitation_biases/",))
    values = state(undisturbed)
    kernel = values["model/plain/layer_with_weights-4/layer/kernel/.ATTRIBUTES/VARIABLE_VALUE"]
    kept = [value for name, value in values.items() if "optimizer" in name and value.shape == kernel.shape]
    assert sum(np.array_equal(one * other, kernel) for one, other in itertools.combinations(kept, 2)) == 1
    exported = tf.saved_model.load(str(undisturbed / "export/saved_model")).network_variables
    assert not any("excitation" in variable.name for variable in exported)
    rows = RunDirectory(undisturbed).read_metrics()
    assert [row["alpha"] for row in rows] == [pytest.approx(1.0), pytest.approx(1 / 3), 0.0]


def test_the_average_is_exported_and_scored(undisturbed):
    """As the last epoch: its accuracy on validation is that of the average in the checkpoint."""
    values = state(undisturbed)
    kernel = "model/plain/layer_with_weights-4/layer/kernel/.ATTRIBUTES/VARIABLE_VALUE"
    averages = [value for name, value in values.items() if name.startswith("average/averages")]
    last = [value for value in averages if value.shape == values[kernel].shape]
    assert last and not any(np.array_equal(value, values[kernel]) for value in last)
    result = RunDirectory(undisturbed).read_result()
    exported = tf.saved_model.load(str(undisturbed / "export/saved_model")).network_variables
    logits = next(variable.numpy() for variable in exported if variable.name.startswith("logits/kernel"))
    if result["best_epoch"] == 3:
        assert any(np.array_equal(logits, value) for value in last)
    assert not np.array_equal(logits, values[kernel])
    row = RunDirectory(undisturbed).read_metrics()[result["best_epoch"] - 1]
    assert result["validation_accuracy"] == pytest.approx(row["val_accuracy"], abs=1e-6)
