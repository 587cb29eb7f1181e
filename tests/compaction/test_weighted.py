"""Dead filters and what reads them. Most networks are two convolutions: "first" of 4 filters, of which number 2 is all
zeros, and "second", which reads them.
"""

import numpy as np
import pytest

from tost_tf.compat import keras

layers = keras.layers


def network(*between, bias: float = 0.0, zero: int = 2, second: keras.layers.Layer | None = None, size: int = 6):
    image = keras.Input((size, size, 2))
    first = layers.Conv2D(4, 3, padding="same", bias_initializer="ones", name="first")
    x = first(image)
    for layer in between:
        x = layer(x)
    second = second or layers.Conv2D(3, 3, padding="same", name="second")
    model = keras.Model(image, second(x))
    kernel, biases = first.get_weights()
    kernel[..., zero] = 0
    biases[zero] = bias
    first.set_weights([kernel, biases])
    return model


def normalization(constant: float) -> keras.layers.Layer:
    """Makes `constant` of a filter of zeros with bias 0.7, at every channel: (0.7 - 0.3) · 3 / 2 + β."""
    layer = layers.BatchNormalization(epsilon=0.1)
    layer.build((None, 6, 6, 4))
    layer.set_weights([np.full(4, 3.0), np.full(4, constant - 0.6), np.full(4, 0.3), np.full(4, 3.9)])
    return layer


def test_filter_of_zeros_is_removed_with_its_input_in_later_layers(compacted):
    model = network()
    small, report = compacted(model)
    assert report.channels == (7, 6) and report.macs == (36 * (18 * 4 + 36 * 3), 36 * (18 * 3 + 27 * 3))
    expected = model.get_layer("second").kernel.numpy()[:, :, [0, 1, 3]]
    np.testing.assert_array_equal(small.get_layer("second").kernel, expected)


def test_constant_that_the_activation_makes_zero_goes(compacted):
    assert compacted(network(normalization(-0.2), layers.ReLU(), bias=0.7))[1].channels == (7, 6)
    assert compacted(network(normalization(-0.2), layers.Activation("tanh"), bias=0.7))[1].channels == (7, 7)


def test_constant_that_borders_see_stays(compacted):
    assert compacted(network(normalization(0.4), layers.ReLU(), bias=0.7))[1].channels == (7, 7)


@pytest.mark.parametrize(
    "second",
    [
        lambda: layers.Conv2D(3, 3, padding="valid", use_bias=False, name="second"),
        lambda: layers.Conv2D(3, 1, padding="same", activation="relu", name="second"),
        lambda: layers.Dense(3, activation="softmax", name="second"),
        lambda: layers.SeparableConv2D(3, 3, padding="valid", depth_multiplier=2, use_bias=False, name="second"),
    ],
)
def test_bias_takes_in_a_constant_if_there_are_no_borders(compacted, second):
    small, report = compacted(network(normalization(0.4), layers.ReLU(), bias=0.7, second=second()))
    assert report.channels == (7, 6)
    assert small.get_layer("second").use_bias


def test_bias_is_what_the_constant_adds(compacted):
    model = network(normalization(0.4), layers.ReLU(), bias=0.7, second=layers.Dense(3, name="second"))
    model.get_layer("second").bias.assign([0.1, -0.2, 0.3])
    expected = np.array([0.1, -0.2, 0.3]) + 0.4 * model.get_layer("second").kernel.numpy()[2]
    small, _ = compacted(model)
    np.testing.assert_allclose(small.get_layer("second").bias, expected, atol=1e-6)


def test_bias_takes_in_a_constant_if_no_weight_that_reads_it_falls_on_padding(compacted):
    model = network(normalization(0.4), layers.ReLU(), bias=0.7)
    second = model.get_layer("second")
    kernel, bias = second.get_weights()
    kernel[:, :, 2] = 0
    kernel[1, 1, 2] = 0.3  # the middle alone
    second.set_weights([kernel, bias])
    assert compacted(model)[1].channels == (7, 6)
    kernel[0, 1, 2, 1] = 1e-3
    second.set_weights([kernel, bias])
    assert compacted(model)[1].channels == (7, 7)


def test_constants_are_propagated_through_a_convolution(compacted):
    image = keras.Input((6, 6, 2))
    zeros, mixed = layers.Conv2D(4, 3, kernel_initializer="zeros", bias_initializer="ones"), layers.Conv2D(5, 3)
    model = keras.Model(image, layers.Dense(2)(layers.GlobalMaxPooling2D()(mixed(zeros(image)))))
    # Nothing depends on the image: a channel each is left, as no layer can have none.
    assert compacted(model)[1].channels == (11, 4)


def test_unread_channels_are_removed_even_if_alive(compacted):
    model = network(layers.Activation("gelu"), bias=0.3, zero=0)
    second = model.get_layer("second")
    kernel, bias = second.get_weights()
    kernel[:, :, 3] = 0
    second.set_weights([kernel, bias])
    assert compacted(model)[1].channels == (7, 6)


def test_what_only_dead_filters_read_goes(compacted):
    image = keras.Input((6, 6, 2))
    stages = [layers.Conv2D(4, 3, name="a"), layers.Conv2D(5, 3, name="b"), layers.Dense(2, name="c")]
    x = image
    for stage in stages:
        x = stage(x)
    model = keras.Model(image, x)
    b, c = stages[1].kernel, stages[2].kernel
    b.assign(b.numpy() * np.where(np.arange(5) == 1, 1, np.where(np.arange(4) == 2, 0, 1)[:, None]))
    c.assign(c.numpy() * (np.arange(5) != 1)[:, None])
    # Channel 2 of "a" is read by filter 1 of "b" alone, which "c" does not read.
    report = compacted(model)[1]
    assert {name: size.channels for name, size in report.after.items()} == {"a": 3, "b": 4, "c": 2}


def test_dead_channel_through_a_depthwise_convolution(compacted):
    model = network(layers.DepthwiseConv2D(3, padding="same", use_bias=False), layers.ReLU())
    assert compacted(model)[1].channels == (11, 9)
    model = network(layers.DepthwiseConv2D(3, padding="same", use_bias=False), layers.ReLU(), bias=0.5)
    assert compacted(model)[1].channels == (11, 11)


def test_layer_that_is_shared_is_cut_once_for_all_its_calls(compacted):
    image, other = keras.Input((6, 6, 2)), keras.Input((6, 6, 2))
    first, second = layers.Conv2D(4, 3, name="first"), layers.Dense(3, name="second")
    model = keras.Model([image, other], [second(first(image)), second(first(other))])
    kernel, bias = first.get_weights()
    kernel[..., 2] = 0
    bias[2] = 0.4
    first.set_weights([kernel, bias])
    small, report = compacted(model)
    assert report.channels == (7, 6) and len([layer for layer in small.layers if layer.weights]) == 2
    assert report.macs == (2 * (16 * 18 * 4 + 16 * 12), 2 * (16 * 18 * 3 + 16 * 9))


def test_shared_layer_keeps_what_any_of_its_calls_needs(compacted):
    image, other = keras.Input((6, 6, 2)), keras.Input((6, 6, 2))
    shared, readers = layers.Conv2D(4, 3, name="shared"), [layers.Dense(3), layers.Dense(2)]
    model = keras.Model([image, other], [reader(shared(x)) for reader, x in zip(readers, (image, other), strict=True)])
    readers[0].kernel.assign(readers[0].kernel.numpy() * (np.arange(4) > 1)[:, None])
    readers[1].kernel.assign(readers[1].kernel.numpy() * (np.arange(4) % 2)[:, None])
    assert compacted(model)[1].after["shared"].channels == 3  # 2 and 3 by the one, 1 and 3 by the other


def test_constants_that_differ_by_call_stay(compacted):
    image = keras.Input((6, 6, 2))
    shared = layers.Dense(3, name="shared")
    parts = [layers.Conv2D(4, 3, kernel_initializer="zeros", name=name) for name in ("a", "b")]
    alive = [layers.Conv2D(4, 3, name=name) for name in ("c", "d")]
    sums = [layers.Concatenate()([dead(image), live(image)]) for dead, live in zip(parts, alive, strict=True)]
    model = keras.Model(image, [shared(x) for x in sums])
    parts[0].bias.assign([0.1, 0.2, 0.3, 0.4])
    parts[1].bias.assign([0.1, 0.2, 0.5, 0.4])
    after = compacted(model)[1].after
    assert (after["a"].channels, after["b"].channels, after["c"].channels) == (1, 1, 4)


def relu(x):
    """A function of all channels, with the name of one that is not."""
    return x - keras.backend.max(x, axis=-1, keepdims=True)


def test_outputs_and_unknown_layers_keep_every_channel(compacted):
    image = keras.Input((6, 6, 2))
    first = layers.Conv2D(4, 3, name="first")
    x = first(image)
    kernel, bias = first.get_weights()
    kernel[..., 2] = 0
    first.set_weights([kernel, bias])
    assert compacted(keras.Model(image, x))[1].channels == (4, 4)
    for unknown in (
        layers.LayerNormalization(),
        layers.Softmax(),
        layers.Activation(relu),
        layers.Conv2D(4, 3, groups=2),
        layers.Conv2DTranspose(4, 3),
        layers.Permute((3, 1, 2)),
        layers.Activation("softmax"),
    ):
        channels, after = compacted(keras.Model(image, layers.GlobalAveragePooling2D()(unknown(x))))[1].channels
        assert channels == after


def test_activation_over_channels_keeps_its_filters(compacted):
    image = keras.Input((6, 6, 2))
    first = layers.Conv2D(4, 3, activation="softmax")
    model = keras.Model(image, layers.Dense(3, kernel_initializer="zeros")(first(image)))
    assert compacted(model)[1].channels == (7, 7)


def test_batch_normalization_that_is_called_for_training_is_left_alone(compacted):
    image = keras.Input((6, 6, 2))
    first = layers.Conv2D(4, 3, kernel_initializer="zeros")
    x = layers.BatchNormalization(momentum=1.0)(first(image), training=True)
    assert compacted(keras.Model(image, layers.Dense(2)(x)))[1].channels == (6, 6)


def test_network_in_which_everything_is_dead(compacted):
    image = keras.Input((6, 6, 2))
    x = image
    for filters in (4, 5):
        x = layers.Conv2D(filters, 3, kernel_initializer="zeros", bias_initializer="ones", padding="same")(x)
    x = layers.Flatten()(x)
    report = compacted(keras.Model(image, layers.Dense(3)(x)))[1]
    assert report.channels == (12, 5)


def test_one_dimension_and_three(compacted):
    for rank, kind, pool in ((1, "Conv1D", "MaxPooling1D"), (3, "Conv3D", "AveragePooling3D")):
        image = keras.Input((6,) * rank + (2,))
        first = getattr(layers, kind)(4, 3, padding="same")
        x = getattr(layers, pool)(2, padding="same")(first(image))
        model = keras.Model(image, getattr(layers, kind)(3, 2)(x))
        first.kernel.assign(first.kernel.numpy() * (np.arange(4) != 1))
        first.bias.assign([0.1, 0.2, 0.3, 0.4])
        assert compacted(model)[1].channels == (7, 6)


def test_biases_of_a_layer_named_kernel_are_not_multiplied(compacted):
    model = keras.Sequential([layers.Conv2D(4, 3, input_shape=(6, 6, 2), name="kernel_net"), layers.Flatten()])
    assert compacted(model)[1].macs == (16 * 18 * 4, 16 * 18 * 4)
