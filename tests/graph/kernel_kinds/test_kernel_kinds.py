import numpy as np
import pytest

import tost_tf as tost
from tost_tf.compat import keras, tf
from tost_tf.graph.kernels import prunable_kernels, prunable_weights
from tost_tf.graph.parameter_paths import parameter_paths

L = keras.layers


def attention():
    x = keras.Input((6, 8))
    h = L.MultiHeadAttention(2, 4, kernel_regularizer="l2", name="att")(x, L.Dense(5, name="d")(x))
    return keras.Model(x, L.GlobalAveragePooling1D()(h))


def attention_to_padded_tokens():
    x = keras.Input((6,), dtype="int32")
    h = L.Embedding(9, 4, mask_zero=True)(x)
    h = L.MultiHeadAttention(2, 3, name="att")(h, h, use_causal_mask=True)
    return keras.Model(x, L.GlobalAveragePooling1D()(h))


def recurrent():
    x = keras.Input((6,), dtype="int32")
    lstm = L.LSTM(4, return_sequences=True, recurrent_regularizer="l1", unroll=True, name="lstm")
    h = lstm(L.Embedding(9, 4, mask_zero=True)(x))
    return keras.Model(x, L.Bidirectional(L.GRU(5, unroll=True), name="bi")(h))


def cells():
    x = keras.Input((6, 8))
    return keras.Model(x, L.RNN([L.LSTMCell(5), L.SimpleRNNCell(4)], name="rnn")(x))


def states():
    x, one, other = keras.Input((6, 8)), keras.Input((5,)), keras.Input((5,))
    return keras.Model([x, one, other], L.LSTM(5, name="lstm")(x, initial_state=[one, other]))


def at_each_step():
    frame = keras.Input((6, 6, 2))
    h = L.Conv2D(4, 3, activation="relu", name="c1")(frame)
    cnn = keras.Model(frame, L.GlobalAveragePooling2D()(L.Conv2D(3, 3, activation="relu", name="c2")(h)), name="cnn")
    x = keras.Input((4, 6, 6, 2))
    h = L.TimeDistributed(L.Dense(5, activation="relu"), name="dense")(L.TimeDistributed(cnn, name="frames")(x))
    return keras.Model(x, L.ConvLSTM1D(2, 2, name="clstm")(L.Reshape((2, 2, 5))(h)))


def other():
    x = keras.Input((4, 4, 2))
    h = L.EinsumDense("abcd,defg->abcfge", (None, None, 3, 2, 5), bias_axes="g", activation="relu", name="einsum")(
        L.Conv2DTranspose(3, 3, 2, name="up", kernel_constraint="non_neg")(x)
    )
    return keras.Model(x, L.Dense(3, name="d")(L.Flatten()(h)))


PARTS = ("query", "key", "value", "attention_output")
RECURRENT = ("kernel", "recurrent_kernel")
KERNELS = {
    attention: ["d/kernel", *(f"att/{part}/kernel" for part in PARTS)],
    attention_to_padded_tokens: [f"att/{part}/kernel" for part in PARTS],
    recurrent: [
        f"{path}/{kind}" for path in ("lstm", "bi/forward", "bi/backward") for kind in ("kernel", "recurrent_kernel")
    ],
    cells: [f"rnn/{cell}/{kind}" for cell in (0, 1) for kind in ("kernel", "recurrent_kernel")],
    states: ["lstm/kernel", "lstm/recurrent_kernel"],
    at_each_step: ["frames/c1/kernel", "frames/c2/kernel", "dense/kernel", "clstm/kernel", "clstm/recurrent_kernel"],
    other: ["up/kernel", "einsum/kernel", "d/kernel"],
}


def inputs_of(model):
    generator = np.random.default_rng(3)
    arrays = [
        generator.integers(0, 4, (3, *t.shape[1:])) if t.dtype == tf.int32 else generator.normal(size=(3, *t.shape[1:]))
        for t in model.inputs
    ]
    return [tf.cast(a, t.dtype) for a, t in zip(arrays, model.inputs, strict=True)]


@pytest.mark.parametrize("make", KERNELS, ids=lambda make: make.__name__)
def test_every_view_computes_with_the_masked_kernels(make, tmp_path):
    model = make()
    masks = tost.masks.random(model, sparsity=0.4)
    assert list(masks) == KERNELS[make]
    sparse = tost.sparsify(model, masks)
    for path, weight in prunable_weights(model).items():
        weight.assign(weight * masks[path])
    inputs = inputs_of(model)
    inputs = inputs if len(inputs) > 1 else inputs[0]
    expected = model(inputs)
    np.testing.assert_allclose(sparse(inputs), expected, atol=1e-6)
    np.testing.assert_allclose([float(v) for v in sparse.losses], [float(v) for v in model.losses], rtol=1e-5)
    assert list(parameter_paths(sparse)) == list(parameter_paths(model))
    for path, weight in prunable_weights(sparse).items():
        weight.assign(tf.where(masks[path] > 0, weight, 7.0))  # whoever writes what is pruned
    np.testing.assert_allclose(sparse(inputs), expected, atol=1e-6)
    sparse.save_weights(str(tmp_path / "weights.h5"))
    final = tost.strip(tost.GhostModel(sparse), ghosts="remove")
    np.testing.assert_allclose(final(inputs), expected, atol=1e-6)
    assert final.get_config() == model.get_config()
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(sparse(inputs))
    kernels = prunable_weights(sparse)
    for path, gradient in zip(kernels, tape.gradient(loss, list(kernels.values())), strict=True):
        assert not gradient.numpy()[masks[path] == 0].any()


def test_sparse_attention_is_saved_and_loaded(tmp_path):
    model = attention()
    sparse = tost.sparsify(model, tost.masks.random(model, sparsity=0.4))
    sparse.save(tmp_path / "sparse.keras")
    again = keras.models.load_model(tmp_path / "sparse.keras")
    inputs = inputs_of(model)[0]
    np.testing.assert_array_equal(again(inputs), sparse(inputs))


def test_axes_of_inputs_and_outputs():
    axes = {path: (kernel.variable.shape, kernel.axes) for path, kernel in prunable_kernels(other()).items()}
    assert axes["up/kernel"] == ((3, 3, 3, 2), ((-1,), (-2,)))
    assert axes["einsum/kernel"] == ((3, 5, 3, 2), ((-4,), (-3, -2, -1)))
    axes = {path: kernel.axes for path, kernel in prunable_kernels(attention()).items()}
    assert axes["att/query/kernel"] == ((-3,), (-2, -1)) and axes["att/attention_output/kernel"] == ((-3, -2), (-1,))


def test_models_at_each_step_get_ghosts():
    model = at_each_step()
    ghosted = tost.GhostModel(tost.sparsify(model, tost.masks.random(model, sparsity=0.4)), beta=1e4)
    assert [(ghost.layer, ghost.kind) for ghost in ghosted.ghosts] == [
        ("c1", "pswish"),
        ("c2", "projection"),
        ("c2", "pswish"),
    ]
    assert "left alone, since they are inside another layer: dense" in ghosted.describe()


def test_one_layer_can_be_left_dense():
    masks = tost.masks.random(attention(), sparsity=0.4, dense_layers="att/key")
    assert masks["att/key/kernel"].all() and not masks["att/query/kernel"].all()
