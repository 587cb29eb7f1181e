"""SIGTERM and Ctrl-C in the middle of an epoch, for real, and what comes of a run that was stopped."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tost_tf.compat import keras, tf
from tost_tf.experiment.run.folder import RunDirectory


def network() -> keras.Model:
    layers = keras.layers
    image = keras.Input((8, 8, 1))
    x = layers.BatchNormalization(name="norm")(layers.Conv2D(4, 3, name="stem")(image))
    x = layers.Conv2D(5, 3, strides=2, name="middle")(layers.ReLU(name="relu1")(x))
    x = layers.Flatten(name="flat")(layers.ReLU(name="relu2")(x))
    return keras.Model(image, layers.Dense(10, name="logits")(x), name="little")


# Stops at a step without real signals are in tests/experiment/stages, signals in tests/experiment/run.
pytestmark = pytest.mark.exhaustive


@pytest.fixture(scope="module", params=["--lr_drop_epochs=1,2", "--optimizer=orthogonal --schedule=cosine"])
def stopped(request, tmp_path_factory) -> tuple[Path, dict, str]:
    folder = tmp_path_factory.mktemp("stopping")
    network().save(folder / "little.keras")
    command = [sys.executable, "-m", "tests.experiment.commands.stop_and_go", str(folder), str(folder / "little.keras")]
    command += request.param.split()
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout), done.stderr


def test_exit_codes_and_the_sentence_that_says_how_to_resume(stopped):
    _, told, errors = stopped
    assert told["codes"] == [0, 143, 130, 0]
    (first,), (second,) = told["steps"]  # the checkpoint within an epoch before is gone
    assert first.startswith("step-0-") and second.startswith("step-2-")
    steps = [int(name.rpartition("-")[2]) for name in (first, second)]
    assert 50 <= steps[0] < 150 and 30 <= steps[1] < 150
    sentences = re.findall(r"tost-train: (stopped by .*)", errors)
    assert sentences == [
        f"stopped by {name} after step {step} of epoch {epoch}; the same command resumes from there"
        for name, step, epoch in zip(("SIGTERM", "SIGINT"), steps, (1, 3), strict=True)
    ]
    for step, epoch in zip(steps, (1, 3), strict=True):
        assert f"resuming after step {step} of epoch {epoch}" in errors


def test_end_result_is_that_of_a_run_never_stopped_to_the_last_bit(stopped):
    folder, _, _ = stopped
    mine, theirs = folder / "stopped", folder / "undisturbed"
    readers = [tf.train.load_checkpoint(str(run / "checkpoints/epoch-3")) for run in (mine, theirs)]
    names = set(readers[0].get_variable_to_shape_map())
    assert names == set(readers[1].get_variable_to_shape_map()) and len(names) > 20
    for name in names:
        np.testing.assert_array_equal(readers[0].get_tensor(name), readers[1].get_tensor(name), err_msg=name)
    weights = [tf.saved_model.load(str(run / "export/saved_model")).network_variables for run in (mine, theirs)]
    assert all(np.array_equal(one, other) for one, other in zip(*weights, strict=True))
    rows = [RunDirectory(run).read_metrics() for run in (mine, theirs)]
    assert [{**row, "seconds": 0} for row in rows[0]] == [{**row, "seconds": 0} for row in rows[1]]
    assert all(row["seconds"] > 0 for row in rows[0])
    flows = [(run / "analysis/gradient_flow.csv").read_text() for run in (mine, theirs)]
    assert flows[0] == flows[1] and len(flows[0].splitlines()) == 46
    assert not list((mine / "checkpoints").glob("step-*"))
