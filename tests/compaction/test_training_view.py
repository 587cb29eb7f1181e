"""Smaller networks over the weights of a sparse model: what goes, what stays, and the same in every step."""

import numpy as np
import pytest

import tost_tf as tost
from tost_tf.compaction.lasting import lasting_plan
from tost_tf.compaction.training_view import TrainingView
from tost_tf.compat import keras, tf
from tost_tf.errors import TostError
from tost_tf.graph.kernels import prunable_weights
from tost_tf.masks.sparsify import masked_kernels, with_dense_gradients

layers = keras.layers


def masks_without(model: keras.Model, pruned: dict[str, tuple]) -> dict[str, np.ndarray]:
    """Masks that keep all but some entries: path -> index."""
    masks = {path: np.ones(weight.shape) for path, weight in prunable_weights(model).items()}
    for path, where in pruned.items():
        masks[path][where] = 0
    return masks


def chain(after: layers.Layer, use_bias: bool = False, norm: bool = True) -> keras.Model:
    image = keras.Input((6, 6, 3))
    x = layers.Conv2D(5, 3, padding="same", use_bias=use_bias, name="first")(image)
    x = layers.BatchNormalization(name="norm")(x) if norm else x
    x = layers.Conv2D(4, 3, padding="same", name="second")(after(x))
    return keras.Model(image, layers.Dense(2, name="logits")(layers.GlobalAveragePooling2D()(x)))


def channels_of_first(model: keras.Model, pruned: dict[str, tuple]) -> int:
    """How many of the five channels of the first convolution stay."""
    return TrainingView(tost.sparsify(model, masks_without(model, pruned))).report.after["first"].channels


EMPTY = {"first/kernel": np.s_[..., 1:3]}  # two filters without weights, which the second convolution reads
UNREAD = {"second/kernel": np.s_[:, :, 3]}


@pytest.mark.parametrize(
    ("after", "options", "stay"),
    [
        (layers.ReLU(), {}, 3),
        (layers.Activation("relu"), {}, 3),
        (tf.nn.relu6, {}, 3),
        (layers.ReLU(), {"use_bias": True, "norm": False}, 3),
        (layers.ReLU(), {"use_bias": True}, 5),  # BatchNormalization reads the bias, which is trained
        (layers.ReLU(negative_slope=0.3), {}, 5),  # its derivative at zero is not zero
        (layers.Activation("elu"), {}, 5),
        (layers.Activation("linear"), {}, 5),
        (lambda x: layers.Add()([layers.ReLU()(x), x]), {}, 5),  # another reader gives a gradient
    ],
)
def test_filters_without_weights_go_if_they_stay_zero(after, options, stay):
    assert channels_of_first(chain(after, **options), EMPTY) == stay


def test_a_shift_that_is_not_zero_any_more_stays():
    model = chain(layers.ReLU())
    model.get_layer("norm").beta.assign([0.3, -0.2, 0, 0.1, 0.4])
    assert channels_of_first(model, EMPTY) == 4
    model.get_layer("norm").moving_mean.assign([0, 0, 0.1, 0, 0])  # in inference it is not zero
    assert channels_of_first(model, EMPTY) == 5


def test_what_nothing_reads_goes_whatever_it_is():
    model = chain(layers.Activation("elu"), use_bias=True)
    model.get_layer("norm").beta.assign(np.full(5, 0.3))
    assert channels_of_first(model, UNREAD) == 4


def test_weights_that_are_zero_by_chance_are_read():
    model = chain(layers.ReLU())
    model.get_layer("second").kernel.assign(np.zeros((3, 3, 5, 4)))
    assert channels_of_first(model, {}) == 5


def test_model_is_not_changed():
    sparse = tost.sparsify(chain(layers.ReLU()), sparsity=0.7)
    before = sparse.get_weights()
    plan = lasting_plan(sparse)
    TrainingView(sparse)
    for now, old in zip(sparse.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, old)
    assert {id(weight) for weight in plan.weights.values()} <= {id(weight) for weight in sparse.weights}


def residual() -> tuple[keras.Model, dict]:
    image = keras.Input((6, 6, 3))
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(5, 3, padding="same", name="stem")(image)))
    y = layers.ReLU()(layers.BatchNormalization()(layers.DepthwiseConv2D(3, padding="same", name="depthwise")(x)))
    y = layers.BatchNormalization()(layers.Conv2D(5, 1, use_bias=False, name="pointwise")(y))
    x = layers.PReLU(shared_axes=[1, 2])(layers.Add()([x, y]))
    x = layers.SeparableConv2D(6, 3, depth_multiplier=2, name="separable")(x)
    x = layers.Concatenate()([x, layers.Cropping2D(1)(y)])
    x = layers.Flatten()(layers.MaxPooling2D()(x))
    pruned = {
        "depthwise/depthwise_kernel": np.s_[:, :, 3],
        "pointwise/kernel": np.s_[..., 1],
        "logits/kernel": np.s_[2::11],  # reads nothing of channel 2 of the separable convolution
    }
    return keras.Model(image, layers.Dense(4, name="logits")(x)), pruned


def nested() -> tuple[keras.Model, dict]:
    inner_image = keras.Input((6, 6, 5))
    shared = layers.Conv2D(5, 3, padding="same", name="conv")
    inner = keras.Model(inner_image, layers.ReLU()(shared(layers.ReLU()(shared(inner_image)))), name="inner")
    image = keras.Input((6, 6, 3))
    x = layers.ReLU()(layers.Conv2D(5, 3, padding="same", name="conv")(image))
    x = layers.GlobalAveragePooling2D()(inner(x))
    return keras.Model(image, layers.Dense(4, name="logits")(x)), {
        "conv/kernel": np.s_[..., 1],
        "inner/conv/kernel": np.s_[..., 1],
    }


def unknown() -> tuple[keras.Model, dict]:
    image = keras.Input((6, 6, 3))
    x = layers.Reshape((36, 3))(image)
    x = layers.Dense(5, activation="relu", name="first")(x)
    x = layers.Dense(4, name="second")(x)
    x = layers.MultiHeadAttention(2, 3, name="attention")(x, x)
    x = layers.LSTM(3, name="lstm")(layers.LayerNormalization()(x))
    return keras.Model(image, layers.Dense(4, name="logits")(x)), {"first/kernel": np.s_[:, 1]}


@pytest.mark.parametrize("make", [residual, nested, unknown])
def test_outputs_gradients_and_statistics_are_those_of_the_model(make):
    model, pruned = make()
    sparse = tost.sparsify(model, masks_without(model, pruned))
    view = TrainingView(sparse)
    assert view.report.channels[1] < view.report.channels[0]
    images = np.random.default_rng(1).normal(0.3, 1, (7, 6, 6, 3)).astype(np.float32)

    def step(network):
        before = sparse.get_weights()
        with tf.GradientTape() as tape:
            outputs = network(images, training=True)
            loss = tf.reduce_mean(tf.square(outputs - 0.3))
        gradients = [tf.convert_to_tensor(value) for value in tape.gradient(loss, sparse.trainable_weights)]
        statistics = [weight.numpy() for weight in sparse.non_trainable_weights]
        inferred = network(images, training=False)
        sparse.set_weights(before)
        return outputs, gradients, statistics, inferred

    expected, found = step(sparse), step(view)
    for one, other in zip(tf.nest.flatten(expected[:2]), tf.nest.flatten(found[:2]), strict=True):
        np.testing.assert_allclose(other, one, atol=2e-6)
    np.testing.assert_allclose(found[3], expected[3], atol=1e-5)
    before = [weight.numpy() for weight in sparse.non_trainable_weights]
    for one, other, old in zip(expected[2], found[2], before, strict=True):
        assert np.all(np.isclose(other, one, atol=1e-5) | (other == old))  # those of removed channels stay


def test_penalties_on_activations_are_refused():
    image = keras.Input((4,))
    x = layers.Dense(5, activation="relu", activity_regularizer="l2", name="first")(image)
    model = keras.Model(image, layers.Dense(2, kernel_regularizer="l2", name="second")(x), name="penalised")
    with pytest.raises(TostError, match="penalised has penalties on activations"):
        TrainingView(tost.sparsify(model, sparsity=0.3))


def test_masks_that_change_are_refused():
    sparse = tost.sparsify(chain(layers.ReLU()), sparsity=0.7)
    view = TrainingView(sparse)
    view.require_same_masks()
    masked = masked_kernels(sparse)["second/kernel"]
    masked.set_mask(1 - masked.mask.numpy())
    with pytest.raises(TostError, match="the mask of second/kernel has changed since .* come alive"):
        view.require_same_masks()
    with_dense_gradients(sparse)
    with pytest.raises(TostError, match="the mask of first is to change"):
        TrainingView(sparse)


def test_weights_that_are_nowhere_to_be_found_are_refused():
    class Listed(layers.Layer):
        def build(self, shape):
            self.parts = [self.add_weight("part", (shape[-1],))]

        def call(self, x):
            return x + self.parts[0]

    image = keras.Input((4,))
    x = layers.Dense(5, name="first")(image)
    model = keras.Model(image, layers.Dense(2, name="second")(Listed(name="listed")(x)))
    with pytest.raises(TostError, match=r"the layer 'listed' \(Listed\) holds listed/part in none of its attributes"):
        TrainingView(tost.sparsify(model, sparsity=0.3))


def test_dense_layers_over_images_train_with_batches_of_any_size():
    image = keras.Input((4, 4, 3))
    x = layers.Dense(6, "relu", name="first")(image)
    model = keras.Model(image, layers.Dense(2)(layers.Flatten()(layers.Dense(5, "relu", name="second")(x))))
    sparse = tost.sparsify(model, masks_without(model, {"first/kernel": np.s_[:, 1:3]}))
    ghosted = tost.GhostModel(sparse, "none", "none")
    ghosted.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    images = np.random.default_rng(0).normal(size=(15, 4, 4, 3)).astype(np.float32)
    history = ghosted.fit(images, np.arange(15) % 2, batch_size=8, verbose=0, callbacks=[tost.CompactTraining()])
    assert np.isfinite(history.history["loss"]).all()
