"""Sums, products, concatenations."""

import numpy as np
import pytest

from tost_tf.compat import keras, tf

layers = keras.layers


def convolution(name: str, dead: tuple[int, ...] = (), bias: float = 0.0) -> keras.layers.Layer:
    """4 filters, those in `dead` all zeros with this bias."""
    layer = layers.Conv2D(4, 3, padding="same", name=name)
    layer.build((None, 6, 6, 2))
    kernel, biases = layer.get_weights()
    kernel[..., list(dead)] = 0
    biases[:] = 0.2
    biases[list(dead)] = bias
    layer.set_weights([kernel, biases])
    return layer


def joined(merge, one: keras.layers.Layer, other: keras.layers.Layer, last: str = "same") -> keras.Model:
    image = keras.Input((6, 6, 2))
    x = merge([one(image), other(image)])
    return keras.Model(image, layers.Conv2D(3, 3, padding=last, name="last")(layers.ReLU(name="relu")(x)))


ADDITIONS = [layers.Add(), lambda pair: pair[0] + pair[1], lambda pair: tf.add(*pair)]


@pytest.mark.parametrize("add", ADDITIONS)
def test_channels_of_a_sum_are_removed_if_all_its_terms_are_dead(compacted, add):
    model = joined(add, convolution("a", (1, 2)), convolution("b", (2, 3)))
    after = compacted(model)[1].after
    assert (after["a"].channels, after["b"].channels) == (3, 3)


def test_constants_of_a_sum_are_added(compacted):
    model = joined(layers.Add(), convolution("a", (1, 2), 0.7), convolution("b", (2,), -0.7))
    assert compacted(model)[1].after["a"].channels == 3
    model = joined(layers.Add(), convolution("a", (1, 2), 0.7), convolution("b", (2,), -0.6))
    assert compacted(model)[1].after["a"].channels == 4  # 0.1 at every place, which the last layer's borders see
    model = joined(layers.Add(), convolution("a", (1, 2), 0.7), convolution("b", (2,), -0.6), last="valid")
    assert compacted(model)[1].after["a"].channels == 3


@pytest.mark.parametrize("add", ADDITIONS)
def test_term_of_zeros_leaves_the_sum_with_its_layers(compacted, add):
    image = keras.Input((6, 6, 2))
    shortcut = convolution("shortcut")(image)
    branch = layers.ReLU()(convolution("conv1")(image))
    branch = layers.Conv2D(4, 3, kernel_initializer="zeros", name="conv2")(layers.ZeroPadding2D()(branch))
    small, report = compacted(keras.Model(image, layers.Dense(2, name="last")(add([shortcut, branch]))))
    assert list(report.after) == ["shortcut", "last"] and len(small.layers) == 3


def test_term_that_is_constant_becomes_a_shift(compacted):
    image = keras.Input((6, 6, 2))
    x = layers.ReLU()(convolution("shortcut")(image))
    dead = convolution("dead", (0, 1, 2, 3))
    dead.bias.assign([0.3, -0.4, 0.0, 0.2])
    x = layers.ReLU()(layers.Add(name="add")([dead(image), x]))
    small, report = compacted(keras.Model(image, layers.Conv2D(3, 3, padding="same", name="last")(x)))
    assert list(report.after) == ["shortcut", "last"]
    shift = small.get_layer("add_constant")
    np.testing.assert_allclose(shift.beta, [0.3, -0.4, 0.0, 0.2], atol=1e-7)
    np.testing.assert_allclose(small(np.ones((1, 6, 6, 2))), small(np.ones((1, 6, 6, 2)), training=True), atol=1e-6)


def test_term_that_is_alive_only_in_unread_channels_is_removed(compacted):
    model = joined(layers.Add(), convolution("a"), convolution("b", (0, 1, 2)))
    last = model.get_layer("last")
    last.kernel.assign(last.kernel.numpy() * (np.arange(4) != 3)[:, None])
    after = compacted(model)[1].after
    assert "b" not in after and after["a"].channels == 3


def test_sum_of_constants_keeps_one_term(compacted):
    every = (0, 1, 2, 3)
    _, report = compacted(joined(layers.Add(), convolution("a", every, 0.3), convolution("b", every, 0.4)))
    assert list(report.after) == ["b", "last"] and report.channels == (11, 7)


def test_three_terms_of_which_one_is_dead(compacted):
    image = keras.Input((6, 6, 2))
    terms = [convolution("a")(image), convolution("b", (0, 1, 2, 3), 0.3)(image), convolution("c")(image)]
    report = compacted(keras.Model(image, layers.Dense(2, name="last")(layers.Add()(terms))))[1]
    assert list(report.after) == ["a", "c", "last"]


def test_sum_layer_that_is_shared(compacted):
    image, add, every = keras.Input((6, 6, 2)), layers.Add(name="add"), (0, 1, 2, 3)
    one = add([convolution("a")(image), convolution("b", every, 0.3)(image)])
    other = add([convolution("c", every, -0.4)(image), convolution("d")(image)])
    both = add([layers.ReLU()(one), layers.ReLU()(other)])
    small, report = compacted(keras.Model(image, layers.Conv2D(3, 3, padding="same", name="last")(both)))
    assert set(report.after) == {"a", "d", "last"}
    assert {"add", "add_constant", "add_constant_"} <= {layer.name for layer in small.layers}


def test_term_that_is_broadcast_stays(compacted):
    image = keras.Input((6, 6, 2))
    small = layers.GlobalAveragePooling2D(keepdims=True)(convolution("a")(image))
    model = keras.Model(image, layers.Dense(2)(layers.Add()([small, convolution("b", (0, 1, 2, 3))(image)])))
    assert "b" in compacted(model)[1].after


def test_channel_of_a_product_is_removed_if_one_factor_is_zero(compacted):
    image = keras.Input((6, 6, 2))
    gate = convolution("gate", (1,))
    gates = layers.Reshape((1, 1, 4))(layers.GlobalAveragePooling2D()(gate(image)))
    x = layers.Multiply()([convolution("a")(image), gates])
    after = compacted(keras.Model(image, layers.Conv2D(3, 3, padding="same")(x)))[1].after
    assert after["a"].channels == after["gate"].channels == 3


@pytest.mark.parametrize("kind", [layers.Maximum, layers.Subtract])
def test_other_merges(compacted, kind):
    for bias, left in ((0.0, 3), (0.4, 4)):
        model = joined(kind(), convolution("a", (1, 2)), convolution("b", (2, 3), bias))
        if kind is layers.Subtract and bias:
            model.get_layer("relu").max_value = None  # 0 - 0.4 is cut off by the ReLU
            left = 3
        assert compacted(model)[1].after["a"].channels == left


@pytest.mark.parametrize("concatenate", [layers.Concatenate(), lambda pair: tf.concat(pair, -1)])
def test_concatenation_joins_what_is_left(compacted, concatenate):
    model = joined(concatenate, convolution("a", (1,)), convolution("b", (0, 3)))
    small, report = compacted(model)
    assert (report.after["a"].channels, report.after["b"].channels) == (3, 2)
    expected = model.get_layer("last").kernel.numpy()[:, :, [0, 2, 3, 5, 6]]
    np.testing.assert_array_equal(small.get_layer("last").kernel, expected)


def test_mean(compacted):
    model = joined(layers.Average(), convolution("a", (1, 2), 0.7), convolution("b", (2,), -0.7))
    assert compacted(model)[1].after["a"].channels == 3
    model = joined(layers.Average(), convolution("a", (2,), 0.7), convolution("b", (2,), 0.2), last="valid")
    assert compacted(model)[1].after["a"].channels == 3


def test_operation_that_concatenates_places_or_with_numbers(compacted):
    model = joined(lambda pair: tf.concat(pair, 1), convolution("a", (1,)), convolution("b", (1,)))
    assert compacted(model)[1].channels == (11, 11)
    zeros = tf.zeros((3, 6, 6, 1))
    model = joined(lambda pair: tf.concat([*pair, zeros], -1), convolution("a", (1,)), convolution("b", (1,)))
    assert compacted(model)[1].channels == (11, 11)


def test_dead_tensor_leaves_the_concatenation(compacted):
    image = keras.Input((6, 6, 2))
    deep = convolution("deep", (0, 1, 2, 3))(layers.Conv2D(2, 1, name="before")(image))
    three = layers.Concatenate()([convolution("a")(image), deep, convolution("b")(image)])
    report = compacted(keras.Model(image, layers.Conv2D(3, 3, padding="same", name="last")(three)))[1]
    assert list(report.after) == ["a", "b", "last"]
    two = layers.Concatenate()([convolution("c")(image), deep])
    small, report = compacted(keras.Model(image, layers.Conv2D(3, 3, padding="same", name="last")(two)))
    assert list(report.after) == ["c", "last"]
    assert not any(isinstance(layer, layers.Concatenate) for layer in small.layers)


def test_concatenation_of_places_keeps_its_channels(compacted):
    model = joined(layers.Concatenate(axis=1), convolution("a", (1,)), convolution("b", (1,)))
    assert compacted(model)[1].channels == (11, 11)


def test_several_inputs_and_outputs(compacted):
    image, other = keras.Input((6, 6, 2), name="image"), keras.Input((6, 6, 2), name="other")
    a, b = convolution("a", (1,))(image), convolution("b", (0, 1, 2, 3))(other)
    outputs = {"sum": layers.Dense(2, name="one")(layers.Add()([a, b])), "alone": layers.Dense(3, name="two")(a)}
    small, report = compacted(keras.Model({"image": image, "other": other}, outputs))
    assert {name: size.channels for name, size in report.after.items()} == {"a": 3, "one": 2, "two": 3}
    assert set(small.output) == {"sum", "alone"} and set(small.input) == {"image", "other"}


def test_channel_that_an_output_needs_stays(compacted):
    image = keras.Input((6, 6, 2))
    features = convolution("a", (1,))(image)
    model = keras.Model(image, [features, layers.Dense(2)(features)])
    assert compacted(model)[1].channels == (6, 6)
