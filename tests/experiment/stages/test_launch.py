"""What the job gives to its parts, and what it makes of what they give."""

import json

import numpy as np
import pytest

import tost_tf as tost
from tost_tf.compat import keras, keras3
from tost_tf.errors import TostError
from tost_tf.experiment.options import RunConfig
from tost_tf.experiment.run.evaluate import Evaluation
from tost_tf.experiment.stages import finish, fit
from tost_tf.experiment.stages import launch as train
from tost_tf.registry import DATASETS

SMALL = {
    "dataset": "digits",
    "train_examples": 60,
    "batch_size": 24,
    "model": "resnet20",
    "width_multiplier": 0.25,
    "mask": "erk",
    "sparsity": 0.5,
    "epochs": 3,
    "lr_drop_epochs": (1, 2),
    "rescale_init": False,
}


@pytest.fixture
def spied(monkeypatch):
    """Calls of the parts, by name, with their arguments."""
    calls = {}

    def spy(module, name):
        original = getattr(module, name)

        def wrapper(*args, **kwargs):
            calls.setdefault(name, []).append((args, kwargs))
            return original(*args, **kwargs)

        monkeypatch.setattr(module, name, wrapper)

    for name in ("training_batches", "evaluation_batches"):
        spy(fit, name)
    spy(train, "rescale")
    for name in ("saved_model", "evaluate"):
        spy(finish, name)
    return calls


def test_run_wires_data_seed_augmentation_and_best_weights(spied, tmp_path, monkeypatch):
    monkeypatch.setattr(
        train.Checkpoints,
        "save",
        lambda self, epoch, accuracy, ok, save=train.Checkpoints.save: save(self, epoch, {2: 0.9}.get(epoch, 0.1), ok),
    )
    config = RunConfig.make(**SMALL, seed=5, augment=True, run_dir=str(tmp_path / "run"))
    result = tost.launch(config)
    (data, batch_size, seed, epochs, first, augment), _ = spied["training_batches"][0]
    assert (batch_size, seed, epochs, first, augment) == (24, 5, 3, 0, True)
    assert spied["evaluation_batches"][0][0] == (data, data.validation)
    (last_model, _, last_part), (best_model, _, best_part) = (args for args, _ in spied["evaluate"])
    assert last_part is data.test and best_part is data.test
    assert isinstance(last_model, tost.GhostModel) and not isinstance(best_model, tost.GhostModel)
    assert result["best_epoch"] == 2
    # The last weights and the best are two different models, and each is scored by itself.
    last, best = last_model.plain.get_weights(), best_model.get_weights()
    assert len(spied["saved_model"]) == 1 and spied["saved_model"][0][0][0] is best_model
    assert result["test_accuracy"] == _accuracy(best_model, data) and result["test_loss"] > 0
    assert len(last) != len(best) or any(np.any(one != other) for one, other in zip(last, best, strict=False))
    assert json.loads((tmp_path / "run/result.json").read_text()) == result


def _accuracy(model, data):
    from tost_tf.data.pipeline import normalise

    logits = model.predict(normalise(data.test.images, data), verbose=0)
    return float(np.mean(logits.argmax(1) == data.test.labels))


def test_last_and_best_are_not_mixed_up(monkeypatch, tmp_path):
    scores = iter([Evaluation(0.25, 3.0), Evaluation(0.75, 1.0)])  # the last weights are scored first
    monkeypatch.setattr(finish, "evaluate", lambda *args: next(scores))
    result = tost.launch(RunConfig.make(**SMALL, run_dir=str(tmp_path / "run")))
    assert (result["test_accuracy"], result["test_accuracy_last"], result["test_loss"]) == (0.75, 0.25, 1.0)


def test_ghosts_that_are_kept_are_exported(tmp_path):
    result = tost.launch(RunConfig.make(**SMALL, ghost_end_epoch=-1, run_dir=str(tmp_path / "run")))
    manifest = json.loads((tmp_path / "run/export/manifest.json").read_text())["saved_model"]
    assert manifest["has_ghosts"] and "ghost_end_epoch=-1" in result["recipe"]
    assert b"ghost" in (tmp_path / "run/export/saved_model/saved_model.pb").read_bytes()


def test_run_in_mixed_precision_is_scored_and_exported_in_float32(tmp_path, spied):
    layers = keras.layers
    stack = [layers.Conv2D(4, 3, input_shape=(8, 8, 1)), layers.BatchNormalization(), layers.ReLU(), layers.Flatten()]
    keras.Sequential([*stack, layers.Dense(10)]).save(tmp_path / "mine.keras")
    options = SMALL | {"model": str(tmp_path / "mine.keras"), "width_multiplier": 1.0, "mixed_precision": "float16"}
    tost.launch(RunConfig.make(**options, learning_rate=0.01, run_dir=str(tmp_path / "run")))
    for (model, *_), _ in spied["evaluate"]:
        network = model.plain if isinstance(model, tost.GhostModel) else model
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


def test_rescaled_initialisation_is_written_drawn_and_found_again(tmp_path, monkeypatch):
    options = SMALL | {"rescale_init": True, "rescale_steps": 2}
    config = RunConfig.make(**options, run_dir=str(tmp_path / "run"))

    class Stopped(Exception):
        pass

    weights = []

    def stop(config, dense, masks, teacher):
        weights.append(dense.get_weights())
        raise Stopped

    monkeypatch.setattr(train, "add_ghosts_and_compile", stop)
    for _ in range(2):
        with pytest.raises(Stopped):
            tost.launch(config)
    assert all(np.array_equal(one, other) for one, other in zip(*weights, strict=True))
    scales = json.loads((tmp_path / "run/scales.json").read_text())
    assert (tmp_path / "run/figures/scales.png").exists() and scales["stem_conv/kernel"] != 1
    untouched = train.build_model(config, DATASETS["digits"](config.data))
    masks = tost.Masks.load(tmp_path / "run/mask.npz")
    names = [weight.name.removesuffix(":0") for weight in untouched.weights]
    position = names.index("stem_conv/kernel")
    expected = untouched.get_weights()[position] * masks["stem_conv/kernel"] * np.float32(scales["stem_conv/kernel"])
    np.testing.assert_allclose(weights[0][position], expected, rtol=1e-6)


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


def test_last_batch_must_reach_every_replica():
    train._require_full_replicas(100, 48, 2)
    train._require_full_replicas(96, 48, 2)
    with pytest.raises(TostError, match="has 1 of the 97 training images for 2 devices"):
        train._require_full_replicas(97, 48, 2)


def test_learning_rate_drops():
    from tost_tf.training.learning_rate import default_drops, step_drops

    assert [step_drops(epoch, 0.3, (2, 4), 0.5) for epoch in range(6)] == pytest.approx(
        [0.3, 0.3, 0.15, 0.15, 0.075, 0.075]
    )
    assert default_drops(180) == (90, 135) and default_drops(2) == (1,) and default_drops(1) == ()


def test_student_learns_from_an_earlier_run(tmp_path, monkeypatch):
    teacher = tmp_path / "teacher"
    tost.launch(RunConfig.make(**(SMALL | {"mask": "none", "recipe": "default"}), run_dir=str(teacher)))
    losses = {}
    original = train.add_ghosts_and_compile

    def spy(*arguments):
        model = original(*arguments)
        losses[model.loss.name] = model.loss.get_config()
        return model

    monkeypatch.setattr(train, "add_ghosts_and_compile", spy)
    options = SMALL | {"rescale_init": True, "rescale_steps": 2, "distill_weight": 0.3, "distill_temperature": 7.0}
    config = RunConfig.make(**options, teacher=str(teacher), run_dir=str(tmp_path / "student"))
    result = tost.launch(config)
    assert losses["distillation"]["weight"] == 0.3 and losses["distillation"]["temperature"] == 7.0
    assert losses["distillation"]["label_smoothing"] == 0.1
    assert f"teacher={teacher}" in result["recipe"] and result["sparsity"] == pytest.approx(0.5, abs=1e-3)


def test_teacher_that_is_not_there_is_refused_first(tmp_path):
    config = RunConfig.make(**SMALL, teacher=str(tmp_path / "none"), run_dir=str(tmp_path / "run"))
    with pytest.raises(TostError, match="is neither a SavedModel nor"):
        tost.launch(config)
    assert not (tmp_path / "run/mask.npz").exists()


def test_model_of_the_users_own_trains_from_its_weights(tmp_path, monkeypatch):
    keras_3 = keras3()
    image = keras_3.Input((8, 8, 1))
    x = keras_3.layers.Conv2D(6, 3, padding="same", activation="relu")(image)
    x = keras_3.layers.Conv2D(6, 3, activation="relu")(x)
    outputs = keras_3.layers.Dense(10, activation="softmax")(keras_3.layers.Flatten()(x))
    model = keras_3.Model(image, outputs, name="mine")
    model.save(tmp_path / "mine.keras")
    built = []
    original = train.build_model
    monkeypatch.setattr(train, "build_model", lambda *args: built.append(original(*args)) or built[0])
    options = SMALL | {"model": str(tmp_path / "mine.keras"), "width_multiplier": 1.0, "learning_rate": 0.01}
    result = tost.launch(RunConfig.make(**options, run_dir=str(tmp_path / "run")))
    for mine, given in zip(built[0].get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, given)
    assert result["model"].endswith("mine.keras") and result["sparsity"] == pytest.approx(0.5, abs=0.01)
