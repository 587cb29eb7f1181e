import pytest

from tost_tf.training.learning_rate import default_drops, step_drops, triangle


def test_up_and_down():
    values = [triangle(progress, 0.001, 0.005) for progress in (0, 0.25, 0.5, 0.75, 1)]
    assert values == pytest.approx([0.001, 0.003, 0.005, 0.003, 0.001])


def test_drops():
    rates = [step_drops(epoch, 0.3, (2, 4), 0.5) for epoch in range(6)]
    assert rates == pytest.approx([0.3, 0.3, 0.15, 0.15, 0.075, 0.075])
    assert default_drops(180) == (90, 135) and default_drops(2) == (1,) and default_drops(1) == ()
