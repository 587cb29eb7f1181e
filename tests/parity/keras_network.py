"""The network of `reference` in Keras."""

import numpy as np

from tests.parity.reference import EPSILON, IMAGE, SHAPES, STRIDES
from tost_tf.compat import keras
from tost_tf.graph.parameter_paths import parameter_paths


def keras_network(values, precision="float64", statistics=None):
    """With these parameters, and these moving means and variances.

    In double precision BatchNormalization is not fused, in single precision bn1 and bn2 are.
    """
    layers = keras.layers
    keras.backend.set_floatx(precision)
    try:
        stack = [keras.Input(IMAGE)]
        for number, name in enumerate(("conv1", "conv2", "hidden"), 1):
            channels = SHAPES[f"{name}/kernel"][-1]
            if name == "hidden":
                stack += [layers.Flatten(), layers.Dense(channels, use_bias=False, name=name)]
            else:
                stack.append(layers.Conv2D(channels, 3, STRIDES[name], "same", use_bias=False, name=name))
            stack += [layers.BatchNormalization(epsilon=EPSILON, name=f"bn{number}"), layers.ReLU()]
        model = keras.Sequential([*stack, layers.Dense(SHAPES["logits/bias"][0], name="logits")], name="small")
    finally:
        keras.backend.set_floatx("float32")
    for path, variable in parameter_paths(model).items():
        variable.assign(values[path])
    for name, (mean, variance) in (statistics or {}).items():
        model.get_layer(name).moving_mean.assign(np.asarray(mean))
        model.get_layer(name).moving_variance.assign(np.asarray(variance))
    return model
