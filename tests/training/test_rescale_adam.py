import numpy as np

from tost_tf.training.rescale_adam import ScaleAdam


def test_steps_by_hand():
    adam = ScaleAdam(np.array([0.01, 0.0]), learning_rate=0.3)
    adam.step(np.array([0.5, -4.0]), "loss")  # the first step of Adam has the length of the learning rate
    np.testing.assert_allclose(adam.scales, [0.7, 1.3], rtol=1e-6)
    adam.step(np.array([0.2, 0.6]), "norm")
    # The first moment is that of the kind: 0.1·gradient / 0.1. The second holds both steps, the first clipped to -1.
    second = (0.999 * 0.001 * np.array([0.25, 1.0]) + 0.001 * np.array([0.04, 0.36])) / (1 - 0.999**2)
    expected = np.array([0.7, 1.3]) - 0.3 * np.array([0.2, 0.6]) / np.sqrt(second)
    np.testing.assert_allclose(adam.scales, expected, rtol=1e-6)
    adam.step(np.array([0.5, -1.0]), "loss")
    first = (0.9 * 0.1 * np.array([0.5, -1.0]) + 0.1 * np.array([0.5, -1.0])) / (1 - 0.9**2)
    second = (0.999 * second * (1 - 0.999**2) + 0.001 * np.array([0.25, 1.0])) / (1 - 0.999**3)
    np.testing.assert_allclose(adam.scales, expected - 0.3 * first / np.sqrt(second), rtol=1e-6)


def test_lower_bounds_hold():
    adam = ScaleAdam(np.array([0.01, 0.0]), learning_rate=0.3)
    for _ in range(10):
        adam.step(np.array([1.0, 1.0]), "loss")
    np.testing.assert_array_equal(adam.scales, [0.01, 0.0])
