import dataclasses

import numpy as np
import pytest

import tost_tf as tost
from tost_tf.compat import keras
from tost_tf.errors import TostError
from tost_tf.graph.kernels import prunable_weights
from tost_tf.masks.lottery import METHOD as LOTTERY
from tost_tf.masks.lottery import LotteryOptions
from tost_tf.masks.search import MaskSearch
from tost_tf.registry import MASKS


@pytest.fixture
def sparse_model(small_model):
    """A plain model with zeros where `random` at 70% has none of its weights."""
    masks = tost.masks.random(small_model, sparsity=0.7, seed=5, scope="layer")
    return tost.strip(tost.sparsify(small_model, masks)), masks


def test_zeros_are_the_mask(sparse_model):
    model, masks = sparse_model
    assert tost.masks.zeros(model) == masks
    some = tost.masks.zeros(model, dense_layers="^conv")
    assert some["conv1/kernel"].all() and np.array_equal(some["stem/kernel"], masks["stem/kernel"])


def test_no_zeros_are_no_mask(small_model):
    with pytest.raises(TostError, match="no weight of small is zero"):
        tost.masks.zeros(small_model)


@pytest.mark.parametrize("name", ["random", "magnitude", "synflow"])
def test_zeros_stay_pruned_where_they_are_to(sparse_model, name):
    model, masks = sparse_model
    method = MASKS[name]
    options = () if method.options is None else (method.options(),)
    search = MaskSearch(model, 0.9, keep_zeros=True)
    found = method.find(search, *options).masks
    assert found.kept == round(0.1 * masks.size)
    assert all(np.all(found[path] <= masks[path]) for path in masks)
    if name == "random":
        found = method.find(dataclasses.replace(search, keep_zeros=False)).masks
        assert any(np.any(found[path] > masks[path]) for path in masks)


def test_a_kernel_that_starts_at_zero_is_not_pruned(small_model):
    small_model.get_layer("logits").kernel.assign(np.zeros((5, 4)))
    search = MaskSearch(small_model, 0.3, keep_zeros=True)
    assert search.pruned() == {}
    assert search.start()["logits/kernel"].all()


def test_zeros_inside_wrappers_count_together_with_their_masks(sparse_model):
    model, masks = sparse_model
    wrapped = tost.sparsify(model, tost.masks.random(model, sparsity=0.3))
    present = MaskSearch(wrapped, 0.9, keep_zeros=True).pruned()
    outer = tost.masks.random(model, sparsity=0.3)
    assert all(np.array_equal(present[path], masks[path] * outer[path]) for path in masks)


def test_more_than_is_left_is_refused(sparse_model):
    with pytest.raises(TostError, match="weights cannot be kept: only 82 are not yet pruned"):
        MASKS["random"].find(MaskSearch(sparse_model[0], 0.5, keep_zeros=True))


def test_ticket_is_not_looked_for_in_a_sparse_model(sparse_model):
    search = MaskSearch(sparse_model[0], 0.9, train=lambda *_: 0.5, keep_zeros=True)
    with pytest.raises(TostError, match="but small has pruned weights"):
        LOTTERY.find(search, LotteryOptions(lottery_epochs=1))


def test_layer_without_ranked_weights_is_left_out():
    image = keras.Input((3,))
    model = keras.Model(image, keras.layers.Dense(2, name="b")(keras.layers.Dense(3, name="a")(image)))
    model.get_layer("a").kernel.assign(np.eye(3))
    assert list(MaskSearch(model, 0.3, dense_layers="a", keep_zeros=True).pruned()) == []
    assert list(MaskSearch(model, 0.3, dense_layers="b", keep_zeros=True).pruned()) == ["a/kernel"]
    assert list(prunable_weights(model)) == ["a/kernel", "b/kernel"]
