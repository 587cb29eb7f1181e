"""Whole runs, by what they leave in their folders."""

import json

import numpy as np
import pytest

import tost_tf as tost
from tost_tf.compat import keras, keras3, tf
from tost_tf.data.load import load
from tost_tf.errors import TostError
from tost_tf.experiment.options import RunConfig
from tost_tf.experiment.run.checkpoints import Checkpoints
from tost_tf.experiment.run.evaluate import evaluate
from tost_tf.experiment.run.folder import RunDirectory
from tost_tf.experiment.run.network import build_model, training_loss
from tost_tf.experiment.run.run import Run
from tost_tf.experiment.stages import find_mask, fit, rescale
from tost_tf.experiment.stages.load_run import load_run
from tost_tf.experiment.stages.stage import RunNetwork

SMALL = {
    "dataset": "digits",
    "train_examples": 60,
    "batch_size": 24,
    "model": "resnet8",
    "width_multiplier": 0.25,
    "mask": "erk",
    "sparsity": 0.5,
    "epochs": 3,
    "lr_drop_epochs": (1, 2),
    "rescale_init": False,
}


def started(config: RunConfig) -> tuple[Run, RunNetwork]:
    """A run and its network, before the first stage."""
    data = load(config.data)
    return Run(config, data, RunDirectory(config.machine.run_dir)), RunNetwork(build_model(config, data))


def own_network(tmp_path) -> dict:
    """Options of a small network of one's own: quicker to trace than one of the zoo."""
    layers = keras.layers
    stack = [layers.Conv2D(4, 3, input_shape=(8, 8, 1)), layers.BatchNormalization(), layers.ReLU(), layers.Flatten()]
    keras.Sequential([*stack, layers.Dense(10)]).save(tmp_path / "mine.keras")
    return SMALL | {"model": str(tmp_path / "mine.keras"), "width_multiplier": 1.0, "learning_rate": 0.01}


def test_best_weights_are_exported_and_scored(tmp_path, monkeypatch):
    save = Checkpoints.save
    monkeypatch.setattr(
        Checkpoints, "save", lambda self, epoch, accuracy, ok: save(self, epoch, {2: 0.9}.get(epoch, 0.1), ok)
    )
    config = RunConfig.make(**SMALL, run_dir=str(tmp_path / "run"))
    result = tost.launch(config)
    assert json.loads((tmp_path / "run/result.json").read_text()) == result
    assert result["best_epoch"] == 2 and load_run(tmp_path / "run").epoch == 2
    data = load(config.data)
    serve = tf.saved_model.load(str(tmp_path / "run/export/saved_model")).signatures["serving_default"]
    logits = serve(image=tf.constant(data.test.images, tf.float32))["logits"].numpy()
    assert result["test_accuracy"] == np.mean(logits.argmax(1) == data.test.labels)
    log_probabilities = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    loss = -np.mean(log_probabilities[np.arange(len(logits)), data.test.labels])
    assert result["test_loss"] == pytest.approx(loss, rel=1e-5)
    validated = RunDirectory(tmp_path / "run").read_metrics()[1]["val_accuracy"]  # of the second epoch
    assert result["validation_accuracy"] == pytest.approx(validated, abs=1e-6)
    # The last weights are others, and are scored too.
    run, network = started(config)
    network.masks = tost.Masks.load(tmp_path / "run/mask.npz")
    fit.read(run, network)
    best = network.fitted.get_weights()
    assert network.checkpoints.restore_latest() == 3
    assert any(np.any(one != other) for one, other in zip(best, network.fitted.get_weights(), strict=True))
    assert result["test_accuracy_last"] == evaluate(network.fitted, data, data.test).accuracy


def test_seed_augmentation_and_batch_size_reach_the_training(tmp_path):
    options = own_network(tmp_path) | {"mask": "none", "recipe": "default", "epochs": 1, "lr_drop_epochs": ()}

    def loss(name, **changed):
        run, network = started(RunConfig.make(**(options | changed), run_dir=str(tmp_path / name)))
        fit.compute(run, network)
        return run.directory.read_metrics()[0]["loss"]

    plain = loss("plain", augment=False)
    assert loss("again", augment=False) == plain
    changes = {"augmented": {"augment": True}, "seed": {"seed": 5}, "batch": {"batch_size": 20}}
    assert all(loss(name, **({"augment": False} | changed)) != plain for name, changed in changes.items())


def test_ghosts_that_are_kept_are_exported(tmp_path):
    result = tost.launch(RunConfig.make(**SMALL, ghost_end_epoch=-1, run_dir=str(tmp_path / "run")))
    manifest = json.loads((tmp_path / "run/export/manifest.json").read_text())["saved_model"]
    assert manifest["has_ghosts"] and "ghost_end_epoch=-1" in result["recipe"]
    assert b"ghost" in (tmp_path / "run/export/saved_model/saved_model.pb").read_bytes()


def test_run_in_mixed_precision_is_scored_and_exported_in_float32(tmp_path):
    options = own_network(tmp_path) | {"mixed_precision": "float16"}
    tost.launch(RunConfig.make(**options, run_dir=str(tmp_path / "run")))
    network = load_run(tmp_path / "run").model.plain
    assert {layer.compute_dtype for layer in network.layers} == {"float32"}
    # To 1e-5, as for any run: the SavedModel is compared with what was trained, in float32.
    manifest = json.loads((tmp_path / "run/export/manifest.json").read_text())["saved_model"]
    assert manifest["largest_difference"] <= 1e-5 and manifest["sparsity"] == pytest.approx(0.5, abs=0.01)
    assert keras.mixed_precision.global_policy().name == "float32"


def test_dense_run(tmp_path):
    result = tost.launch(
        RunConfig.make(**(SMALL | {"mask": "none", "recipe": "default"}), run_dir=str(tmp_path / "run"))
    )
    assert result["sparsity"] < 0.01 and result["mask"] == "none" and result["collapsed_layers"] == []


def test_rescaled_initialisation_is_written_drawn_and_found_again(tmp_path):
    config = RunConfig.make(**(SMALL | {"rescale_init": True, "rescale_steps": 2}), run_dir=str(tmp_path / "run"))
    run, network = started(config)
    find_mask.compute(run, network)
    find_mask.read(run, network)
    untouched = network.dense.get_weights()
    rescale.compute(run, network)
    assert rescale.STAGE.is_done(run) and (tmp_path / "run/figures/scales.png").exists()
    scales = json.loads((tmp_path / "run/scales.json").read_text())
    assert scales["stem_conv/kernel"] != 1
    names = [weight.name.removesuffix(":0") for weight in network.dense.weights]
    position, mask = names.index("stem_conv/kernel"), network.masks["stem_conv/kernel"]
    expected = untouched[position] * mask * np.float32(scales["stem_conv/kernel"])
    for _ in range(2):
        rescale.STAGE.read(run, network)
        np.testing.assert_allclose(network.dense.get_weights()[position], expected, rtol=1e-6)


def test_non_finite_loss_is_told_with_the_last_good_checkpoint(tmp_path):
    config = RunConfig.make(**(SMALL | {"learning_rate": 1e30}), run_dir=str(tmp_path / "run"))
    with pytest.raises(
        TostError, match=r"training stopped, the loss is (nan|inf) in epoch 1, step \d: there is no checkpoint"
    ):
        tost.launch(config)
    assert not (tmp_path / "run/metrics.csv").read_text().splitlines()[1:]


def test_finished_run_with_a_damaged_folder_is_finished_again(tmp_path):
    config = RunConfig.make(**SMALL, run_dir=str(tmp_path / "run"))
    expected = tost.launch(config)
    (tmp_path / "run/result.json").write_text("{")
    (tmp_path / "run/mask.json").unlink()
    (tmp_path / "run/metrics.csv").unlink()
    again = tost.launch(config)
    for name in ("test_accuracy", "test_accuracy_last", "best_epoch", "sparsity"):
        assert again[name] == expected[name]


def test_learning_rate_drops():
    from tost_tf.training.learning_rate import default_drops, step_drops

    assert [step_drops(epoch, 0.3, (2, 4), 0.5) for epoch in range(6)] == pytest.approx(
        [0.3, 0.3, 0.15, 0.15, 0.075, 0.075]
    )
    assert default_drops(180) == (90, 135) and default_drops(2) == (1,) and default_drops(1) == ()


def test_student_learns_from_an_earlier_run(tmp_path):
    teacher = tmp_path / "teacher"
    options = own_network(tmp_path)
    tost.launch(RunConfig.make(**(options | {"mask": "none", "recipe": "default"}), run_dir=str(teacher)))
    options |= {"rescale_init": True, "rescale_steps": 2, "distill_weight": 0.3, "distill_temperature": 7.0}
    config = RunConfig.make(**options, teacher=str(teacher), run_dir=str(tmp_path / "student"))
    loss = training_loss(config).get_config()
    assert (loss["weight"], loss["temperature"], loss["label_smoothing"]) == (0.3, 7.0, 0.1)
    result = tost.launch(config)
    assert f"teacher={teacher}" in result["recipe"] and result["sparsity"] == pytest.approx(0.5, abs=1e-2)


def test_teacher_that_is_not_there_is_refused_first(tmp_path):
    config = RunConfig.make(**SMALL, teacher=str(tmp_path / "none"), run_dir=str(tmp_path / "run"))
    with pytest.raises(TostError, match="is neither a SavedModel nor"):
        tost.launch(config)
    assert not (tmp_path / "run/mask.npz").exists()


def test_model_of_the_users_own_trains_from_its_weights(tmp_path):
    keras_3 = keras3()
    image = keras_3.Input((8, 8, 1))
    x = keras_3.layers.Conv2D(6, 3, padding="same", activation="relu")(image)
    x = keras_3.layers.Conv2D(6, 3, activation="relu")(x)
    outputs = keras_3.layers.Dense(10, activation="softmax")(keras_3.layers.Flatten()(x))
    model = keras_3.Model(image, outputs, name="mine")
    model.save(tmp_path / "mine.keras")
    options = SMALL | {"model": str(tmp_path / "mine.keras"), "width_multiplier": 1.0, "learning_rate": 0.01}
    config = RunConfig.make(**options, run_dir=str(tmp_path / "run"))
    _, network = started(config)
    result = tost.launch(config)
    for mine, given in zip(network.dense.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, given)
    assert result["model"].endswith("mine.keras") and result["sparsity"] == pytest.approx(0.5, abs=0.01)
