"""Names of layers and operations in Keras 3."""

import numpy as np
import pytest

import tost_tf as tost
from tost_tf.compat import keras, keras3, tf
from tost_tf.convert.to_keras3 import to_keras3
from tost_tf.errors import TostError

X = np.random.default_rng(6).normal(size=(2, 4)).astype(np.float32)


def made(layers_and_operations):
    x = keras.Input((4,), name="x")
    return keras.Model(x, layers_and_operations(x, keras.layers.Dense(4, name="dense")(x)), name="m")


@pytest.mark.parametrize(
    "call",
    [
        lambda x, y: keras.layers.Add(name="add")([x, y]) + 1.3 + y,
        lambda x, y: keras.layers.Multiply(name="multiply_1")([x, y]) * 2.3 * y * 0.7,
        lambda x, y: tf.nn.relu(keras.layers.Activation("relu", name="relu")(x - 0.3) + y),
    ],
    ids=["add", "multiply", "relu"],
)
def test_layers_with_the_names_that_keras_3_gives_operations(call, tmp_path):
    keras3().backend.clear_session()  # so that it counts operations from the first
    model = made(call)
    tost.export.keras3(model, tmp_path / "m.keras")
    there = keras3().models.load_model(tmp_path / "m.keras")
    np.testing.assert_allclose(np.asarray(there(X)), model(X), atol=1e-6)
    assert {layer.name for layer in model.layers} == {operation.name for operation in there.operations}
    np.testing.assert_allclose(tost.from_keras3(there)(X), model(X), atol=1e-6)


def test_slashes_become_underlines_in_names_that_are_free():
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4, name="a/b_1")], name="in/ner")
    x = keras.Input((4,), name="x/y")
    h = keras.layers.Dense(4, name="a_b")(keras.layers.Dense(4, name="a/b")(x))
    model = keras.Model(x, inner(h), name="mo/del")
    there = to_keras3(model)
    assert [layer.name for layer in there.layers] == ["x_y", "a_b_1", "a_b", "in_ner"] and there.name == "mo_del"
    assert [layer.name for layer in there.get_layer("in_ner").layers] == ["a_b_1_1"]
    np.testing.assert_allclose(np.asarray(there(X)), model(X), atol=1e-6)


def test_what_keras_3_does_not_make_is_refused():
    tokens = keras.Input((4,), dtype="int32")
    embedded = keras.layers.Embedding(3, 2, mask_zero=True)(tokens)  # its mask is the operation `not_equal` in Keras 3
    model = keras.Model(tokens, keras.layers.GlobalAveragePooling1D(name="not_equal")(embedded), name="m")
    keras3().backend.clear_session()
    with pytest.raises(TostError, match="'m' cannot be made in Keras 3: The name \"not_equal\" is used 2 times"):
        to_keras3(model)
