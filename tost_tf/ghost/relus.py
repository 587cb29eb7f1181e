"""Which layers are a ReLU, or have one, and which have another activation."""

from __future__ import annotations

from collections.abc import Callable

from tost_tf.compat import keras, tf
from tost_tf.graph.copy import graph_model_in

CONVOLUTIONS = (
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.DepthwiseConv1D,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv1D,
    keras.layers.SeparableConv2D,
)
WEIGHTED = (*CONVOLUTIONS, keras.layers.Dense, keras.layers.EinsumDense)
# Layers that are an activation and not a ReLU.
OTHER_ACTIVATIONS = (keras.layers.LeakyReLU, keras.layers.PReLU, keras.layers.ELU, keras.layers.ThresholdedReLU)
# Each ReLU with its cap: functions, and the symbols of TensorFlow's operations in a graph.
RELUS = {keras.activations.relu: None, tf.nn.relu: None, tf.nn.relu6: 6.0, "nn.relu": None, "nn.relu6": 6.0}
# Operations that are an activation and not a ReLU.
OTHER_SYMBOLS = {f"nn.{name}" for name in ("elu", "gelu", "leaky_relu", "selu", "silu", "swish")} | {"math.tanh"}
NOT_OF_INTEREST = (keras.activations.linear, keras.activations.softmax, keras.activations.sigmoid)


def is_relu(layer: keras.layers.Layer) -> bool:
    """Whether `layer` is a ReLU, capped or not, without leak or threshold."""
    if isinstance(layer, keras.layers.ReLU):
        return not layer.negative_slope and not layer.threshold
    return _as_function(layer) in RELUS


def has_relu_inside(layer: keras.layers.Layer) -> bool:
    """Whether a layer inside `layer`, which is not a model, has a ReLU."""
    if graph_model_in(layer) is not None:
        return False
    parts = [part for part in layer.submodules if isinstance(part, keras.layers.Layer)]
    return any(is_relu(part) or getattr(part, "activation", None) in RELUS for part in parts)


def _as_function(layer: keras.layers.Layer) -> Callable | str | None:
    """The activation an `Activation` layer holds, or the symbol of an operation (`tf.nn.relu(x)` is a layer too)."""
    return layer.activation if isinstance(layer, keras.layers.Activation) else getattr(layer, "symbol", None)


def other_activation(layer: keras.layers.Layer) -> str | None:
    """The name of the activation that `layer` is or has, if no ghost replaces it."""
    if isinstance(layer, OTHER_ACTIVATIONS) or (isinstance(layer, keras.layers.ReLU) and not is_relu(layer)):
        return type(layer).__name__
    function = layer.activation if has_activation(layer) else _as_function(layer)
    if isinstance(function, str):
        return function if function in OTHER_SYMBOLS else None
    return None if function in (None, *NOT_OF_INTEREST, *RELUS) else getattr(function, "__name__", str(function))


def has_activation(layer: keras.layers.Layer) -> bool:
    """Whether `layer` has weights and an activation after them."""
    return isinstance(layer, WEIGHTED) and layer.activation not in (None, keras.activations.linear)


def cap_of(layer: keras.layers.Layer) -> float | None:
    """The value at which a ReLU layer is capped, or `None`."""
    if isinstance(layer, keras.layers.ReLU):
        return None if layer.max_value is None else float(layer.max_value)
    return RELUS[_as_function(layer)]
