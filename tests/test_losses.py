import numpy as np
import pytest

from tost_tf.losses import cross_entropy


def test_smoothed_cross_entropy_by_hand():
    logits = np.array([[2.0, -1.0, 0.5, 0.0], [0.3, 0.1, 0.0, 3.0]])
    labels = np.array([0, 2])
    log_probabilities = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    smoothed = np.eye(4)[labels] * (1 - 0.3) + 0.3 / 4
    expected = -(smoothed * log_probabilities).sum(1).mean()
    assert float(cross_entropy(0.3)(np.eye(4)[labels], logits)) == pytest.approx(expected, rel=1e-6)
    plain = -log_probabilities[[0, 1], labels].mean()
    assert float(cross_entropy()(np.eye(4)[labels], logits)) == pytest.approx(plain, rel=1e-6)
