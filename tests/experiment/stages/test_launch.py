"""Whole runs, and what their folders hold."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import tost_tf as tost
from tost_tf.compat import keras, keras3, tf
from tost_tf.data.digits import load_digits
from tost_tf.data.images import ImageData
from tost_tf.data.options import DataConfig
from tost_tf.data.pipeline import normalise
from tost_tf.errors import TostError
from tost_tf.experiment.options import RunConfig
from tost_tf.experiment.run.folder import RunDirectory
from tost_tf.experiment.run.rows import read_rows
from tost_tf.experiment.stages.train_teacher import teacher_config
from tost_tf.graph.weights import save_weights
from tost_tf.registry import RATE_SCHEDULES

SMALL = {
    "dataset": "digits",
    "train_examples": 60,
    "batch_size": 24,  # 3 steps in an epoch
    "mask": "erk",
    "sparsity": 0.5,
    "epochs": 3,
    "lr_drop_epochs": (1, 2),
    "rescale_init": False,
}
SHORT = SMALL | {"epochs": 1, "lr_drop_epochs": (), "recipe": "default"}  # one graph of a step is traced
STILL = {"learning_rate": 1e-30, "weight_decay": 0.0}  # a step changes no weight


@pytest.fixture(scope="module")
def digits() -> ImageData:
    return load_digits(DataConfig(dataset="digits"))


@pytest.fixture(scope="module")
def restless(network):
    """Options of a run whose last epoch of four, of far too large steps, makes everything worse."""
    with RATE_SCHEDULES.temporarily("restless", lambda progress: 1.0 if progress < 0.7 else 300.0):
        options = {name: value for name, value in SMALL.items() if name != "lr_drop_epochs"}
        options |= {"schedule": "restless", "epochs": 4, "recipe": "default"}
        yield RunConfig.make(model=network, **options)


@pytest.fixture(scope="module")
def finished(restless, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("finished") / "run"
    tost.launch(in_folder(restless, folder))
    return folder


def test_a_finished_run_says_that_it_measures_nothing_new(restless, finished, caplog):
    before = (finished / "result.json").read_bytes()
    config = RunConfig.make(**(in_folder(restless, finished).options() | {"hessian_every": 2}))
    tost.launch(config)
    assert "is finished, so --hessian_every=2 measures nothing: choose another --run_dir" in caplog.text
    assert (finished / "result.json").read_bytes() == before


def test_a_teacher_is_trained_with_all_channels():
    config = RunConfig.make(teacher="train", mask="snip", recipe="default", compact_training=True)
    assert not teacher_config(config).machine.compact_training


def in_folder(config: RunConfig, folder: Path) -> RunConfig:
    return RunConfig.make(**(config.options() | {"run_dir": str(folder)}))


def exported(run: Path) -> dict[str, np.ndarray]:
    """The weights of the exported network by their names."""
    variables = tf.saved_model.load(str(run / "export/saved_model")).network_variables
    return {variable.name.removesuffix(":0"): variable.numpy() for variable in variables}


def score(logits: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Accuracy and mean cross-entropy, computed in float64."""
    logits = np.asarray(logits, np.float64)
    logits -= logits.max(axis=1, keepdims=True)
    losses = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(labels)), labels]
    return float(np.mean(logits.argmax(axis=1) == labels)), float(losses.mean())


def score_of_the_export(run: Path, data: ImageData) -> tuple[float, float]:
    serve = tf.saved_model.load(str(run / "export/saved_model")).signatures["serving_default"]
    return score(serve(image=tf.constant(data.test.images, tf.float32))["logits"].numpy(), data.test.labels)


def test_best_weights_are_exported_and_the_last_are_scored_too(finished, network, digits):
    result = json.loads((finished / "result.json").read_text())
    accuracies = [row["val_accuracy"] for row in RunDirectory(finished).read_metrics()]
    assert result["best_epoch"] == np.argmax(accuracies) + 1 < len(accuracies)
    assert result["validation_accuracy"] == pytest.approx(max(accuracies), abs=1e-6)
    accuracy, loss = score_of_the_export(finished, digits)
    assert result["test_accuracy"] == accuracy and result["test_loss"] == pytest.approx(loss, rel=1e-5)

    model = keras.models.load_model(network)
    last = tost.GhostModel(tost.sparsify(model, tost.Masks.load(finished / "mask.npz")), "none", "none")
    checkpoint = tf.train.Checkpoint(model=last)
    checkpoint.read(str(finished / "checkpoints/epoch-4")).assert_nontrivial_match().expect_partial()
    accuracy, _ = score(last(normalise(digits.test.images, digits)).numpy(), digits.test.labels)
    assert result["test_accuracy_last"] == pytest.approx(accuracy, abs=0.006)  # two images of 359
    assert abs(accuracy - result["test_accuracy"]) > 0.02


def test_seed_augmentation_and_batch_size_reach_the_data(tmp_path, stopped_after):
    """The flow of the gradient after the first step says which images that step saw."""
    layers = keras.layers
    model = keras.Sequential([layers.Flatten(input_shape=(8, 8, 1)), layers.Dense(10, name="logits")], name="linear")
    model.save(tmp_path / "linear.keras")
    save_weights(model, tmp_path / "weights.npz")
    tost.masks.random(model, sparsity=0.5, seed=3).save(tmp_path / "mask.npz")
    options = {name: value for name, value in SHORT.items() if name not in ("mask", "sparsity")} | {
        **{"model": str(tmp_path / "linear.keras"), "mask_file": str(tmp_path / "mask.npz")},
        **{"initial_weights": str(tmp_path / "weights.npz"), "gradient_flow_every": 1},
    }
    changes = {"one": {}, "again": {}, "seed": {"seed": 5}, "augmented": {"augment": True}, "batch": {"batch_size": 20}}
    flows = {}
    for name, more in changes.items():
        config = RunConfig.make(**(options | more), run_dir=str(tmp_path / name))
        assert stopped_after(config, 1) == "step 1 of epoch 1"
        (row,) = read_rows(tmp_path / name / "analysis", "gradient_flow")
        flows[name] = row["flow"]
    assert flows["one"] == flows.pop("again") and len(set(flows.values())) == 4


def test_run_in_mixed_precision_is_scored_and_exported_in_float32(network, tmp_path, digits):
    run = tmp_path / "run"
    options = SHORT | {"mixed_precision": "float16", "learning_rate": 0.01}
    result = tost.launch(RunConfig.make(model=network, **options, run_dir=str(run)))
    accuracy, loss = score_of_the_export(run, digits)
    assert result["test_accuracy"] == accuracy and result["test_loss"] == pytest.approx(loss, rel=1e-5)
    assert {weight.dtype for weight in exported(run).values()} == {np.dtype(np.float32)}
    # To 1e-5, as for any run: the SavedModel is compared with what was trained, in float32.
    manifest = json.loads((run / "export/manifest.json").read_text())["saved_model"]
    assert manifest["largest_difference"] <= 1e-5 and manifest["sparsity"] == pytest.approx(0.5, abs=0.01)
    assert keras.mixed_precision.global_policy().name == "float32"


def test_rescaled_initialisation_is_written_drawn_and_trained_from(network, tmp_path, stopped_after):
    run = tmp_path / "run"
    options = SHORT | STILL | {"rescale_init": True, "rescale_steps": 2}
    config = RunConfig.make(model=network, **options, run_dir=str(run))
    stopped_after(config, 1)
    written = (run / "scales.json").read_bytes()
    scales, masks = json.loads(written), tost.Masks.load(run / "mask.npz")
    assert (run / "figures/scales.png").exists() and scales["stem/kernel"] != 1
    tost.launch(config)
    assert (run / "scales.json").read_bytes() == written  # found again
    kernel = keras.models.load_model(network).get_layer("stem").kernel.numpy()
    expected = kernel * masks["stem/kernel"] * np.float32(scales["stem/kernel"])
    np.testing.assert_allclose(exported(run)["stem/kernel"], expected, rtol=1e-6)


def test_non_finite_loss_is_reported_with_the_last_good_checkpoint(network, tmp_path):
    config = RunConfig.make(model=network, **(SHORT | {"learning_rate": 1e30}), run_dir=str(tmp_path / "run"))
    with pytest.raises(
        TostError, match=r"training stopped, the loss is (nan|inf) in epoch 1, step \d: there is no checkpoint"
    ):
        tost.launch(config)
    assert not (tmp_path / "run/metrics.csv").read_text().splitlines()[1:]


def test_finished_run_with_a_damaged_folder_is_finished_again(finished, restless, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    expected = json.loads((run / "result.json").read_text())
    (run / "result.json").write_text("{")
    (run / "mask.json").unlink()
    (run / "metrics.csv").unlink()
    again = tost.launch(in_folder(restless, run))
    for name in ("test_accuracy", "test_accuracy_last", "best_epoch", "sparsity"):
        assert again[name] == expected[name]
    assert json.loads((run / "result.json").read_text()) == again


# The teacher that is trained first is read from its folder, too.
@pytest.mark.exhaustive
def test_student_learns_from_an_earlier_run(network, tmp_path):
    dense = tmp_path / "dense"
    tost.launch(RunConfig.make(model=network, **(SHORT | {"mask": "none"}), run_dir=str(dense)))
    options = SHORT | {"rescale_init": True, "rescale_steps": 2, "distill_weight": 0.3, "distill_temperature": 7.0}
    result = tost.launch(RunConfig.make(model=network, **options, teacher=str(dense), run_dir=str(tmp_path / "run")))
    assert f"teacher={dense}" in result["recipe"] and result["sparsity"] == pytest.approx(0.5, abs=0.01)


def test_a_teacher_may_be_trained_first_as_a_dense_run(network, tmp_path, stopped_after, capsys):
    run = tmp_path / "run"
    options = SHORT | STILL | {"model": network, "teacher": "train", "run_dir": str(run), "seed": 5}
    config = RunConfig.make(**options)
    stopped_after(config, 2)  # in the training of the teacher, which has three steps in an epoch
    assert (run / "teacher/config.flags").exists() and not (run / "mask.npz").exists()
    result = tost.launch(config)
    teacher = json.loads((run / "teacher/result.json").read_text())
    assert (teacher["recipe"], teacher["mask"], teacher["sparsity"], teacher["seed"]) == ("default", "none", 0, 5)
    assert teacher["sparsity_of_all_kernels"] == pytest.approx(teacher["sparsity"]) and teacher["left_dense"] == {}
    assert teacher["macs"] > 0 and teacher["layers_without_macs"] == teacher["collapsed_layers"] == []
    assert result["teacher_seconds"] == teacher["train_seconds"] > 0 and "teacher=train" in result["recipe"]
    assert "training the teacher, the same network without a mask" in capsys.readouterr().out
    with pytest.raises(TostError, match="--teacher=train works in one process"):
        RunConfig.make(**options | {"distribution": "multi_worker"})


def test_model_of_the_user_trains_from_its_weights(tmp_path):
    keras_3 = keras3()
    image = keras_3.Input((8, 8, 1))
    x = keras_3.layers.Conv2D(6, 3, padding="same", activation="relu", name="one")(image)
    x = keras_3.layers.Conv2D(6, 3, activation="relu", name="two")(x)
    outputs = keras_3.layers.Dense(10, activation="softmax", name="top")(keras_3.layers.Flatten()(x))
    model = keras_3.Model(image, outputs, name="mine")
    model.save(tmp_path / "mine.keras")
    options = SHORT | STILL | {"model": str(tmp_path / "mine.keras")}
    result = tost.launch(RunConfig.make(**options, run_dir=str(tmp_path / "run")))
    masks, trained = tost.Masks.load(tmp_path / "run/mask.npz"), exported(tmp_path / "run")
    for weight in model.weights:
        expected = weight.numpy() * masks.get(weight.path, 1)
        np.testing.assert_allclose(trained[weight.path], expected, rtol=1e-6, atol=1e-20)
    assert result["model"].endswith("mine.keras") and result["sparsity"] == pytest.approx(0.5, abs=0.01)
