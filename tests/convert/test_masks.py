"""Keras masks, between the two Keras: padded tokens, and layers whose outputs depend on the masks."""

import numpy as np
import pytest

import tost_tf as tost
from tost_tf.compat import keras, keras3
from tost_tf.convert.to_keras3 import to_keras3
from tost_tf.errors import TostError

K3 = keras3()
TOKENS = np.array([[2, 1, 4, 0, 0], [3, 0, 1, 2, 0], [1, 2, 0, 0, 3]])
OTHERS = np.array([[1, 0, 2, 3, 0], [4, 4, 0, 1, 2], [0, 2, 3, 1, 0]])
PLACES = np.tile(np.arange(5), (3, 1))
DATA = [TOKENS, OTHERS, PLACES]


def made(package, call):
    """A model of tokens, other tokens (both padded) and places (no mask), with weights that are not small."""
    tensors = [package.Input((5,), dtype="int32", name=name) for name in ("tokens", "others", "places")]
    embed = [package.layers.Embedding(5, 4, mask_zero=masked) for masked in (True, True, False)]
    outputs = call(package.layers, *(one(tensor) for one, tensor in zip(embed, tensors, strict=True)))
    model = package.Model(tensors, outputs)
    generator = np.random.default_rng(7)
    model.set_weights([generator.normal(size=weight.shape) * 0.7 for weight in model.get_weights()])
    return model


CALLS = {
    "pooling": lambda L, a, b, c: L.GlobalAveragePooling1D()(a),
    "recurrent": lambda L, a, b, c: L.LSTM(3, unroll=True)(L.Bidirectional(_steps(L, 2))(L.Dense(3)(a))),
    "add_place": lambda L, a, b, c: L.GlobalAveragePooling1D()(L.LayerNormalization()(L.Add()([a, c]))),
    "add_tokens": lambda L, a, b, c: L.GlobalAveragePooling1D()(L.Add()([a, b])),
    "subtract_itself": lambda L, a, b, c: L.SimpleRNN(3, unroll=True)(L.Subtract()([a, L.Dense(4)(a)])),
    "concatenate_place": lambda L, a, b, c: L.GlobalAveragePooling1D()(L.Concatenate()([a, c])),
    "concatenate_itself": lambda L, a, b, c: L.GlobalAveragePooling1D()(L.Concatenate()([a, L.Dense(2)(a)])),
    "operation": lambda L, a, b, c: L.GlobalAveragePooling1D()(a + c),
    "transformer": lambda L, a, b, c: _transformer(L, L.Add(name="sum")([a, c])),
    "masked_transformer": lambda L, a, b, c: _transformer(L, a),
    "attention": lambda L, a, b, c: L.GlobalAveragePooling1D()(L.Attention()([a, L.Average()([b, c])])),
    "masked_attention": lambda L, a, b, c: L.GlobalAveragePooling1D()(L.Attention()([a, b])),
    "initial_state": lambda L, a, b, c: L.SimpleRNN(3, unroll=True)(
        a, initial_state=[L.GlobalAveragePooling1D()(L.Dense(3)(b))]
    ),
}
# Keras 3 computes other values where tensors are masked.
LEAVE_OUT_VALUES = {
    "multiply": lambda L, a, b, c: L.SimpleRNN(3, unroll=True)(L.Multiply(name="product")([a, b, c])),
    "maximum": lambda L, a, b, c: L.Flatten()(L.Maximum(name="product")([a, b])),
}


def _steps(layers, units):
    return layers.SimpleRNN(units, unroll=True, return_sequences=True)


def _transformer(layers, h):
    attended = layers.MultiHeadAttention(2, 3)(h, h)
    return layers.GlobalAveragePooling1D()(layers.LayerNormalization()(layers.Add()([h, attended])))


def same(one, other):
    np.testing.assert_allclose(np.asarray(one(DATA)), np.asarray(other(DATA)), atol=1e-5)


@pytest.mark.parametrize("name", [*CALLS, *LEAVE_OUT_VALUES])
def test_to_keras3_its_file_and_back(name, tmp_path):
    model = made(keras, (CALLS | LEAVE_OUT_VALUES)[name])
    there = to_keras3(model)
    same(there, model)
    there.save(tmp_path / "m.keras")
    loaded = K3.models.load_model(tmp_path / "m.keras")
    same(loaded, model)
    same(tost.from_keras3(there), model)
    if name != "transformer":  # of which the file has masks as arguments of attention, which tf_keras does not take
        same(tost.from_keras3(loaded), model)


@pytest.mark.parametrize("name", [name for name in CALLS if name != "concatenate_place"])
def test_from_keras3_its_file_and_back(name, tmp_path):
    model = made(K3, CALLS[name])
    here = tost.from_keras3(model)
    same(here, model)
    same(to_keras3(here), model)
    model.save(tmp_path / "m.keras")
    same(tost.from_keras3(K3.models.load_model(tmp_path / "m.keras")), model)


def test_no_masks_of_their_own_where_keras_3_has_the_same():
    here = tost.from_keras3(made(K3, CALLS["recurrent"]))
    assert not any("tf." in layer.name for layer in here.layers)


def test_masks_that_tf_keras_cannot_use_are_refused():
    with pytest.raises(TostError, match="mask that the layer 'global_average_pooling1d.*' uses cannot be computed"):
        tost.from_keras3(made(K3, CALLS["concatenate_place"]))
    with pytest.raises(TostError, match=r"\(MultiHeadAttention\) uses a query_mask, an argument tf_keras"):
        tost.from_keras3(made(K3, lambda L, a, b, c: _transformer(L, L.Add()([a, b]))))


@pytest.mark.parametrize("name", LEAVE_OUT_VALUES)
def test_values_that_keras_3_leaves_out_are_refused(name):
    with pytest.raises(TostError, match=r"the layer 'product' .* leaves out masked values in Keras 3, not in tf_keras"):
        tost.from_keras3(made(K3, LEAVE_OUT_VALUES[name]))


@pytest.mark.parametrize("package", [keras, K3], ids=["tf_keras", "keras3"])
def test_nested_models(package):
    layers, convert = package.layers, to_keras3 if package is keras else tost.from_keras3
    x = package.Input((5, 4))
    plain = package.Model(x, _steps(layers, 4)(layers.Dense(3)(x)), name="plain")
    merges = package.Model(x, layers.Add(name="sum")([x, layers.Dense(4)(x)]), name="merges")
    model = made(package, lambda L, a, b, c: L.GlobalAveragePooling1D()(L.Dense(3)(plain(a))))
    same(convert(model), model)
    same(
        convert(made(package, lambda L, a, b, c: L.Flatten()(merges(c)))),
        made(package, lambda L, a, b, c: L.Flatten()(merges(c))),
    )
    with pytest.raises(TostError, match="nested model 'merges' is called on a masked tensor, .* its layer 'sum'"):
        convert(made(package, lambda L, a, b, c: L.GlobalAveragePooling1D()(merges(a))))
    with pytest.raises(TostError, match="'outer' merges a tensor with a mask out of a nested model"):
        convert(made(package, lambda L, a, b, c: L.GlobalAveragePooling1D()(L.Add(name="outer")([plain(a), c]))))
    row = package.Sequential([package.Input((5,)), layers.Embedding(5, 4, mask_zero=True), merges, layers.Flatten()])
    with pytest.raises(TostError, match="nested model 'merges' is called on a masked tensor"):
        convert(row)


def test_layers_that_pass_on_masks_in_one_keras():
    scaled = lambda L, a, b, c: L.GlobalAveragePooling1D()(L.Rescaling(0.3, name="scaled")(a))  # noqa: E731
    with pytest.raises(TostError, match=r"'scaled' \(Rescaling\) passes on masks in only one of tf_keras and Keras 3"):
        to_keras3(made(keras, scaled))
    model = made(K3, scaled)
    same(tost.from_keras3(model), model)
