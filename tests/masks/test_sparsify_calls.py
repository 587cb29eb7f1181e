"""What `sparsify` may be given, and masks from scores of one's own."""

import numpy as np
import pytest

import tost_tf as tost
from tost_tf.compat import keras
from tost_tf.errors import TostError
from tost_tf.masks.sparsify import masks_of

L = keras.layers


def test_a_sparsity_and_the_name_or_function_of_a_mask(small_model):
    assert masks_of(tost.sparsify(small_model, sparsity=0.7)) == tost.masks.erk(small_model, sparsity=0.7)
    expected = tost.masks.magnitude(small_model, sparsity=0.3)
    for mask in ("magnitude", tost.masks.magnitude):
        assert masks_of(tost.sparsify(small_model, sparsity=0.3, mask=mask)) == expected
    assert masks_of(tost.sparsify(small_model, dict(expected))) == expected
    assert masks_of(tost.sparsify(small_model, sparsity=0.3, mask="random", seed=5)) == tost.masks.random(
        small_model, sparsity=0.3, seed=5
    )


def test_layers_of_a_model_made_by_hand():
    convolution, dense = tost.sparsify([L.Conv2D(4, 3, name="conv"), L.Dense(5, name="dense")], sparsity=0.7)
    model = keras.Sequential([keras.Input((6, 6, 2)), convolution, L.Flatten(), dense])
    # 72 and 320 weights: round(0.3 · 72) = 22, round(0.3 · 320) = 96.
    assert [int(layer.mask.numpy().sum()) for layer in (convolution, dense)] == [22, 96]
    assert np.count_nonzero(dense.kernel) == 96 and repr(dense) == "<FixedMask of dense: kernel 70.00% zero>"
    assert {layer.name for layer in tost.strip(model).layers} == {"conv", "flatten", "dense"}


def test_a_layer_with_weights_keeps_them_and_takes_masks_by_the_names_of_kernels():
    layer = L.Dense(2, name="dense")
    layer.build((None, 3))
    kernel = layer.kernel.numpy()
    mask = np.array([[1, 0], [0, 1], [1, 1]])
    for masks in ({"kernel": mask}, {"dense/kernel": mask}):
        sparse = tost.sparsify(layer, masks)
        np.testing.assert_allclose(sparse(np.eye(3)), kernel * mask)
    smallest = tost.sparsify(layer, sparsity=0.5, mask="magnitude")
    smallest.build((None, 3))
    assert np.abs(smallest.kernel.numpy()).sum() == pytest.approx(np.sort(np.abs(kernel).ravel())[3:].sum())
    with pytest.raises(TostError, match="mask does not fit the layer 'dense'"):
        tost.sparsify(layer, {"weight": mask}).build((None, 3))


def test_wrong_types_are_told_what_is_accepted(small_model):
    for wrong, told in (
        (lambda: tost.sparsify(small_model), "either masks or a sparsity"),
        (lambda: tost.sparsify(small_model, {"a": [1]}, sparsity=0.3), "either masks or a sparsity"),
        (lambda: tost.sparsify(small_model, 0.3), "mapping of weight path to 0/1 array, got float"),
        (lambda: tost.sparsify(3, sparsity=0.3), "expected a functional or Sequential tf_keras model"),
        (lambda: tost.sparsify(small_model, sparsity=0.3, mask="snip"), "give a dataset"),
        (lambda: tost.sparsify(L.Dense(2), sparsity=0.3, mask="snip"), "one of erk, random, magnitude, got 'snip'"),
        (lambda: tost.sparsify(L.Dense(2), sparsity=1.3), "sparsity is 1.3"),
        (lambda: tost.sparsify(L.ReLU(), sparsity=0.3), "no prunable kernel"),
        (
            lambda: tost.sparsify(small_model, sparsity="0.3"),
            "sparsity is '0.3', it must be a number",
        ),
        (lambda: tost.sparsify(L.Dense(2), sparsity=None, mask=3), "either masks or a sparsity"),
        (lambda: tost.Masks([1, 0]), "mapping of weight path to 0/1 array, got list"),
        (lambda: tost.GhostSchedule(end_epoch="10"), "whole number of epochs, or -1, got str '10'"),
        (lambda: tost.strip(small_model, ghosts="keep"), "ghosts is 'keep'"),
    ):
        with pytest.raises(TostError, match=told):
            wrong()


def test_masks_from_scores():
    model = keras.Sequential([keras.Input((2,)), L.Dense(3, name="a"), L.Dense(1, name="b")])
    scores = {"a/kernel": [[6, -1, 3], [2, 5, 0]], "b/kernel": [[4], [1], [9]]}
    masks = tost.masks.from_scores(model, scores, 0.6)  # round(0.4 · 9) = 4 stay
    np.testing.assert_array_equal(masks["a/kernel"], [[1, 0, 0], [0, 1, 0]])
    np.testing.assert_array_equal(masks["b/kernel"], [[1], [0], [1]])
    by_layer = tost.masks.from_scores(model, scores, 0.6, scope="layer")
    np.testing.assert_array_equal(by_layer["b/kernel"], [[0], [0], [1]])
    for wrong, told in (
        ([1], "mapping of weight path to array, got list"),
        ({"a/kernel": scores["a/kernel"]}, "b/kernel is missing"),
        (scores | {"c/kernel": [1]}, "c/kernel"),
        (scores | {"b/kernel": [4, 1, 9]}, r"b/kernel has shape \[3\] instead of \[3, 1\]"),
        (scores | {"b/kernel": [[4], [np.nan], [9]]}, "not finite"),
    ):
        with pytest.raises(TostError, match=told):
            tost.masks.from_scores(model, wrong, 0.6)
