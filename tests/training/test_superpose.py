import numpy as np
import pytest

from tost_tf.errors import TostError
from tost_tf.training.superpose import newest_fraction, superposed


def test_shares():
    assert [newest_fraction("caa", cycle, 0.3) for cycle in (1, 2, 3)] == pytest.approx([1 / 2, 1 / 3, 1 / 4])
    assert [newest_fraction("cima", cycle, 0.3) for cycle in (1, 2, 3)] == [0.3] * 3


def test_two_tickets_by_hand():
    first = {"a": np.array([[4.0, 0.0], [-1.0, 0.0]], np.float32), "norm": np.array([3.0], np.float32)}
    second = {"a": np.array([[0.0, 2.4], [-3.0, 0.0]], np.float32), "norm": np.array([6.0], np.float32)}
    # 0.75·first + 0.25·second: [[3, 0.6], [-1.5, 0]]; the two largest stay. What is not ranked is averaged only.
    joined = superposed(first, second, 0.25, kept=2, prunable=["a"])
    assert joined["a"].tolist() == [[3.0, 0.0], [-1.5, 0.0]] and joined["norm"].tolist() == [3.75]
    assert joined["a"].dtype == np.float32


def test_three_tickets_at_density_a_tenth_equal_numpy():
    generator = np.random.default_rng(5)
    shapes = {"one": (3, 3, 4, 7), "two": (40, 12)}
    size, kept = 252 + 480, 73

    def ticket():
        flat = generator.normal(size=size).astype(np.float32)
        flat[generator.permutation(size)[kept:]] = 0
        parts = np.split(flat, [252])
        arrays = {name: part.reshape(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}
        return arrays | {"beta": generator.normal(size=5).astype(np.float32)}

    tickets = [ticket() for _ in range(3)]
    average, expected, beta = (
        tickets[0],
        np.concatenate([tickets[0][name].ravel() for name in shapes]),
        tickets[0]["beta"],
    )
    for k in (1, 2):
        average = superposed(average, tickets[k], newest_fraction("caa", k, 0.5), kept, list(shapes))
        flat = np.concatenate([tickets[k][name].ravel() for name in shapes])
        expected = (expected.astype(np.float64) * (1 - 1 / (k + 1)) + flat.astype(np.float64) / (k + 1)).astype(
            np.float32
        )
        expected[np.argsort(-np.abs(expected), kind="stable")[kept:]] = 0
        beta = beta * (1 - 1 / (k + 1)) + tickets[k]["beta"] / (k + 1)
    got = np.concatenate([average[name].ravel() for name in shapes])
    assert np.count_nonzero(got) == kept
    np.testing.assert_allclose(got, expected, rtol=1e-6)
    np.testing.assert_allclose(average["beta"], np.mean([t["beta"] for t in tickets], axis=0), rtol=1e-5)
    np.testing.assert_allclose(average["beta"], beta, rtol=1e-6)


def test_a_ticket_that_is_not_finite_is_reported_with_the_weights_name():
    first = {"a": np.array([4.0, 0.0, -1.0], np.float32), "b": np.array([3.0, 7.0], np.float32)}
    second = first | {"b": np.array([np.nan, 7.0], np.float32)}
    with pytest.raises(TostError, match="the score of b is not finite everywhere in the superposition"):
        superposed(first, second, 0.25, kept=2, prunable=["a", "b"])
