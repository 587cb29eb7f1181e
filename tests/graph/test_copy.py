"""Copies of layers keep functions and objects that no config can name."""

import numpy as np
import pytest

from tost_tf.compat import keras, tf
from tost_tf.graph.copy import copy_layer

layers = keras.layers


def relu(x):  # the name of one of Keras's own
    return 0.5 * tf.nn.relu(x)


def started(shape, dtype=None, **kwargs):
    return tf.fill(shape, tf.constant(0.3, dtype or tf.float32))


def penalty(kernel):
    return 0.7 * tf.reduce_sum(tf.abs(kernel))


class Bounded(keras.constraints.Constraint):  # not registered
    def __call__(self, kernel):
        return tf.clip_by_value(kernel, -0.2, 0.2)


OPTIONS = [
    ("activation", relu),
    ("activation", tf.nn.relu6),
    ("kernel_initializer", started),
    ("kernel_regularizer", penalty),
    ("kernel_constraint", Bounded()),
]


@pytest.mark.parametrize(("option", "value"), OPTIONS)
def test_functions_and_objects_of_the_user_are_passed_on(option, value):
    layer = layers.Dense(3, **{option: value})
    assert getattr(copy_layer(layer), option) is value
    assert getattr(copy_layer(layer, "float64"), option) is value


def test_functions_of_a_recurrent_cell():
    layer = layers.LSTM(3, activation=relu, recurrent_activation="sigmoid")
    new = copy_layer(layer)
    assert (new.cell.activation, new.cell.recurrent_activation) == (relu, keras.activations.sigmoid)


def test_functions_of_a_wrapped_layer():
    new = copy_layer(layers.TimeDistributed(layers.Dense(3, activation=relu, kernel_constraint=Bounded())))
    np.testing.assert_allclose(new.layer.activation(tf.constant([4.0, -2.0])), [2.0, 0.0])
    assert isinstance(new.layer.kernel_constraint, Bounded)


def test_layer_of_the_user_inside_a_wrapper():
    class Doubled(layers.Dense):
        def call(self, inputs):
            return 2 * super().call(inputs)

    assert isinstance(copy_layer(layers.TimeDistributed(Doubled(3))).layer, Doubled)


def test_lambda_keeps_its_function():
    layer = layers.Lambda(lambda x: x * 3)
    assert copy_layer(layer).function is layer.function


def test_what_is_changed_wins():
    new = copy_layer(layers.Dense(3, activation=relu, input_shape=(4,)), units=2, activation="tanh")
    assert (new.units, new.activation) == (2, keras.activations.tanh)
    assert "batch_input_shape" not in new.get_config()
