import numpy as np
import pytest

import tost_tf as tost
from tost_tf.compat import keras, tf
from tost_tf.graph.finite import first_not_finite

layers = keras.layers


@pytest.fixture
def model():
    """Of positive images it takes the root of their negatives in `inner/root`."""
    inner = [layers.Conv2D(2, 1, use_bias=False, name="b"), layers.Activation(tf.sqrt, name="root")]
    nested = keras.Sequential([keras.Input((3, 3, 2)), *inner, layers.BatchNormalization(name="bn")], name="inner")
    image = keras.Input((3, 3, 2))
    x = layers.Conv2D(2, 1, use_bias=False, name="a")(image)
    network = keras.Model(image, layers.Dense(3, name="c")(layers.Flatten(name="flat")(nested(x))))
    for path in ("a", "b"):
        layer = network.get_layer("a") if path == "a" else nested.get_layer("b")
        layer.set_weights([np.full((1, 1, 2, 2), -0.3 if path == "b" else 0.7)])
    return network


IMAGES = np.random.default_rng(4).uniform(0.1, 1, (5, 3, 3, 2)).astype(np.float32)


def test_nothing_to_blame(model):
    assert first_not_finite(model, -IMAGES) == ""


def test_images(model):
    images = -IMAGES
    images[2, 1, 1, 0] = np.inf
    assert first_not_finite(model, images) == "the images"
    assert first_not_finite(model, tf.constant(images)) == "the images"


def test_a_weight(model):
    kernel = model.get_layer("inner").get_layer("b").kernel
    kernel.assign(tf.fill(kernel.shape, np.nan))
    assert first_not_finite(model, -IMAGES) == "the weight inner/b/kernel"


def test_a_layer_also_sparse_and_its_statistics_stay(model):
    sparse = tost.sparsify(model, tost.masks.random(model, sparsity=0.2))
    for network in (model, sparse):
        before = [variable.numpy() for variable in network.variables]
        assert first_not_finite(network, IMAGES) == "the output of the layer root"
        assert all(np.array_equal(old, new.numpy()) for old, new in zip(before, network.variables, strict=True))
        assert not any("call" in vars(layer) for layer in network.submodules)


class Traced(layers.Layer):
    """A layer in a layer that is traced."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.root = layers.Activation(tf.sqrt, name="root")

    @tf.function
    def call(self, x):
        return self.root(x)


def test_a_layer_that_traces_itself():
    model = keras.Sequential([keras.Input((3, 3, 2)), Traced(name="outer"), layers.Flatten(), layers.Dense(3)])
    assert first_not_finite(model, -IMAGES) == "the output of the layer outer"
    assert first_not_finite(model, IMAGES) == ""
