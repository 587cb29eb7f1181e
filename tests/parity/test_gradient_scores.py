"""SNIP and GraSP against NumPy.

That an error of a millionth is seen was tried by multiplying what the code returns, or GraSP's temperature in it, by
1 + 1e-6: the tests in double precision fail.
"""

import numpy as np
import pytest

import tost_tf as tost
from tests.exhaustive import quick
from tests.parity import reference
from tests.parity.keras_network import keras_network
from tost_tf.compat import tf
from tost_tf.graph.kernels import prunable_weights
from tost_tf.masks.gradient_scores import grasp_scores, snip_scores

VALUES = reference.parameters()
# Each batch is normalised by itself, so that it matters which examples are in which.
BATCHES = [reference.examples(7, seed=1), reference.examples(5, seed=2)]
STORED = {f"bn{number}": (np.full(size, 3.7), np.full(size, 0.01)) for number, size in ((1, 3), (2, 4), (3, 5))}


def summed(function):
    """A dict of arrays by kernel, summed over the batches."""
    parts = [function(images, labels) for images, labels in BATCHES]
    return {path: sum(part[path] for part in parts) for path in reference.KERNELS}


def expected_snip():
    total = summed(lambda images, labels: reference.gradients(VALUES, images, labels))
    return {path: np.abs(gradient * VALUES[path]) for path, gradient in total.items()}


def expected_grasp():
    fixed = summed(lambda images, labels: reference.gradients(VALUES, images, labels, 200.0))
    products = summed(
        lambda images, labels: reference.derivative(
            lambda values: reference.gradients(values, images, labels, 200.0), VALUES, fixed
        )
    )
    return {path: product * VALUES[path] for path, product in products.items()}


SCORES = {"snip": (snip_scores, expected_snip), "grasp": (grasp_scores, expected_grasp)}


def scores_of(method, precision):
    model = keras_network(VALUES, precision, STORED)
    batches = [tuple(tf.constant(part, precision) for part in batch) for batch in BATCHES]
    return SCORES[method][0](model, prunable_weights(model), batches)


@pytest.mark.parametrize("method", SCORES)
def test_scores(method):
    found, expected = scores_of(method, "float64"), SCORES[method][1]()
    reference.assert_same(found, expected)
    with pytest.raises(AssertionError):
        reference.assert_same({path: score * (1 + 1e-6) for path, score in found.items()}, expected)


@pytest.mark.parametrize("method", SCORES)
def test_scores_in_single_precision_with_fused_batch_normalization(method):
    found, expected = scores_of(method, "float32"), SCORES[method][1]()
    for path, score in expected.items():
        np.testing.assert_allclose(found[path], score, rtol=0, atol=2e-5 * np.abs(score).max())


@pytest.mark.parametrize("method", quick(SCORES, ("snip",)))
def test_masks_keep_the_largest_of_all(method):
    found = getattr(tost.masks, method)(keras_network(VALUES, "float64", STORED), BATCHES, sparsity=0.7)
    every = np.concatenate([score.ravel() for score in SCORES[method][1]().values()])
    kept = np.zeros(every.size)
    kept[np.argsort(every)[::-1][: round(0.3 * every.size)]] = 1
    np.testing.assert_array_equal(np.concatenate([mask.ravel() for mask in found.values()]), kept)
    assert list(found) == list(reference.KERNELS)
