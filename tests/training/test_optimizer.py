import numpy as np
import pytest

from tost_tf.compat import keras, tf
from tost_tf.training.optimizer import CoupledSGD


def test_steps_by_hand():
    weight = tf.Variable([2.0, -3.0])
    optimizer = CoupledSGD(learning_rate=0.3, momentum=0.7, weight_decay=0.1)
    # gradient 1.2 and -0.4 plus 0.1·weight: 1.4 and -0.7.
    optimizer.apply_gradients([(tf.constant([1.2, -0.4]), weight)])
    np.testing.assert_allclose(weight, [2.0 - 0.3 * 1.4, -3.0 + 0.3 * 0.7], rtol=1e-6)  # 1.58, -2.79
    # The learning rate drops: momentum 0.7·1.4 + 0.5 + 0.158 = 1.638 and 0.7·-0.7 + 0.5 - 0.279 = -0.269.
    optimizer.learning_rate = 0.03
    optimizer.apply_gradients([(tf.constant([0.5, 0.5]), weight)])
    np.testing.assert_allclose(weight, [1.58 - 0.03 * 1.638, -2.79 + 0.03 * 0.269], rtol=1e-6)


def test_in_double_precision_the_numbers_are_exact():
    weight = tf.Variable([2.0, -3.0], dtype=tf.float64)
    optimizer = CoupledSGD(learning_rate=0.1, momentum=0.9, weight_decay=2e-4)
    for rate, steps in ((0.1, 2), (0.03, 1)):
        optimizer.learning_rate = rate
        for _ in range(steps):
            optimizer.apply_gradients([(tf.constant([1.2, -0.4], tf.float64), weight)])
    expected, momentum = np.array([2.0, -3.0]), 0.0
    for rate in (0.1, 0.1, 0.03):
        momentum = 0.9 * momentum + np.array([1.2, -0.4]) + 2e-4 * expected
        expected = expected - rate * momentum
    np.testing.assert_allclose(weight, expected, rtol=1e-14)


def test_a_learning_rate_set_before_the_first_step_is_kept_in_double_precision():
    weight = tf.Variable([1.0], dtype=tf.float64)
    optimizer = CoupledSGD(learning_rate=0.1, momentum=0.0)
    optimizer.learning_rate = 0.25
    optimizer.apply_gradients([(tf.constant([1.0], tf.float64), weight)])
    assert weight.numpy().tolist() == [0.75]


def test_single_precision_is_as_it_was():
    """The rate stays Keras's own variable, which checkpoints hold, and the numbers are those nearest to them."""
    weight = tf.Variable([2.0, -3.0])
    optimizer = CoupledSGD(0.1, 0.9, 2e-4)
    rate = optimizer.learning_rate
    for _ in range(2):
        optimizer.apply_gradients([(tf.constant([1.2, -0.4]), weight)])
    assert optimizer.learning_rate is rate and rate.dtype == tf.float32
    expected, momentum = np.array([2, -3], np.float32), np.float32(0)
    for _ in range(2):
        momentum = np.float32(0.9) * momentum + (np.array([1.2, -0.4], np.float32) + np.float32(2e-4) * expected)
        expected = expected - np.float32(0.1) * momentum
    np.testing.assert_allclose(weight, expected, rtol=2e-7)


def test_every_trainable_weight_decays():
    layer = keras.layers.BatchNormalization()
    layer.build((None, 2))
    optimizer = CoupledSGD(learning_rate=0.5, momentum=0.0, weight_decay=0.2)
    optimizer.apply_gradients([(tf.zeros(2), weight) for weight in layer.trainable_weights])
    np.testing.assert_allclose(layer.gamma, [0.9, 0.9], rtol=1e-6)


def test_sparse_gradients_are_taken():
    weight = tf.Variable([[1.0], [2.0], [4.0]])
    gradient = tf.IndexedSlices(tf.constant([[3.0]]), tf.constant([2]), tf.constant([3, 1]))
    CoupledSGD(0.5, 0.9, 0.1).apply_gradients([(gradient, weight)])
    np.testing.assert_allclose(weight, [[0.95], [1.9], [4 - 0.5 * 3.4]], rtol=1e-6)


def test_config_round_trip():
    optimizer = CoupledSGD(learning_rate=0.3, momentum=0.7, weight_decay=0.1)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert again.get_config() == optimizer.get_config()
    assert (again.coupled_weight_decay, again.momentum) == (0.1, 0.7)
    assert float(again.learning_rate) == pytest.approx(0.3)
