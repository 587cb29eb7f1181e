"""The reference against differences of itself."""

import numpy as np
import pytest

from tests.parity import reference

VALUES = reference.parameters()
IMAGES, LABELS = reference.examples(9)
STORED = {f"bn{number}": (np.full(size, 0.2), np.full(size, 0.7)) for number, size in ((1, 3), (2, 4), (3, 5))}


@pytest.mark.parametrize("statistics", [None, STORED])
def test_gradients_are_the_derivatives_of_the_loss(statistics):
    def loss(values):
        return reference.losses(values, IMAGES, LABELS, 1.7, statistics).sum()

    found = reference.gradients(VALUES, IMAGES, LABELS, 1.7, statistics)
    generator = np.random.default_rng(3)
    for path, value in VALUES.items():
        for _ in range(3):
            direction = {path: generator.normal(size=value.shape)}
            exact = reference.derivative(loss, VALUES, direction)
            assert np.sum(found[path] * direction[path]) == pytest.approx(exact, rel=1e-11)
            # An ordinary difference too: the imaginary step is only right if all is analytic.
            high, low = (loss(VALUES | {path: value + sign * 1e-6 * direction[path]}) for sign in (1, -1))
            assert (high - low) / 2e-6 == pytest.approx(exact, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("statistics", [None, STORED])
def test_second_derivatives_are_differences_of_gradients(statistics):
    def first(values):
        return reference.gradients(values, IMAGES, LABELS, 1.0, statistics)

    generator = np.random.default_rng(4)
    direction = {path: generator.normal(size=value.shape) for path, value in VALUES.items()}
    exact = reference.derivative(first, VALUES, direction)
    high, low = (
        first({path: value + sign * 1e-6 * direction[path] for path, value in VALUES.items()}) for sign in (1, -1)
    )
    for path, value in exact.items():
        np.testing.assert_allclose((high[path] - low[path]) / 2e-6, value, rtol=0, atol=1e-6 * np.abs(value).max())


def test_an_error_of_a_millionth_is_seen():
    values = {"a": np.array([3.0, -1e-5, 0.2])}
    reference.assert_same(values, values)
    for place in range(3):
        wrong = values["a"].copy()
        wrong[place] *= 1 + 1e-6
        with pytest.raises(AssertionError, match="a"):
            reference.assert_same({"a": wrong}, values)
