"""Whole runs on several devices and in several processes, through the command line, against one device."""

import json
import re
import signal
import socket
import time
from pathlib import Path

import numpy as np
import pytest

import tost_tf as tost
from tests.experiment.commands.conftest import start_warm
from tost_tf.compat import keras
from tost_tf.experiment.commands import train
from tost_tf.experiment.commands.command import run_command
from tost_tf.experiment.run.folder import RunDirectory

EPOCHS = 3
BUILD_NOTES = Path(__file__).parents[3] / "BUILD.md"


@pytest.fixture(scope="module")
def flags(tmp_path_factory) -> tuple[str, ...]:
    """Flags of a run of 3 epochs of 5 steps, the last of 21 images, which two devices cannot share evenly.

    The network has no BatchNormalization, which sees other batches on two devices than on one.
    """
    layers = keras.layers
    image = keras.Input((8, 8, 1))
    x = layers.ReLU(name="relu1")(layers.Conv2D(6, 3, name="stem")(image))
    x = layers.ReLU(name="relu2")(layers.Conv2D(7, 3, strides=2, name="middle")(x))
    model = keras.Model(image, layers.Dense(10, name="logits")(layers.Flatten(name="flat")(x)), name="plain")
    path = tmp_path_factory.mktemp("model") / "plain.keras"
    model.save(path)
    data = ("--dataset=digits", "--train_examples=121", "--batch_size=25")
    recipe = ("--ghost_skips=none", "--rescale_init", "--rescale_steps=2", f"--epochs={EPOCHS}", "--lr_drop_epochs=1,2")
    return (*data, *recipe, f"--model={path}", "--mask=snip", "--mask_examples_per_class=2", "--sparsity=0.7")


@pytest.fixture(scope="module")
def on_one_device(flags, tmp_path_factory):
    folder = tmp_path_factory.mktemp("one") / "run"
    assert run_command("tost-train", train.main, [*flags, f"--run_dir={folder}"]) == 0
    return folder


def require_equal(run, expected):
    """Losses to 1e-4, final weights to 1e-3, masks and what ghosts did exactly."""
    for name in ("mask.npz", "rescaled_weights.npz"):  # computed once, whatever the devices
        mine, theirs = np.load(run / name), np.load(expected / name)
        assert all(np.array_equal(mine[key], theirs[key]) for key in theirs.files)
    mine, theirs = RunDirectory(run).read_metrics(), RunDirectory(expected).read_metrics()
    assert len(mine) == len(theirs) == EPOCHS
    np.testing.assert_allclose([row["loss"] for row in mine], [row["loss"] for row in theirs], atol=1e-4)
    np.testing.assert_allclose([row["val_loss"] for row in mine], [row["val_loss"] for row in theirs], atol=1e-4)
    for name in ("learning_rate", "alpha", "beta", "sparsity"):
        assert [row[name] for row in mine] == [row[name] for row in theirs]
    for one, other in zip(exported(run), exported(expected), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)
        np.testing.assert_array_equal(one == 0, other == 0)
    results = [json.loads((folder / "result.json").read_text()) for folder in (run, expected)]
    assert results[0]["best_epoch"] == results[1]["best_epoch"]
    assert results[0]["test_loss"] == pytest.approx(results[1]["test_loss"], abs=1e-3)


def exported(run) -> list[np.ndarray]:
    from tost_tf.compat import tf

    return [variable.numpy() for variable in tf.saved_model.load(str(run / "export/saved_model")).network_variables]


# What two devices compute is compared with one in tests/experiment/run, in one process.
@pytest.mark.exhaustive
def test_run_on_two_virtual_devices_is_as_on_one(flags, on_one_device, tost_train, tmp_path):
    code, output, errors = tost_train(*flags, "--virtual_devices=2", f"--run_dir={tmp_path}/run")
    assert code == 0, errors
    assert "training on 2 devices" in output
    require_equal(tmp_path / "run", on_one_device)
    losses = [row["loss"] for row in RunDirectory(on_one_device).read_metrics()]
    assert losses[-1] < 0.8 * losses[0]  # it learns
    masks = tost.Masks.load(tmp_path / "run/mask.npz")
    kernels = [weight for weight in exported(tmp_path / "run") if weight.ndim > 1]
    assert [np.count_nonzero(kernel) for kernel in kernels] == [mask.sum() for mask in masks.values()]


@pytest.fixture
def two_workers(flags, tmp_path):
    """Starts the two processes of the example in BUILD.md, on this machine: gives (chief, other worker)."""
    configs = re.findall(r"TF_CONFIG='(.*)'", BUILD_NOTES.read_text())
    assert len(configs) == 2
    started = []

    def launch(run):
        with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
            ports = [one.getsockname()[1], other.getsockname()[1]]
        for config in configs:
            for index, port in enumerate(ports):
                config = config.replace(f"HOST{index}:12345", f"127.0.0.1:{port}")
            variables = {"TF_CONFIG": config, "TMPDIR": str(tmp_path / f"scratch{len(started)}")}
            Path(variables["TMPDIR"]).mkdir()
            run_flags = ("--distribution=multi_worker", "--worker_timeout=60", f"--run_dir={run}")
            started.append(start_warm(*flags, *run_flags, **variables))
        return started[-2:]

    yield launch
    for process in started:
        process.kill()
        process.communicate()


def kill_one(chief, other, metrics: Path) -> None:
    """Kills the worker that is not the chief in the middle of the training; the chief must say so and end."""
    while not (metrics.exists() and len(metrics.read_text().splitlines()) > EPOCHS // 3):
        assert chief.poll() is None and other.poll() is None
        time.sleep(0.05)
    other.send_signal(signal.SIGKILL)
    killed = time.monotonic()
    _, errors = chief.communicate(timeout=60)
    assert chief.returncode == 2 and time.monotonic() - killed < 60
    said = re.search(r"tost-train: error: worker 1 \(127.0.0.1:\d+\) is gone or does not answer.*", errors)
    assert said and "the run resumes from its last checkpoint" in said[0], errors
    assert not metrics.with_name("result.json").exists()


@pytest.mark.parametrize("killed", [False, pytest.param(True, marks=pytest.mark.exhaustive)])
def test_two_workers_are_as_one_device(two_workers, on_one_device, tmp_path, killed):
    run = tmp_path / "run"
    if killed:
        kill_one(*two_workers(run), run / "metrics.csv")
    chief, other = two_workers(run)
    (output, errors), (_, other_errors) = chief.communicate(timeout=120), other.communicate(timeout=120)
    assert (chief.returncode, other.returncode) == (0, 0), errors + other_errors
    assert "training on 2 devices" in output
    assert bool(re.search(rf"resuming after epoch \d+ of {EPOCHS}", output)) == killed
    require_equal(run, on_one_device)
    scratch = f"scratch{3 if killed else 1}"
    assert not list((tmp_path / scratch).glob("tost_worker_*"))  # what the worker that is not the chief wrote
