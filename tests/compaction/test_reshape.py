"""Layers that keep channels, or move them."""

import numpy as np
import pytest

from tost_tf.compat import keras, tf

layers = keras.layers


def network(*between: keras.layers.Layer, bias: float = 0.0, last: keras.layers.Layer | None = None) -> keras.Model:
    """4 filters, of which number 2 is all zeros with this bias, what comes `between`, and a Dense layer."""
    image = keras.Input((6, 6, 2))
    first = layers.Conv2D(4, 3, padding="same", name="first")
    x = first(image)
    for layer in between:
        x = layer(x)
    kernel, biases = first.get_weights()
    kernel[..., 2] = 0
    biases[2] = bias
    first.set_weights([kernel, biases])
    return keras.Model(image, (last or layers.Dense(3, name="last"))(x))


@pytest.mark.parametrize(
    "between",
    [
        lambda: layers.MaxPooling2D(3, 2, "same"),
        lambda: layers.AveragePooling2D(3, 2, "same"),
        lambda: layers.GlobalAveragePooling2D(),
        lambda: layers.GlobalMaxPooling2D(keepdims=True),
        lambda: layers.Flatten(),
        lambda: layers.Reshape((36 * 4,)),
        lambda: layers.Reshape((4, 9, 4)),
        lambda: layers.Reshape((-1, 4)),
        lambda: layers.Cropping2D(1),
        lambda: layers.UpSampling2D(2),
        lambda: layers.Dropout(0.3),
        lambda: layers.SpatialDropout2D(0.3),
        lambda: layers.GaussianNoise(0.3),
        lambda: layers.LeakyReLU(0.3),
        lambda: layers.ELU(0.7),
        lambda: layers.ReLU(0.5, 0.1, 0.2),
        lambda: layers.PReLU(shared_axes=[1, 2], alpha_initializer="ones"),
        lambda: layers.PReLU(alpha_initializer="ones"),
        lambda: layers.Activation("swish"),
        lambda: layers.Rescaling(2.0, 0.3),
        lambda: tf.nn.relu6,
        lambda: lambda x: tf.nn.silu(0.5 - x * 2.0),
    ],
)
def test_constants_are_propagated(compacted, between):
    assert compacted(network(between(), bias=-0.4))[1].channels == (7, 6)


def test_numbers_that_differ_by_channel_are_not_looked_into(compacted):
    numbers = np.array([0.1, 0.2, 0.3, 0.4], np.float32)
    assert compacted(network(lambda x: x + numbers))[1].channels == (7, 7)
    assert compacted(network(lambda x: x * tf.constant(numbers)))[1].channels == (7, 7)


def test_parametric_relu_with_different_slopes_by_position(compacted):
    slopes = layers.PReLU(alpha_initializer=keras.initializers.RandomUniform(0, 1))
    assert compacted(network(slopes, bias=-0.4))[1].channels == (7, 7)
    slopes = layers.PReLU(alpha_initializer=keras.initializers.RandomUniform(0, 1))
    assert compacted(network(slopes, bias=0.4))[1].channels == (7, 6)


def test_zeros_around_the_image_break_a_constant_that_is_not_zero(compacted):
    assert compacted(network(layers.ZeroPadding2D(1), bias=0.4))[1].channels == (7, 7)
    assert compacted(network(layers.ZeroPadding2D(1), bias=0.0))[1].channels == (7, 6)


def test_rows_of_a_dense_layer_after_flatten(compacted):
    model = network(layers.Flatten(), bias=0.4)
    small, _ = compacted(model)
    kernel = model.get_layer("last").kernel.numpy().reshape(36, 4, 3)
    np.testing.assert_array_equal(small.get_layer("last").kernel, kernel[:, [0, 1, 3]].reshape(-1, 3))


def test_channel_read_at_one_place_only_stays(compacted):
    model = network(layers.Flatten())
    last = model.get_layer("last")
    kernel = last.kernel.numpy().reshape(36, 4, 3)
    kernel[:, 1] = 0
    last.kernel.assign(kernel.reshape(-1, 3))
    assert compacted(model)[1].channels == (7, 5)
    kernel[7, 1, 2] = 0.1
    last.kernel.assign(kernel.reshape(-1, 3))
    assert compacted(model)[1].channels == (7, 6)


def zero_channels(before: int, after: int) -> list[keras.layers.Layer]:
    return [
        layers.Reshape((6, 6, 4, 1)),
        layers.ZeroPadding3D(((0, 0), (0, 0), (before, after)), name="pad"),
        layers.Reshape((6, 6, before + 4 + after), name="squeeze"),
    ]


def test_padding_with_zero_channels(compacted):
    model = network(*zero_channels(1, 2), last=layers.Conv2D(3, 3, padding="same", name="last"))
    small, report = compacted(model)
    assert report.channels == (7, 6) and small.get_layer("last").kernel.shape == (3, 3, 3, 3)
    np.testing.assert_array_equal(
        small.get_layer("last").kernel, model.get_layer("last").kernel.numpy()[:, :, [1, 2, 4]]
    )


def test_zero_channels_that_a_sum_fills_stay(compacted):
    image = keras.Input((6, 6, 2))
    first, branch = (
        layers.Conv2D(4, 3, padding="same", name="first"),
        layers.Conv2D(7, 3, padding="same", name="branch"),
    )
    x = first(image)
    for layer in zero_channels(1, 2):
        x = layer(x)
    model = keras.Model(image, layers.Dense(2)(layers.Add()([x, branch(image)])))
    for layer, dead in ((first, [1, 2]), (branch, [0, 2, 6])):
        kernel = layer.kernel.numpy()
        kernel[..., dead] = 0
        layer.kernel.assign(kernel)
    # Of the sum's 7 channels 0 and 6 are padding and dead in the branch; 2 is channel 1 of the first, dead in both.
    small, report = compacted(model)
    assert report.after["first"].channels == 3 and report.after["branch"].channels == 4
    assert small.get_layer("pad").padding[2] == (0, 1)


def test_padding_of_more_than_channels_is_left_alone(compacted):
    between = [layers.Reshape((6, 6, 4, 1)), layers.ZeroPadding3D(((1, 0), (0, 0), (0, 0))), layers.Reshape((7, 6, 4))]
    assert compacted(network(*between))[1].channels == (7, 7)


def test_axes_in_another_order_are_left_alone(compacted):
    assert compacted(network(layers.Reshape((4, 6, 6))))[1].channels == (7, 7)


def test_channels_first_is_left_alone(compacted):
    image = keras.Input((4, 4, 2))
    first = layers.Conv2D(4, 3, padding="same")
    x = layers.GlobalAveragePooling2D(data_format="channels_first")(first(image))  # the mean of columns and channels
    model = keras.Model(image, layers.Dense(3)(x))
    first.kernel.assign(first.kernel.numpy() * (np.arange(4) != 2))
    assert compacted(model)[1].channels == (7, 7)


def test_nested_model_called_for_training_is_left_alone(compacted):
    inner = keras.Sequential([layers.Conv2D(4, 3, input_shape=(6, 6, 2)), layers.BatchNormalization(momentum=1.0)])
    inner.layers[0].kernel.assign(inner.layers[0].kernel.numpy() * (np.arange(4) != 2))
    image = keras.Input((6, 6, 2))
    model = keras.Model(image, layers.Dense(3)(inner(image, training=True)))
    small, report = compacted(model)
    assert report.channels == (3, 3) and small.count_params() == model.count_params()


def test_nested_models_are_looked_into(compacted):
    inner = keras.Sequential([layers.Conv2D(4, 3, input_shape=(6, 6, 2), name="conv"), layers.ReLU()], name="inner")
    conv = inner.get_layer("conv")
    conv.kernel.assign(conv.kernel.numpy() * (np.arange(4) != 2))
    image, other = keras.Input((6, 6, 2)), keras.Input((6, 6, 2))
    features = layers.Concatenate()([inner(image), inner(other)])
    outer = keras.Model([image, other], layers.Conv2D(3, 1, name="conv")(features))
    small, report = compacted(outer)
    assert report.channels == (7, 6)
    assert {layer.name for layer in small.layers if layer.weights} == set(report.before) == set(report.after)


def test_sequential_model(compacted):
    model = keras.Sequential([layers.Conv2D(4, 3, input_shape=(6, 6, 2)), layers.Flatten(), layers.Dense(3)])
    kernel = model.layers[0].kernel
    kernel.assign(kernel.numpy() * (np.arange(4) != 2))
    assert compacted(model)[1].channels == (7, 6)


def test_images_of_any_size(compacted):
    image = keras.Input((None, None, 2))
    first = layers.Conv2D(4, 3, padding="same")
    model = keras.Model(image, layers.GlobalAveragePooling2D()(layers.Conv2D(3, 3, padding="same")(first(image))))
    first.kernel.assign(first.kernel.numpy() * (np.arange(4) != 2))
    report = compacted(model)[1]
    assert report.channels == (7, 6) and report.macs == (None, None) and "MACs" not in report.summary()


def test_shared_reshape_with_an_unknown_size(compacted):
    image, flat = keras.Input((6, 6, 2)), layers.Reshape((-1,))
    one, other = (layers.Conv2D(4, 3, strides=strides, name=f"conv{strides}") for strides in (1, 2))
    model = keras.Model(image, [layers.Dense(3)(flat(one(image))), layers.Dense(3)(flat(other(image)))])
    for layer in (one, other):
        layer.kernel.assign(layer.kernel.numpy() * (np.arange(4) != 1))
    assert compacted(model)[1].channels == (14, 12)


def test_dropout_whose_noise_has_the_channels(compacted):
    small, report = compacted(network(layers.Dropout(0.3, noise_shape=(None, 1, 1, 4))))
    assert report.channels == (7, 7)
    assert small(np.ones((2, 6, 6, 2)), training=True).shape == (2, 6, 6, 3)
    small, report = compacted(network(layers.Dropout(0.3, noise_shape=(None, 6, 6, 1))))
    assert report.channels == (7, 6)


def test_number_before_the_tensor(compacted):
    assert compacted(network(lambda x: 3.0 / (x + 100.0), bias=0.4))[1].channels == (7, 6)
    assert compacted(network(layers.ThresholdedReLU(0.3), bias=0.4))[1].channels == (7, 6)


def test_what_weights_start_from_may_have_the_old_size(compacted):
    numbers = keras.initializers.Constant([0.1, 0.2, 0.3, 0.4])
    model = network(layers.BatchNormalization(beta_initializer=numbers), layers.ReLU())
    assert compacted(model)[1].channels == (7, 6)
    assert model.layers[2].get_config()["beta_initializer"]["config"]["value"] == [0.1, 0.2, 0.3, 0.4]


def test_normalization_that_multiplies_by_zero(compacted):
    normalization = layers.BatchNormalization()
    model = network(normalization, layers.ReLU())
    normalization.gamma.assign([0.0, 1.0, 1.0, 0.0])
    normalization.beta.assign([0.3, 0.1, -0.1, -0.2])
    assert compacted(model)[1].channels == (7, 4)
