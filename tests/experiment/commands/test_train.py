"""The whole pipeline through the command line, on real data, killed and resumed."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import tost_tf as tost
from tests.exhaustive import exhaustive
from tests.experiment.commands.conftest import start, start_warm
from tost_tf.compat import tf
from tost_tf.experiment.flags import parse, read_flagfile
from tost_tf.experiment.run.folder import METRICS, RunDirectory

EPOCHS = 5
RESULT_KEYS = """
    test_accuracy validation_accuracy test_accuracy_last test_loss best_epoch sparsity sparsity_of_all_kernels
    left_dense layer_sparsity parameters nonzero_parameters macs nonzero_macs layers_without_macs recipe mask
    mask_pattern model dataset epochs seed train_seconds mask_seconds images_per_second collapsed_layers
    logits_depend_on_input versions
"""


@pytest.fixture(scope="module")
def flags(small_run) -> tuple[str, ...]:
    return (*small_run, f"--epochs={EPOCHS}", "--lr_drop_epochs=3,4")


@pytest.fixture(scope="module")
def finished(flags, tmp_path_factory) -> tuple[Path, str]:
    """An undisturbed run: its folder and what it printed."""
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    process = start(*flags, f"--run_dir={folder}")
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return folder, output


def checkpoint_values(folder: Path, epoch: int) -> dict[str, bytes]:
    reader = tf.train.load_checkpoint(str(folder / f"checkpoints/epoch-{epoch}"))
    return {name: np.asarray(reader.get_tensor(name)).tobytes() for name in reader.get_variable_to_shape_map()}


def saved_weights(folder: Path) -> list[bytes]:
    loaded = tf.saved_model.load(str(folder / "export/saved_model"))
    return [variable.numpy().tobytes() for variable in loaded.network_variables]


def test_run_directory_has_everything(finished):
    folder, _ = finished
    result = json.loads((folder / "result.json").read_text())
    assert list(result) == RESULT_KEYS.split()
    assert (result["epochs"], result["mask"], result["recipe"]) == (EPOCHS, "random", "tost rescale_steps=6")
    assert result["best_epoch"] > 3  # the ghosts are gone after the third
    rows = RunDirectory(folder).read_metrics()
    assert set(rows[0]) == set(METRICS) and [row["epoch"] for row in rows] == [1, 2, 3, 4, 5]
    assert [row["learning_rate"] for row in rows] == pytest.approx([0.1, 0.1, 0.1, 0.01, 0.001])
    # 120 images in batches of 48: 3 steps an epoch, 9 with ghosts; the last steps have progress 2/9, 5/9, 8/9.
    assert [row["alpha"] for row in rows] == pytest.approx([7 / 9, 4 / 9, 1 / 9, 0, 0])
    assert [row["beta"] for row in rows[:3]] == pytest.approx([1 + 19 * step / 9 for step in (2, 5, 8)])
    assert rows[3]["beta"] == float("inf")
    assert (
        all(0 < row["plain_loss"] < 100 for row in rows[:3]) and rows[3]["plain_loss"] is rows[4]["plain_loss"] is None
    )
    for name in ("mask.npz", "config.flags", "figures/learning_curves.png", "figures/sparsity_by_layer.png"):
        assert (folder / name).stat().st_size > 0
    assert list((folder / "tensorboard").rglob("events*"))
    assert not [file for file in folder.rglob(".*") if file.name != ".lock"]  # no temporary file is left


def test_weights_are_exactly_masked_in_checkpoints_and_export(finished):
    folder, _ = finished
    masks = tost.Masks.load(folder / "mask.npz")
    result = json.loads((folder / "result.json").read_text())
    assert result["sparsity"] == pytest.approx(masks.sparsity)
    assert result["layer_sparsity"] == pytest.approx(masks.layer_sparsity)
    assert all(row["sparsity"] == pytest.approx(masks.sparsity) for row in RunDirectory(folder).read_metrics())
    reader = tf.train.load_checkpoint(str(folder / f"checkpoints/epoch-{EPOCHS}"))
    names = [name for name in reader.get_variable_to_shape_map() if re.search(r"/kernel/\.ATTR", name)]
    kernels = [reader.get_tensor(name) for name in names if name.startswith("model/plain/")]
    assert sum(int(np.sum(kernel == 0)) for kernel in kernels) == masks.size - masks.kept
    loaded = tf.saved_model.load(str(folder / "export/saved_model"))
    kernels = [variable.numpy() for variable in loaded.network_variables if "kernel" in variable.name]
    assert sum(int(np.sum(kernel == 0)) for kernel in kernels) == masks.size - masks.kept


# An export is scored in tests/experiment/stages/test_launch.py, and loaded without this project in tests/export.
@pytest.mark.exhaustive
def test_export_scores_as_reported_without_this_project(finished, tmp_path):
    folder, _ = finished
    from tost_tf.data.digits import load_digits
    from tost_tf.data.options import DataConfig

    data = load_digits(DataConfig(dataset="digits"))
    np.savez(tmp_path / "test.npz", images=data.test.images, labels=data.test.labels)
    code = """
import sys, numpy as np, tensorflow as tf
test = np.load(sys.argv[2])
serve = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
logits = serve(image=tf.constant(test["images"], tf.float32))["logits"].numpy()
print(float((logits.argmax(1) == test["labels"]).mean()))
"""
    command = [sys.executable, "-I", "-c", code, str(folder / "export/saved_model"), str(tmp_path / "test.npz")]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert float(printed) == json.loads((folder / "result.json").read_text())["test_accuracy"]


def test_final_report_has_the_important_facts(finished):
    folder, output = finished
    for words in ("test accuracy", "sparsity", "export/saved_model", "figures/learning_curves.png", "next: "):
        assert words in output
    assert f"--run_dir={folder}_default" in output


def reached(run: Path, epoch: int) -> bool:
    """Whether a run has its checkpoint of an epoch; of epoch 0, whether its mask is found."""
    if epoch == 0:
        return (run / "mask.npz").exists()
    state = run / "checkpoints/checkpoint"
    return state.exists() and f'model_checkpoint_path: "epoch-{epoch}"' in state.read_text()


# Killed while ghosts are there; and also while the initialisation is rescaled, in the epoch after the ghosts are gone,
# and after the last epoch, before or in the export.
@pytest.mark.parametrize("epochs", [(2,), exhaustive((0, 2, 4, EPOCHS))], ids=str)
def test_killed_and_resumed_equals_never_killed(flags, finished, tmp_path, epochs):
    folder, _ = finished
    run = tmp_path / "run"
    for epoch in epochs:
        process = start_warm(*flags, f"--run_dir={run}")
        while not reached(run, epoch):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert not (run / "result.json").exists()
    # The last time by the flags that the first run wrote.
    process = start_warm(f"--flagfile={folder}/config.flags", f"--run_dir={run}")
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    # If it was killed after the last epoch, only the end was left.
    assert ("Epoch" not in output) == (epochs[-1] == EPOCHS) and "test accuracy" in output
    assert checkpoint_values(run, EPOCHS) == checkpoint_values(folder, EPOCHS)
    assert saved_weights(run) == saved_weights(folder)
    timing = ("seconds",)
    for mine, expected in zip(RunDirectory(run).read_metrics(), RunDirectory(folder).read_metrics(), strict=True):
        assert {k: v for k, v in mine.items() if k not in timing} == {
            k: v for k, v in expected.items() if k not in timing
        }


def test_resolved_flags_are_those_of_the_run(flags, finished):
    folder, _ = finished
    assert read_flagfile(folder / "config.flags") == parse([*flags, f"--run_dir={folder}"])


def test_finished_run_is_reported_again_and_not_changed(flags, finished, run_here):
    folder, _ = finished
    before = {file: file.stat().st_mtime_ns for file in folder.rglob("*") if file.is_file() and file.name != ".lock"}
    code, output, _ = run_here("tost-train", *flags, f"--run_dir={folder}")
    assert code == 0 and "test accuracy" in output and "Epoch" not in output
    code, _, errors = run_here("tost-train", *flags, "--seed=9", f"--run_dir={folder}")
    assert code == 2 and "--seed was 0, now 9" in errors
    assert before == {file: file.stat().st_mtime_ns for file in before}
