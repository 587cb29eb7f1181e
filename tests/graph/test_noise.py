import numpy as np
import pytest

import tost_tf as tost
from tost_tf.compat import keras, tf
from tost_tf.graph.noise import noise_off

IMAGES = np.random.default_rng(2).normal(size=(8, 6, 6, 3)).astype(np.float32)
layers = keras.layers


class OwnNoise(layers.Layer):
    """Noise as networks have it in code of their own, with control flow for autograph."""

    def call(self, x, training=None):
        if training and tf.random.uniform(()) < 2.0:
            x = x + tf.random.uniform(tf.shape(x))
        return x


class Block(layers.Layer):
    """Dropout and BatchNormalization in a layer."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.normalise, self.drop = layers.BatchNormalization(), layers.Dropout(0.4)

    def call(self, x, training=None):
        return self.drop(self.normalise(x, training=training), training=training)


class TracedBlock(Block):
    @tf.function
    def call(self, x, training=None):
        return super().call(x, training=training)


class Traced(layers.Dropout):
    @tf.function
    def call(self, x, training=None):
        return super().call(x, training=training)


NOISE = {
    "Dropout": lambda: layers.Dropout(0.4),
    "SpatialDropout2D": lambda: layers.SpatialDropout2D(0.4),
    "GaussianDropout": lambda: layers.GaussianDropout(0.4),
    "AlphaDropout": lambda: layers.AlphaDropout(0.4),
    "GaussianNoise": lambda: layers.GaussianNoise(0.7),
    "RandomFlip": layers.RandomFlip,
    "RandomZoom": lambda: layers.RandomZoom(0.3),
    "RandomContrast": lambda: layers.RandomContrast(0.3),
    "recurrent": lambda: layers.TimeDistributed(layers.LSTM(3, return_sequences=True, dropout=0.4)),
    "nested": lambda: keras.Sequential([keras.Input((6, 6, 3)), layers.Dropout(0.4)]),
    "a layer of one's own": OwnNoise,
    "in a layer": Block,
    "a traced call": lambda: Traced(0.4),
    "in a traced call": TracedBlock,
}


def outputs(model, times=2):
    function = tf.function(lambda images: model(images, training=True))
    return [function(IMAGES).numpy() for _ in range(times)]


@pytest.mark.parametrize("name", NOISE)
def test_noise_is_off_as_long_as_the_block_lasts_and_batches_are_normalised(name):
    image = keras.Input((6, 6, 3))
    noisy = NOISE[name]()
    model = keras.Model(image, layers.BatchNormalization(epsilon=0.0)(noisy(image)))
    state = [dict(vars(part)) for part in model.submodules]
    with noise_off(model):
        first, second = outputs(model)
        np.testing.assert_array_equal(first, second)
        np.testing.assert_allclose(first.mean((0, 1, 2)), 0, atol=1e-5)
        np.testing.assert_allclose(first.std((0, 1, 2)), 1, rtol=1e-4)
    assert [dict(vars(part)).keys() for part in model.submodules] == [before.keys() for before in state]
    first, second = outputs(model)
    assert np.abs(first - second).max() > 0.01


def test_the_training_argument_in_the_graph_does_not_matter():
    image = keras.Input((6, 6, 3))
    model = keras.Model(image, layers.Dropout(0.4)(image, True))
    with noise_off(model):
        np.testing.assert_array_equal(outputs(model, 1)[0], IMAGES)


def test_batch_normalisation_that_is_frozen_or_called_in_inference_stays_so():
    image = keras.Input((6, 6, 3))
    base = keras.Sequential([keras.Input((6, 6, 3)), layers.BatchNormalization(epsilon=0.0)])
    frozen = layers.BatchNormalization(epsilon=0.0, trainable=False)
    model = keras.Model(image, layers.Dropout(0.4)(frozen(base(image, training=False))))
    with noise_off(model):
        np.testing.assert_allclose(outputs(model, 1)[0], IMAGES, rtol=1e-5)


def test_both_views_of_a_ghost_model(small_model, small_images):
    image = small_model.input
    x = layers.Dropout(0.4)(small_model.get_layer("relu1").output)
    x = layers.Conv2D(5, 3, name="behind")(x)
    model = keras.Model(image, layers.Dense(4)(layers.Flatten()(x)))
    ghosted = tost.GhostModel(tost.sparsify(model, tost.masks.random(model, sparsity=0.3)), skips="projection")
    for view in (ghosted.ghosted, ghosted.plain):
        assert ghosted.view is view
        with noise_off(ghosted):
            one, other = (ghosted(small_images[0], training=True).numpy() for _ in range(2))
            calm = ghosted(small_images[0], training=False).numpy()
        np.testing.assert_array_equal(one, other)
        assert np.abs(one - calm).max() > 1e-3  # batches are normalised by themselves
        ghosted.remove_ghosts()
