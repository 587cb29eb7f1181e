import pytest

from tost_tf.dynamic.schedules import cubic_sparsity, drop_fraction


def test_cosine_falls_to_zero():
    # 0.3/2·(1 + cos(π/3)) = 0.15·1.5
    assert [drop_fraction(0.3, p, "cosine") for p in (0, 1 / 3, 1)] == pytest.approx([0.3, 0.225, 0])


def test_constant_stays():
    assert [drop_fraction(0.3, p, "constant") for p in (0, 0.7, 1)] == [0.3] * 3


def test_cubic_sparsity():
    # 0.9 - 0.4·(1 - 0.25)³ = 0.9 - 0.16875
    assert [cubic_sparsity(0.5, 0.9, p) for p in (0, 0.25, 1)] == pytest.approx([0.5, 0.73125, 0.9])
