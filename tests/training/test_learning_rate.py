import pytest

from tost_tf.training.learning_rate import triangle


def test_up_and_down():
    values = [triangle(progress, 0.001, 0.005) for progress in (0, 0.25, 0.5, 0.75, 1)]
    assert values == pytest.approx([0.001, 0.003, 0.005, 0.003, 0.001])
