import numpy as np
import pytest

import tost_tf as tost
from tost_tf.analysis.mask_statistics import mask_overlap
from tost_tf.compat import keras, tf
from tost_tf.errors import TostError
from tost_tf.graph.kernels import prunable_weights
from tost_tf.graph.places import by_place
from tost_tf.graph.weights import load_weights, save_weights

L = keras.layers


def network(first=3):
    inner = keras.Input((6, 6, 2))
    part = keras.Model(inner, L.Conv2D(first, 3)(inner))
    x = keras.Input((6, 6, 2))
    h = L.BatchNormalization()(L.Conv2D(3, 3)(part(x)))
    return keras.Model(x, L.Dense(2, name="dense_of_mine")(L.Flatten()(h)), name="net")


@pytest.fixture
def twice():
    return network(), network()


def test_paths_of_a_network_that_is_not_the_first_one():
    paths = ["model_7/conv2d_12/kernel", "conv2d_9/kernel", "conv2d_30/kernel", "block_3/kernel", "conv_lstm2d/kernel"]
    places = ["model/conv2d_1/kernel", "conv2d/kernel", "conv2d_2/kernel", "block_3/kernel", "conv_lstm2d/kernel"]
    assert by_place(paths) == dict(zip(paths, places, strict=True))
    assert by_place(["0003 fixed_mask_conv2d_4/kernel", "0001 conv2d_2/bias"]) == {
        "0003 fixed_mask_conv2d_4/kernel": "0003 fixed_mask_conv2d_1/kernel",
        "0001 conv2d_2/bias": "0001 conv2d/bias",
    }


def test_a_first_network_keeps_its_names():
    paths = ["model/conv2d/kernel", "conv2d_1/kernel", "stage1_block1_conv1/kernel", "1/kernel", "kernel"]
    assert list(by_place(paths).values()) == paths


def test_the_same_network_gets_the_same_masks(twice):
    for find in (tost.masks.random, tost.masks.erk):
        one, other = (find(model, sparsity=0.4, seed=3) for model in twice)
        assert list(one) != list(other)
        for mask, same in zip(one.values(), other.values(), strict=True):
            np.testing.assert_array_equal(mask, same)
        for mask, same in zip(one.shuffled(5).values(), other.shuffled(5).values(), strict=True):
            np.testing.assert_array_equal(mask, same)


def test_the_same_network_takes_the_same_files(twice, tmp_path):
    one, other = twice
    masks = tost.masks.random(one, sparsity=0.4)
    masks.save(tmp_path / "mask.npz")
    sparse = tost.sparsify(other, tost.Masks.load(tmp_path / "mask.npz"))
    for mask, weight in zip(masks.values(), prunable_weights(sparse).values(), strict=True):
        np.testing.assert_array_equal(weight.numpy() == 0, mask == 0)
    save_weights(one, tmp_path / "weights.npz")
    load_weights(other, tmp_path / "weights.npz")
    images = tf.ones((1, 6, 6, 2))
    np.testing.assert_array_equal(other(images), one(images))
    rows = mask_overlap(masks, tost.masks.random(other, sparsity=0.4))
    assert all(row["overlap"] == 1 for row in rows) and len(rows) == 3


def test_another_network_takes_none_of_them(twice, tmp_path):
    masks = tost.masks.random(network(first=4), sparsity=0.4)
    with pytest.raises(TostError, match="the mask does not fit the model 'net'"):
        tost.sparsify(twice[0], masks)
    with pytest.raises(TostError, match="the two masks are of different networks"):
        mask_overlap(masks, tost.masks.random(twice[0], sparsity=0.4))
