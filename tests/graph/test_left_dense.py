import logging

import pytest

import tost_tf as tost
from tost_tf.compat import keras
from tost_tf.graph.left_dense import left_dense
from tost_tf.masks.lottery import METHOD
from tost_tf.masks.search import MaskSearch

L = keras.layers


def network():
    x = keras.Input((6,), dtype="int32")
    h = L.Embedding(10, 8, name="words")(x)
    h = L.SeparableConv1D(5, 3, name="separable")(h)  # 3·8 + 8·5
    h = L.PReLU(name="prelu")(L.LayerNormalization(axis=(1, 2))(h))
    return keras.Model(x, L.Dense(4, name="fc")(L.Flatten()(h)), name="net")  # 20·4


def test_kernels_that_no_mask_reaches_are_named_with_their_fractions():
    left = left_dense(network(), "separable")
    total = 80 + 24 + 40 + 80
    assert left.total == total and left.unreachable == ("words/embeddings", "separable/depthwise_kernel")
    assert left.shares == {
        "words/embeddings": 80 / total,
        "separable/depthwise_kernel": 24 / total,
        "separable/pointwise_kernel": 40 / total,
    }
    assert left.sparsity(60) == pytest.approx(60 / total)
    assert str(left) == (
        "left dense: 64.3% of the weights in kernels, which the sparsity does not count: words/embeddings (35.7%), "
        "separable/pointwise_kernel (17.9%), separable/depthwise_kernel (10.7%)"
    )


def test_pruning_wrappers_change_nothing_of_it():
    model = network()
    assert left_dense(tost.sparsify(model, tost.masks.random(model, sparsity=0.3))) == left_dense(model)


def test_nothing_is_said_if_masks_reach_every_kernel(small_model, caplog):
    assert not str(left_dense(small_model)) and left_dense(small_model).sparsity(0) == 0
    tost.masks.random(small_model, sparsity=0.3)
    assert not caplog.records


def test_masks_and_ghosted_models_name_them_once(caplog):
    model = network()
    with caplog.at_level(logging.WARNING):
        masks = tost.masks.magnitude(model, sparsity=0.3)
    (record,) = caplog.records
    assert record.getMessage().startswith("the mask of net: left dense: 46.4% of the weights in kernels")
    assert "words/embeddings (35.7%)" in tost.GhostModel(tost.sparsify(model, masks)).describe()


def test_a_search_in_rounds_names_them_once(caplog):
    with caplog.at_level(logging.WARNING):
        METHOD.find(MaskSearch(network(), 0.4, train=lambda *_: 0.5), METHOD.options())
    assert [record.getMessage()[:27] for record in caplog.records] == ["the mask of net: left dense"]
