"""Layers that hold layers, and calls, between the two Keras."""

import numpy as np
import pytest

import tost_tf as tost
from tost_tf.compat import keras, keras3
from tost_tf.convert.to_keras3 import to_keras3
from tost_tf.errors import TostError

generator = np.random.default_rng(4)
SERIES = generator.normal(size=(3, 6, 4)).astype("float32")
STATES = [generator.normal(size=(3, 5)).astype("float32") for _ in range(2)]
CLIP = generator.normal(size=(3, 2, 6, 6, 1)).astype("float32")
MASK = generator.random((3, 6)) < 0.6


def both_directions(package):
    x = package.Input((6, 4))
    layers = package.layers
    h = layers.Bidirectional(layers.GRU(5, return_sequences=True), merge_mode="ave", name="both")(x)
    backward = layers.SimpleRNN(3, go_backwards=True, activation="relu")
    return package.Model(x, layers.Bidirectional(layers.SimpleRNN(3), backward_layer=backward, name="own")(h)), [SERIES]


def at_each_step(package):
    layers = package.layers
    frame = package.Input((6, 6, 1))
    h = layers.BatchNormalization(name="bn")(layers.Conv2D(3, 3, name="c")(frame))
    cnn = package.Model(frame, layers.Flatten()(h), name="cnn")
    x = package.Input((2, 6, 6, 1))
    h = layers.TimeDistributed(layers.Dense(2, activation="relu"), name="dense")(layers.TimeDistributed(cnn)(x))
    model = package.Model(x, h)
    for weight in model.weights:
        weight.assign(generator.uniform(0.3, 1.7, weight.shape))
    return model, [CLIP]


def cells(package):
    x = package.Input((6, 4))
    layers = package.layers
    return package.Model(x, layers.RNN([layers.LSTMCell(5), layers.GRUCell(3)], return_sequences=True)(x)), [SERIES]


def states(package):
    x, one, other = package.Input((6, 4)), package.Input((5,)), package.Input((5,))
    return package.Model([x, one, other], package.layers.LSTM(5)(x, initial_state=[one, other])), [SERIES, *STATES]


def masks(package):
    x, mask = package.Input((6, 4)), package.Input((6,), dtype="bool")
    return package.Model([x, mask], package.layers.GRU(5)(x, mask=mask)), [SERIES, MASK]


def attention(package):
    """The fourth argument is the mask of attention in tf_keras, and that of the query in Keras 3."""
    x, mask = package.Input((6, 4)), package.Input((6, 6), dtype="bool")
    layer = package.layers.MultiHeadAttention(2, 3)
    h = layer(x, x, x, mask) if package is keras else layer(x, x, x, attention_mask=mask)
    return package.Model([x, mask], h), [SERIES, np.broadcast_to(MASK[:, None], (3, 6, 6)) | np.eye(6, dtype=bool)]


MODELS = (both_directions, at_each_step, cells, states, masks, attention)


@pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__)
def test_from_tf_keras_and_back(make):
    model, inputs = make(keras)
    inputs = inputs if len(inputs) > 1 else inputs[0]
    there = to_keras3(model)
    np.testing.assert_allclose(np.asarray(there(inputs)), model(inputs), atol=1e-5)
    back = tost.from_keras3(there)
    np.testing.assert_allclose(back(inputs), model(inputs), atol=1e-5)


@pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__)
def test_from_keras3_masked_and_stripped(make):
    model, inputs = make(keras3())
    inputs = inputs if len(inputs) > 1 else inputs[0]
    here = tost.from_keras3(model)
    np.testing.assert_allclose(here(inputs), np.asarray(model(inputs)), atol=1e-5)
    final = tost.strip(tost.sparsify(here, tost.masks.random(here, sparsity=0.3)))
    np.testing.assert_allclose(np.asarray(to_keras3(final)(inputs)), final(inputs), atol=1e-5)


def test_layers_in_layers_are_refused_by_both_names():
    x = keras.Input((6, 4))
    inner = keras.layers.Dense(3, activation=lambda t: t * 0.3, name="inner")
    with pytest.raises(TostError, match="in the layer 'each': the layer 'inner' .* has no counterpart"):
        to_keras3(keras.Model(x, keras.layers.TimeDistributed(inner, name="each")(x)))


@pytest.mark.parametrize("kind", ["RandomFlip", "SpatialDropout1D", "SpatialDropout2D", "Discretization"])
def test_options_that_one_keras_lacks_are_left_out_if_they_do_nothing(kind):
    arguments = {"SpatialDropout1D": (0.3,), "SpatialDropout2D": (0.3,), "Discretization": ([0.3, 0.7],)}
    shape = (6, 4) if kind == "SpatialDropout1D" else (6, 6, 2)
    x = keras.Input(shape)
    model = keras.Model(x, getattr(keras.layers, kind)(*arguments.get(kind, ()), name="layer")(x))
    values = generator.random((2, *shape)).astype("float32")
    np.testing.assert_allclose(np.asarray(to_keras3(model)(values, training=False)), model(values, training=False))
