"""How layers are called, named and copied: training, Keras masks, nested models, recurrent layers."""

import numpy as np
import pytest

import tost_tf as tost
from tost_tf.compat import keras, tf
from tost_tf.graph.copy import copy_layer

layers = keras.layers


def dead(layer: keras.layers.Layer, channels: tuple[int, ...]) -> None:
    kernel = layer.kernel.numpy()
    kernel[..., list(channels)] = 0
    layer.kernel.assign(kernel)


def features(image: tf.Tensor) -> tf.Tensor:
    """4 channels, of which number 2 is dead."""
    first = layers.Conv2D(4, 3, name="first")
    x = first(image)
    dead(first, (2,))
    return x


def steep(x: tf.Tensor) -> tf.Tensor:
    return tf.tanh(2 * x)


def test_training_by_position_is_not_inference(compacted):
    image = keras.Input((6, 6, 2))
    # In training mode the dead channel gives 0.7, in inference mode (0 - 0.2) + 0.7.
    between = layers.BatchNormalization(momentum=1.0, beta_initializer=keras.initializers.Constant(0.7))
    x = between(features(image), True)
    between.moving_mean.assign([0.2] * 4)
    model = keras.Model(image, layers.Dense(3)(x))
    assert compacted(model)[1].channels == (7, 7)


@pytest.mark.parametrize("training", [True, False])
def test_nested_model_by_position(compacted, training):
    image = keras.Input((6, 6, 2))
    inner = keras.Sequential([layers.BatchNormalization(momentum=1.0, input_shape=(4, 4, 4)), layers.ReLU()])
    inner.layers[0].moving_mean.assign([0.2] * 4)
    model = keras.Model(image, layers.Dense(3)(inner(features(image), training)))
    assert compacted(model)[1].channels == (7, 7 - (not training))


def test_layers_of_a_frozen_base_stay_in_inference_mode(compacted):
    image = keras.Input((6, 6, 2))
    deeper = keras.Sequential([layers.BatchNormalization(input_shape=(4, 4, 4)), layers.ReLU()])
    base = keras.Sequential([deeper, layers.Dropout(0.5)])
    model = keras.Model(image, layers.Dense(3)(base(features(image), training=False)))
    small, report = compacted(model)
    assert report.channels == (7, 6)
    images = np.random.default_rng(0).normal(3, 2, (5, 6, 6, 2)).astype(np.float32)
    np.testing.assert_allclose(small(images, training=True), model(images, training=True), atol=1e-5)
    assert np.abs(model(images, training=True) - model(images)).max() == 0


@pytest.mark.parametrize("merge", [layers.Add, layers.Concatenate])
def test_keras_masks_are_kept(merge):
    image = keras.Input((10, 5))
    one = layers.Dense(8, name="one")
    masked = one(layers.Masking()(image))
    x = merge()([masked, layers.Dense(8, activation="relu")(image)])
    model = keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling1D()(x)))
    one.kernel.assign(tf.zeros_like(one.kernel))
    steps = np.random.default_rng(0).normal(size=(4, 10, 5)).astype(np.float32)
    steps[:, 6:] = 0
    np.testing.assert_allclose(tost.compact(model)[0](steps), model(steps), atol=1e-6)


def test_layers_after_a_mask_are_compacted(compacted):
    tokens = keras.Input((10,), dtype="int32")
    x = layers.LSTM(6, name="recurrent")(layers.Embedding(20, 6, mask_zero=True)(tokens))
    last = layers.Dense(8, activation="relu", name="last")
    model = keras.Model(tokens, layers.Dense(3)(last(x)))
    dead(last, (0, 5))
    small, report = tost.compact(model)
    numbers = np.random.default_rng(0).integers(0, 20, (4, 10))
    np.testing.assert_allclose(small(numbers), model(numbers), atol=1e-6)
    assert report.channels == (11, 9) and report.uncounted == ("recurrent",)
    assert report.summary().endswith("not counting recurrent")


@pytest.mark.parametrize("kind", [layers.LSTM, layers.GRU, layers.SimpleRNN])
def test_recurrent_layers_are_copied(compacted, kind):
    steps = keras.Input((6, 5))
    first = layers.Dense(8, activation="relu")
    recurrent = kind(4, activation=steep)
    model = keras.Model(steps, layers.Dense(3)(recurrent(first(steps))))
    dead(first, (1,))
    assert compacted(model)[1].channels == (11, 11)
    masks = tost.masks.random(model, sparsity=0.5)
    sparse = tost.sparsify(model, masks)
    numbers = np.ones((1, 6, 5), np.float32)
    np.testing.assert_array_equal(tost.strip(sparse)(numbers), sparse(numbers))


@pytest.mark.filterwarnings("ignore:The object being serialized includes a `lambda`")
def test_functions_of_the_user_are_copied(compacted):
    image = keras.Input((6, 6, 2))
    x = layers.Activation(lambda x: tf.cos(x))(features(image))
    model = keras.Model(image, layers.Dense(3, activation=lambda x: 3 * x)(x))
    assert compacted(model)[1].channels == (7, 7)


def test_layer_as_an_activation_is_not_shared_with_the_copy(compacted):
    image = keras.Input((6, 6, 2))
    last = layers.Dense(3, activation=layers.PReLU(alpha_initializer="ones"))
    assert compacted(keras.Model(image, last(features(image))))[1].channels == (7, 7)
    assert copy_layer(last).activation is not last.activation


def test_inner_layer_with_the_name_of_an_input(compacted):
    inner = keras.Sequential([layers.Conv2D(4, 3, input_shape=(6, 6, 2), name="image"), layers.Dense(3)], name="inner")
    image = keras.Input((6, 6, 2), name="image")
    model = keras.Model(image, inner(image))
    dead(inner.get_layer("image"), (1,))
    small, report = compacted(model)
    assert report.channels == (7, 6) and "inner_image" in report.after
    assert small.output_names == model.output_names == ["inner"]


@pytest.mark.parametrize("bias", [0.0, 0.4])
def test_output_keeps_its_name_when_its_sum_goes(compacted, bias):
    image = keras.Input((6, 6, 2))
    empty = layers.Dense(3, kernel_initializer="zeros", bias_initializer=keras.initializers.Constant(bias))
    x = features(image)
    model = keras.Model(image, layers.Add(name="logits")([layers.Dense(3, name="alive")(x), empty(x)]))
    small, report = compacted(model)
    assert small.output_names == ["logits"] and "alive" in report.after and len(report.after) == 2


def test_training_by_position_outlives_stripping():
    image = keras.Input((6, 6, 2))
    model = keras.Model(image, layers.Dense(3)(layers.BatchNormalization()(features(image), True)))
    images = np.random.default_rng(0).normal(3, 2, (5, 6, 6, 2)).astype(np.float32)
    np.testing.assert_allclose(tost.strip(model)(images), model(images), atol=1e-6)
