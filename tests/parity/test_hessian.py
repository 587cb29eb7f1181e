"""The Hessian of the analyses against NumPy: products, eigenvalues and residuals.

That an error of a millionth is seen was tried by multiplying the products in the code by 1 + 1e-6.
"""

import numpy as np
import pytest

import tost_tf as tost
from tests.parity import reference
from tests.parity.keras_network import keras_network
from tost_tf.analysis.hessian import MaskedHessian, top_eigenvalues

GENERATOR = np.random.default_rng(21)
MASKS = {path: GENERATOR.integers(0, 3, reference.SHAPES[path]) > 0 for path in reference.KERNELS}
VALUES = {path: value * MASKS.get(path, 1) for path, value in reference.parameters(3).items()}
IMAGES, LABELS = reference.examples(11, seed=6)
# In inference mode: what other images left, so that the two modes differ.
STORED = reference.batch_statistics(VALUES, reference.examples(20, seed=7)[0])
SIZES = [value.size for value in VALUES.values()]


def by_path(vector):
    parts = np.split(vector, np.cumsum(SIZES)[:-1])
    return {path: part.reshape(value.shape) for part, (path, value) in zip(parts, VALUES.items(), strict=True)}


def flat(values):
    """Pruned weights zero."""
    return np.concatenate([(value * MASKS.get(path, 1)).ravel() for path, value in values.items()])


def product(vector):
    direction = by_path(flat(by_path(vector)))

    def first(values):
        return reference.gradients(values, IMAGES, LABELS, statistics=STORED)

    return flat(reference.derivative(first, VALUES, direction)) / len(IMAGES)


@pytest.fixture
def hessian():
    model = keras_network(reference.parameters(3), statistics=STORED)
    return MaskedHessian(tost.sparsify(model, tost.Masks(MASKS)), IMAGES, LABELS, micro_batch=4)


def test_products(hessian):
    for seed in range(3):
        vector = np.random.default_rng(seed).normal(size=sum(SIZES))
        expected, found = product(vector), hessian.product(vector)
        reference.assert_same({"": found}, {"": expected})
        with pytest.raises(AssertionError):
            reference.assert_same({"": found * (1 + 1e-6)}, {"": expected})


# Of these products; tests/analysis/test_hessian.py has them against an exact Hessian in every `make test`.
@pytest.mark.exhaustive
def test_eigenvalues_and_residuals(hessian):
    matrix = np.stack([product(row) for row in np.eye(sum(SIZES))])
    np.testing.assert_allclose(matrix, matrix.T, rtol=0, atol=1e-12 * np.abs(matrix).max())
    expected = np.linalg.eigvalsh((matrix + matrix.T) / 2)[::-1]
    rows, top = top_eigenvalues(hessian, count=3, iterations=60)
    np.testing.assert_allclose([row["eigenvalue"] for row in rows], expected[:3], rtol=1e-9)
    np.testing.assert_allclose(matrix @ top, expected[0] * top, rtol=0, atol=1e-7 * expected[0])
    early, top = top_eigenvalues(hessian, count=2, iterations=5)
    residual = np.linalg.norm(matrix @ top - early[0]["eigenvalue"] * top)
    assert early[0]["residual"] == pytest.approx(residual, rel=1e-7) and residual > 1e-4 * expected[0]
