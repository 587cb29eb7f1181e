"""Training without dead channels ends where training with all of them does."""

import numpy as np
import pytest

import tost_tf as tost
from tests.exhaustive import exhaustive
from tost_tf.compat import keras, tf
from tost_tf.errors import TostError
from tost_tf.graph.copy import copy_layer
from tost_tf.graph.precision import in_precision
from tost_tf.graph.rebuild import rebuild
from tost_tf.graph.slots import slots_of
from tost_tf.masks.sparsify import masked_kernels
from tost_tf.registry import OPTIMIZER_TWEAKS
from tost_tf.training.optimizer import CoupledSGD

STEPS = 50
layers = keras.layers


def network(precision: str = "none") -> keras.Model:
    """With dead channels of all kinds, once it is masked."""
    keras.utils.set_random_seed(3)
    image = keras.Input((8, 8, 1))
    x = layers.ReLU()(layers.BatchNormalization(name="norm1")(layers.Conv2D(6, 3, use_bias=False, name="first")(image)))
    y = layers.ReLU()(layers.BatchNormalization(name="norm2")(layers.Conv2D(5, 3, padding="same", name="second")(x)))
    y = layers.BatchNormalization(name="norm3")(layers.Conv2D(6, 1, use_bias=False, name="third")(y))
    x = layers.Add()([layers.Conv2D(6, 1, name="shortcut")(x), y])
    model = keras.Model(
        image, layers.Dense(10, name="logits", dtype="float32")(layers.GlobalAveragePooling2D()(x)), name="little"
    )
    if precision == "float64":
        return rebuild(model, lambda layer: copy_layer(layer, precision))
    return in_precision(model, precision)


def sparse(model: keras.Model) -> keras.Model:
    masks = {path: mask.copy() for path, mask in tost.masks.random(model, sparsity=0.3).items()}
    masks["first/kernel"][..., 1:3] = 0  # two channels are zero, and read
    masks["third/kernel"][:, :, 4] = 0  # nothing reads channel 4 of the second convolution
    masks["third/kernel"][..., 1:4] = 0
    masks["shortcut/kernel"][..., 1] = 0  # channel 1 of the sum is a constant, which is trained
    masks["logits/kernel"][3] = 0  # nothing reads channel 3 of the sum
    return tost.sparsify(model, masks)


def loss() -> keras.losses.Loss:
    return keras.losses.CategoricalCrossentropy(from_logits=True)


def digits(examples: int = 48) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(2)
    return generator.normal(0.3, 1, (examples, 8, 8, 1)), np.eye(10)[generator.integers(0, 10, examples)]


def fitted(
    compact: bool,
    optimizer,
    precision="none",
    callbacks=(),
    epochs=3,
    ghosts=("none", "none"),
    validated=True,
    **options,
):
    """A model after some epochs of three steps, and its history."""
    model = tost.GhostModel(sparse(network(precision)), *ghosts)
    model.compile(optimizer, loss(), metrics=["accuracy"], **options)
    callbacks = [*callbacks, *([tost.CompactTraining(verbose=0)] if compact else [])]
    data = tf.data.Dataset.from_tensor_slices(digits()).batch(16)
    validation = data if validated else None
    history = model.fit(data, epochs=epochs, verbose=0, validation_data=validation, callbacks=callbacks)
    return model, history.history


def require_same_training(one, other, tolerance: float) -> None:
    (model, history), (compact, compact_history) = one, other
    for name in history:
        np.testing.assert_allclose(compact_history[name], history[name], atol=tolerance, err_msg=name)
    assert len(compact.weights) == len(model.weights)
    for weight, found in zip(model.trainable_weights, compact.trainable_weights, strict=True):
        np.testing.assert_allclose(found, weight, atol=tolerance, err_msg=weight.name)


def test_fifty_steps_in_double_precision():
    def run(compact: bool):
        keras.utils.set_random_seed(0)
        model = tost.GhostModel(sparse(network("float64")), "none", "none")
        model.compile(CoupledSGD(0.1, 0.9, 2e-3), loss())
        images, labels = digits()
        batches = tf.data.Dataset.from_tensor_slices((images, labels)).batch(16).repeat()
        callbacks = [tost.CompactTraining(verbose=0)] if compact else []
        history = model.fit(batches, epochs=STEPS, steps_per_epoch=1, verbose=0, callbacks=callbacks)
        return model, history.history["loss"]

    (model, losses), (compact, compact_losses) = run(False), run(True)
    assert losses[-1] < 0.9 * losses[0]
    np.testing.assert_allclose(compact_losses, losses, rtol=0, atol=1e-12)
    for weight, found in zip(model.trainable_weights, compact.trainable_weights, strict=True):
        np.testing.assert_allclose(found, weight, rtol=0, atol=1e-10)
        pairs = zip(slots_of(model.optimizer, weight), slots_of(compact.optimizer, found), strict=True)
        for expected, slot in pairs:
            np.testing.assert_allclose(slot, expected, rtol=0, atol=1e-10)
    # Only the statistics of what is gone are others: as they were.
    for weight, found in zip(model.non_trainable_weights, compact.non_trainable_weights, strict=True):
        differ = ~np.isclose(found, weight, rtol=0, atol=1e-10)
        start = {"moving_mean": 0.0, "moving_variance": 1.0}
        assert not differ.any() or (found.numpy()[differ] == start[found.name.split("/")[-1].split(":")[0]]).all()
    assert np.all(compact.plain.get_layer("norm1").moving_mean.numpy()[[0, 3]] != 0)
    final = tost.strip(compact)
    np.testing.assert_allclose(final(digits()[0]), tost.strip(model)(digits()[0]), atol=1e-10)


def tweaked(name: str) -> CoupledSGD:
    optimizer = CoupledSGD(0.05, 0.9, 2e-3)
    optimizer.tweak = OPTIMIZER_TWEAKS[name]
    return optimizer


@pytest.mark.parametrize(
    "make",
    [
        lambda: tweaked("s2_sam"),
        exhaustive(lambda: keras.optimizers.legacy.SGD(0.05, 0.9)),
        exhaustive(lambda: keras.optimizers.Adam(0.01, weight_decay=0.03)),
        exhaustive(lambda: tost.OrthogonalSGD(0.05)),
        exhaustive(lambda: tost.LARS(0.05)),
        *(exhaustive(lambda name=name: tweaked(name)) for name in OPTIMIZER_TWEAKS if name != "s2_sam"),
    ],
)
def test_any_optimizer_and_the_average_of_all_weights(make):
    def run(compact):
        return fitted(compact, make(), "float64", callbacks=[tost.WeightAverage(0.7)])

    require_same_training(run(False), run(True), 1e-9)


@pytest.mark.exhaustive
@pytest.mark.parametrize(("precision", "tolerance"), [("bfloat16", 0.1), ("float16", 0.02)])
def test_mixed_precision(precision, tolerance):
    def run(compact):
        optimizer = CoupledSGD(0.05)
        scaled = keras.mixed_precision.LossScaleOptimizer(optimizer) if precision == "float16" else optimizer
        return fitted(compact, scaled, precision)

    require_same_training(run(False), run(True), tolerance)


@pytest.mark.exhaustive
def test_compiled_by_xla():
    def run(compact):
        return fitted(compact, CoupledSGD(0.05), epochs=2, jit_compile=True)

    require_same_training(run(False), run(True), 1e-4)


def test_it_starts_when_the_ghosts_end(capsys):
    def run(compact):
        callbacks = [tost.GhostSchedule(end_epoch=2)] + ([tost.CompactTraining()] if compact else [])
        return fitted(False, CoupledSGD(0.05), "float64", callbacks, 4, ghosts=("pswish", "projection"))

    plain = run(False)
    assert not capsys.readouterr().out
    compact = run(True)
    require_same_training(plain, compact, 1e-9)
    out = capsys.readouterr().out
    # Of the first convolution all stay: ghosts have trained their shifts.
    assert out == "training without dead channels: 33 channels to 30, 5 layers to 5, 14,100 MACs to 11,570 (82.1%)\n"


def test_without_ghosts_more_is_dead():
    model = tost.GhostModel(sparse(network()), "none", "none")
    assert model.compact_training().channels == (33, 28)
    model = tost.GhostModel(sparse(network()))
    with pytest.raises(TostError, match="the ghosts of little_with_ghosts are in use, and they need channels"):
        model.compact_training()


def test_layers_of_which_nothing_is_left_go_on_decaying():
    def run(compact):
        image = keras.Input((8, 8, 1))
        x = layers.Conv2D(4, 3, padding="same", name="first")(image)
        y = layers.ReLU()(layers.Conv2D(4, 3, padding="same", use_bias=False, name="gone")(x))
        x = layers.Dense(10, name="logits")(layers.GlobalAveragePooling2D()(layers.Add()([x, layers.ReLU()(y)])))
        model = keras.Model(image, x)
        masks = {path: np.ones(mask.shape) for path, mask in tost.masks.random(model, sparsity=0.3).items()}
        masks["gone/kernel"][:] = 0
        keras.utils.set_random_seed(5)
        model = tost.GhostModel(tost.sparsify(model, masks), "none", "none")
        for weight in model.trainable_weights:
            weight.assign(np.full(weight.shape, 0.3))
        model.compile(CoupledSGD(0.1, 0.9, 0.03), loss())
        model.fit(*digits(), verbose=0, shuffle=False, callbacks=[tost.CompactTraining(0)] if compact else [])
        return model.get_weights()

    for expected, found in zip(run(False), run(True), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_after_fit_all_channels_are_there_again():
    model, _ = fitted(True, CoupledSGD(0.05))
    masked = masked_kernels(model.plain)["third/kernel"]
    before = model.evaluate(*digits(), verbose=0)[0]
    masked.mask.assign(np.ones_like(masked.mask))
    masked.kernel.assign(np.full(masked.kernel.shape, 0.3))
    assert abs(model.evaluate(*digits(), verbose=0)[0] - before) > 0.01
    images, labels = digits()
    value = loss()(labels, model.plain(images, training=False)).numpy()
    assert model.evaluate(images, labels, verbose=0)[0] == pytest.approx(value, rel=1e-4)


def test_masks_that_change_between_epochs_are_refused():
    def change(epoch, logs):
        if epoch == 1:
            masked = masked_kernels(model.plain)["third/kernel"]
            masked.set_mask(1 - masked.mask.numpy())

    model = tost.GhostModel(sparse(network()), "none", "none")
    model.compile(CoupledSGD(0.05), loss())
    callbacks = [tost.CompactTraining(0), keras.callbacks.LambdaCallback(on_epoch_end=change)]
    with pytest.raises(TostError, match="the mask of third/kernel has changed"):
        model.fit(*digits(), epochs=5, verbose=0, callbacks=callbacks)


def test_another_model_is_refused():
    model = sparse(network())
    model.compile("sgd", loss())
    with pytest.raises(TostError, match="CompactTraining needs a GhostModel, which may have no ghosts, got Functional"):
        model.fit(*digits(), verbose=0, callbacks=[tost.CompactTraining()])


def test_on_two_replicas(two_replicas):
    def run(compact):
        with two_replicas.scope():
            return fitted(compact, CoupledSGD(0.05, 0.9, 2e-3), "float64", validated=False)

    plain, compact = run(False), run(True)
    require_same_training(plain, compact, 1e-9)
    for variable in compact[0].trainable_weights:
        first, second = (part.numpy() for part in variable.values)
        np.testing.assert_array_equal(first, second)


def test_ghosts_that_never_end_are_named(caplog):
    model = tost.GhostModel(sparse(network()), "pswish", "none")
    model.compile(CoupledSGD(0.05), loss())
    model.fit(*digits(), verbose=0, callbacks=[tost.GhostSchedule(end_epoch=3), tost.CompactTraining(0)])
    assert "CompactTraining has left no channel out: the ghosts of little_with_ghosts" in caplog.text
