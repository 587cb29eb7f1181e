"""Values that are lent, and given back whatever happens."""

import numpy as np
import pytest

from tost_tf.compat import keras, tf
from tost_tf.graph.lent import lent


def test_a_layer_computes_with_what_it_is_lent_and_keeps_its_own():
    layer = keras.layers.Dense(1, use_bias=False)
    layer.build((None, 2))
    layer.set_weights([np.array([[3.0], [-2.0]])])
    own, inputs = layer.kernel, tf.constant([[1.0, 5.0]])
    with lent([(layer, "kernel", tf.constant([[4.0], [0.5]]))]):
        assert layer(inputs).numpy().item() == 6.5
        with lent([(layer, "kernel", tf.constant([[0.0], [1.0]]))]):
            assert layer(inputs).numpy().item() == 5
        assert layer(inputs).numpy().item() == 6.5
    assert layer.kernel is own and layer(inputs).numpy().item() == -7 and len(layer.weights) == 1


def test_what_was_lent_before_an_error_is_given_back():
    layer = keras.layers.Dense(1)
    layer.build((None, 2))
    own = layer.kernel
    with pytest.raises(KeyError, match="no_such"), lent([(layer, "kernel", 1), (layer, "no_such", 2)]):
        pass
    assert layer.kernel is own
