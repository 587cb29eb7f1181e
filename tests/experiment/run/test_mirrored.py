"""Two virtual CPU devices against one: the same losses, weights and masks; and what Keras does with statistics."""

import numpy as np
import pytest
import tensorflow_model_optimization as tfmot

import tost_tf as tost
from tost_tf.compat import keras, tf
from tost_tf.data.digits import load_digits
from tost_tf.data.pipeline import training_batches
from tost_tf.experiment.options import RunConfig
from tost_tf.experiment.run.collectives import collective_operations
from tost_tf.experiment.run.network import add_ghosts_and_compile
from tost_tf.ghost.schedule import GhostSchedule
from tost_tf.graph.kernels import prunable_weights
from tost_tf.training.optimizer import CoupledSGD

STEPS = 50
# 69 images in batches of 24: the last batch of an epoch has 21, which two devices cannot share evenly.
CONFIG = RunConfig.make(
    dataset="digits", train_examples=69, batch_size=24, epochs=18, ghost_skips="none", ghost_end_epoch=9
)


def network() -> keras.Model:
    """Without BatchNormalization, which sees other batches on two devices than on one."""
    layers = keras.layers
    image = keras.Input((8, 8, 1))
    x = layers.ReLU()(layers.Conv2D(6, 3, name="stem")(image))
    x = layers.ReLU()(layers.Conv2D(7, 3, strides=2, name="middle")(x))
    return keras.Model(image, layers.Dense(10, name="logits")(layers.Flatten()(x)), name="plain")


@pytest.fixture(scope="module")
def fifty_steps(two_replicas):
    """The same 50 steps on one device and on two: (losses by step, the model) of each."""
    keras.utils.set_random_seed(3)
    data, dense = load_digits(CONFIG.data), network()
    masks = tost.masks.snip(dense, list(training_batches(data, 24, 5, 1, augment=False)), sparsity=0.7)
    results = []
    for strategy in (tf.distribute.get_strategy(), two_replicas):
        with strategy.scope():
            model = add_ghosts_and_compile(CONFIG, dense, masks)
        batches = training_batches(data, 24, 0, 18, augment=False)
        schedule = GhostSchedule(
            27, 1
        )  # by steps: an epoch of `fit` is one step here, so that losses are of single steps
        history = model.fit(batches, epochs=STEPS, steps_per_epoch=1, verbose=0, callbacks=[schedule]).history
        results.append((history["loss"], model))
    return masks, results


def test_losses_weights_and_masks_of_two_devices_are_those_of_one(fifty_steps):
    masks, ((one_losses, one), (two_losses, two)) = fifty_steps
    assert len(two_losses) == STEPS and min(one_losses) < 0.7 * max(one_losses)  # it learns
    np.testing.assert_allclose(two_losses, one_losses, atol=1e-4)
    for mine, theirs in zip(two.plain.get_weights(), one.plain.get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-3)
    for model in (one, two):
        kernels = prunable_weights(model.plain)
        assert all(np.array_equal(kernels[path].numpy() != 0, mask == 1) for path, mask in masks.items())


def test_every_replica_has_the_same_weights_and_masks(fifty_steps):
    _, (_, (_, two)) = fifty_steps
    for variable in two.plain.variables:
        first, second = (part.numpy() for part in variable.values)
        np.testing.assert_array_equal(first, second)


def test_a_batch_that_cannot_be_split_evenly_counts_every_image_once(two_replicas):
    def fitted(strategy):
        with strategy.scope():
            dense = keras.Sequential(
                [keras.layers.Dense(1, use_bias=False, input_shape=(1,), kernel_initializer="zeros")]
            )
            model = tost.GhostModel(dense, "none", "none")
            model.compile(keras.optimizers.SGD(0.25), "mse")
        inputs, targets = np.ones((3, 1), np.float32), np.array([[1.0], [2.0], [6.0]], np.float32)
        history = model.fit(tf.data.Dataset.from_tensors((inputs, targets)), verbose=0).history
        return history["loss"][0], model.get_weights()[0].item()

    # Loss (1 + 4 + 36) / 3; gradient -2·(1 + 2 + 6) / 3 = -6. The mean of the replicas' means would give -7.5.
    assert fitted(tf.distribute.get_strategy()) == pytest.approx((41 / 3, 1.5))
    assert fitted(two_replicas) == pytest.approx((41 / 3, 1.5))


def test_batch_normalization_has_statistics_by_replica_as_keras_does(two_replicas):
    inputs = np.array([[1.0], [3.0], [10.0], [20.0]], np.float32)  # halves with means 2, 15 and variances 1, 25
    with two_replicas.scope():
        layer = keras.layers.BatchNormalization(momentum=0.75, epsilon=0.0, input_shape=(1,))
        model = keras.Sequential([layer])
    batches = two_replicas.experimental_distribute_dataset(tf.data.Dataset.from_tensor_slices(inputs).batch(4))
    outputs = two_replicas.run(lambda x: model(x, training=True), args=(next(iter(batches)),))
    for output in two_replicas.experimental_local_results(outputs):
        np.testing.assert_allclose(np.ravel(output), [-1, 1], rtol=1e-5)  # each half by its own mean and deviation
    assert [float(value[0]) for value in layer.moving_mean.values] == pytest.approx([0.5, 3.75])
    # What is evaluated with, kept and exported is the mean over the replicas.
    assert model.get_weights()[2] == pytest.approx((0.5 + 3.75) / 2)
    assert model.get_weights()[3] == pytest.approx(0.75 + 0.25 * (1 + 25) / 2)


def test_masking_reduces_nothing_between_devices(two_replicas):
    dense_model = keras.Sequential([keras.layers.Dense(5, input_shape=(7,)), keras.layers.Dense(4)])
    masks = tost.masks.random(dense_model, sparsity=0.5)
    batches = tf.data.Dataset.from_tensors((np.ones((6, 7), np.float32), np.ones((6, 4), np.float32)))

    def counted(make):
        with two_replicas.scope():
            model = make()
            model.compile(CoupledSGD(0.1), "mse", ["accuracy"])
        return collective_operations(model, batches)

    def stock():
        schedule = tfmot.sparsity.keras.ConstantSparsity(0.5, 0)
        return tfmot.sparsity.keras.prune_low_magnitude(keras.models.clone_model(dense_model), schedule)

    dense = counted(lambda: tost.GhostModel(keras.models.clone_model(dense_model), "none", "none"))
    masked = counted(lambda: tost.GhostModel(tost.sparsify(dense_model, masks), "none", "none"))
    # On each of two devices: all gradients at once, of 35 + 5 + 20 + 4 weights, and the share of the batch.
    assert dense == {("CollectiveReduceV2", 64): 2, ("CollectiveReduceV2", 1): 2}
    assert masked == dense
    # The stock wrapper reduces each kernel (or its mask) as well.
    assert {size for _, size in counted(stock) - dense} == {35, 20}
