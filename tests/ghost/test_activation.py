import numpy as np
import pytest

import tost_tf as tost
from tost_tf.compat import keras, tf
from tost_tf.errors import TostError


def test_layer_uses_its_beta():
    layer = tost.GhostActivation("pswish", beta=2.0)
    x = tf.constant([-1.0, 0.5])
    np.testing.assert_allclose(layer(x), x / (1 + np.exp(-2 * x)), rtol=1e-6)
    layer.beta.assign(3.0)
    np.testing.assert_allclose(layer(x), x / (1 + np.exp(-3 * x)), rtol=1e-6)
    assert layer.trainable_weights == []


def test_cap_is_kept():
    layer = tost.GhostActivation("mish", beta=50.0, max_value=6)
    np.testing.assert_allclose(layer(tf.constant([-2.0, 3.0, 9.0])), [0, 3, 6], atol=1e-5)


def test_config_round_trip():
    layer = tost.GhostActivation("mish", beta=1.7, max_value=6.0, name="soft")
    again = keras.layers.deserialize(keras.layers.serialize(layer))
    assert again.get_config() == layer.get_config() and again.kind == "mish" and float(again.beta) == pytest.approx(1.7)


def test_unknown_kind_is_refused():
    with pytest.raises(TostError, match="unknown ghost neuron 'swish': did you mean 'pswish'"):
        tost.GhostActivation("swish")
