import pytest

from tost_tf.compat import keras


@pytest.fixture
def tiny_model() -> keras.Model:
    """A convolution, a depthwise one and a classifier, for `small_images`: a third of what `small_model` has."""
    layers = keras.layers
    image = keras.Input((6, 6, 2))
    x = layers.Conv2D(5, 3, strides=2, use_bias=False, name="conv1")(image)
    x = layers.ReLU(name="relu")(layers.BatchNormalization(name="bn1")(x))
    x = layers.DepthwiseConv2D(2, name="conv2")(x)
    return keras.Model(image, layers.Dense(4, name="logits")(layers.Flatten(name="flat")(x)), name="tiny")
