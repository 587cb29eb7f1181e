import numpy as np
import pytest

from tost_tf.compat import keras, tf
from tost_tf.train.optimizer import CoupledSGD


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
