"""Multiply-adds of an image, counted by hand."""

import numpy as np

from tost_tf.compaction.report import multiply_adds
from tost_tf.compat import keras

layers = keras.layers


def network(shape: tuple) -> keras.Model:
    image = keras.Input(shape)
    conv = layers.Conv2D(4, 3, padding="same", strides=2, use_bias=False, name="conv")
    x = layers.DepthwiseConv2D(3, padding="valid", name="depthwise")(layers.ReLU()(conv(image)))
    return keras.Model(image, layers.Dense(3, name="logits")(layers.GlobalAveragePooling2D()(x)))


def test_all_and_those_of_weights_that_are_not_zero():
    model = network((8, 8, 2))
    # 4x4 places of 3x3x2x4 weights; 2x2 of 3x3x4; one of 4x3.
    total = 16 * 72 + 4 * 36 + 12
    assert multiply_adds(model) == (total, total)
    kernel = np.ones((3, 3, 2, 4))
    kernel[0, 0] = 0
    model.get_layer("conv").set_weights([kernel])
    assert multiply_adds(model) == (total, total - 16 * 8)


def test_a_layer_that_is_called_twice_counts_twice():
    image = keras.Input((4, 4, 2))
    conv = layers.Conv2D(2, 1, use_bias=False)
    assert multiply_adds(keras.Model(image, conv(conv(image)))) == (2 * 16 * 4, 2 * 16 * 4)


def test_images_of_any_size():
    assert multiply_adds(network((None, None, 2))) == (None, None)
