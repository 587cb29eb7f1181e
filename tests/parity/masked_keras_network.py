"""The network of `masked_network.py` in Keras and double precision."""

import contextlib
from collections.abc import Iterator

import numpy as np

from tests.parity.masked_network import CLASSES, IMAGE, Arrays
from tost_tf.compat import keras


@contextlib.contextmanager
def double_precision() -> Iterator[None]:
    """Makes Keras create everything in float64."""
    before = keras.backend.floatx()
    keras.backend.set_floatx("float64")
    try:
        yield
    finally:
        keras.backend.set_floatx(before)


def keras_network(*values: Arrays) -> keras.Model:
    """The network with the weights and statistics given by name."""
    layers = keras.layers
    image = keras.Input(IMAGE, name="image")
    x = layers.Conv2D(3, 3, padding="same", use_bias=False, name="conv1")(image)
    x = layers.ReLU(name="relu1")(layers.BatchNormalization(name="norm1")(x))
    x = layers.Conv2D(4, 3, strides=2, padding="same", name="conv2")(x)
    x = layers.ReLU(name="relu2")(layers.BatchNormalization(name="norm2")(x))
    model = keras.Model(image, layers.Dense(CLASSES, name="logits")(layers.Flatten(name="flat")(x)), name="parity")
    given = {name: value for part in values for name, value in part.items()}
    if given:
        model.set_weights([given[weight.name.removesuffix(":0")] for weight in model.weights])
    return model


def arrays_of(model: keras.Model) -> Arrays:
    """Name -> weight or statistic of a plain model."""
    return {weight.name.removesuffix(":0"): weight.numpy() for weight in model.weights}


def assert_near(found: Arrays, expected: Arrays, tolerance: float = 1e-10) -> None:
    """Every array is within `tolerance` of the expected one, relative to each number and, near 0, to the largest."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        largest = np.abs(value).max()
        np.testing.assert_allclose(found[name], value, rtol=tolerance, atol=tolerance * largest, err_msg=name)
