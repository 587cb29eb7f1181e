"""Against the plain iteration in float64, which multiplies whole matrices."""

import numpy as np
import pytest

from tost_tf.compat import tf
from tost_tf.training.newton_schulz import orthogonalised


def iterated(matrix: np.ndarray, steps: int = 5) -> np.ndarray:
    x = matrix.astype(np.float64) / np.linalg.norm(matrix.astype(np.float64))
    for _ in range(steps):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x


def by_singular_values(matrix: np.ndarray, steps: int = 5) -> np.ndarray:
    left, values, right = np.linalg.svd(matrix.astype(np.float64), full_matrices=False)
    values = values / np.linalg.norm(values)
    for _ in range(steps):
        values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    return (left * values) @ right


def error(found, expected: np.ndarray) -> float:
    return np.linalg.norm(found.numpy() - expected) / np.linalg.norm(expected)


@pytest.mark.parametrize("shape", [(45, 7), (7, 45), (1, 9), (9, 1), (300, 64)])
@pytest.mark.parametrize("density", [1.0, 0.1])
def test_both_ways_of_computing_it_agree(shape, density):
    generator = np.random.default_rng(5)
    matrix = generator.normal(size=shape) * (generator.random(shape) < density)
    matrix[0, 0] = 0.7
    expected = iterated(matrix)
    assert error(tf.constant(by_singular_values(matrix)), expected) < 1e-11
    assert error(orthogonalised(tf.constant(matrix)), expected) < 1e-11
    assert error(orthogonalised(tf.constant(matrix, tf.float32)), iterated(matrix.astype(np.float32))) < 1e-5


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_number_of_steps(steps):
    matrix = np.random.default_rng(6).normal(size=(11, 4))
    assert error(orthogonalised(tf.constant(matrix), steps), iterated(matrix, steps)) < 1e-12


def test_matrices_of_bad_condition_and_low_rank_in_single_precision():
    generator = np.random.default_rng(7)
    left, _, right = np.linalg.svd(generator.normal(size=(90, 16)), full_matrices=False)
    for matrix in ((left * np.logspace(0, -8, 16)) @ right, left[:, :2] @ right[:2]):
        single = matrix.astype(np.float32)
        assert error(orthogonalised(tf.constant(single)), iterated(single)) < 3e-3


def test_singular_values_come_near_one():
    values = np.linalg.svd(orthogonalised(tf.constant(np.random.default_rng(8).normal(size=(64, 20)))).numpy())[1]
    assert values.min() > 0.65 and values.max() < 1.21


def test_blocks_are_those_of_one_matrix():
    blocks = np.random.default_rng(9).normal(size=(3, 5, 2))
    whole = np.zeros((15, 6))
    for index, block in enumerate(blocks):
        whole[5 * index : 5 * index + 5, 2 * index : 2 * index + 2] = block
    expected = iterated(whole)
    found = orthogonalised(tf.constant(blocks)).numpy()
    for index in range(3):
        part = expected[5 * index : 5 * index + 5, 2 * index : 2 * index + 2]
        np.testing.assert_allclose(found[index], part, rtol=1e-10)


def test_zeros_give_zeros():
    assert not orthogonalised(tf.zeros((4, 3))).numpy().any()
