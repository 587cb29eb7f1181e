"""Rules for activations, padding and normalization."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tost_tf.compaction.graph import Tensor
from tost_tf.compaction.rule import Channelwise, Constants
from tost_tf.compat import keras, tf
from tost_tf.graph.calls import Call

# Functions of one number: those of a Keras layer, and symbols of operations that are in a graph without a layer.
FUNCTIONS = (
    *(getattr(keras.activations, name) for name in ("elu", "exponential", "gelu", "hard_sigmoid", "linear", "mish")),
    *(getattr(keras.activations, name) for name in ("relu", "selu", "sigmoid", "softplus", "softsign", "swish")),
    *(keras.activations.tanh, tf.nn.relu, tf.nn.relu6, tf.nn.silu, tf.nn.elu, tf.nn.selu, tf.nn.gelu),
    *(tf.nn.leaky_relu, tf.nn.tanh, tf.nn.sigmoid, tf.nn.softplus),
)
SYMBOLS = (
    *(f"nn.{name}" for name in ("elu", "gelu", "leaky_relu", "relu", "relu6", "selu", "sigmoid", "silu", "softplus")),
    *(f"math.{name}" for name in ("sigmoid", "softplus", "tanh", "negative")),
)
# Operations of two numbers; one of them may be a constant.
BINARY_SYMBOLS = (
    *(f"math.{name}" for name in ("add", "subtract", "multiply", "divide", "truediv", "maximum", "minimum")),
    "__operators__.add",
)


def is_pointwise(function: Callable | None) -> bool:
    """Whether the activation is a function of one number (softmax is not)."""
    return function is None or any(function is known for known in FUNCTIONS)


def at_constants(function: Callable, constants: Constants) -> Constants:
    """The values of a function of one number at the constants, NaN where they are unknown."""
    result, known = np.full(constants.shape, np.nan), ~np.isnan(constants)
    for dtype in (tf.float64, tf.float32) if known.any() else ():
        try:
            result[known] = np.asarray(function(tf.constant(constants[known], dtype)))
            break
        except (TypeError, ValueError, tf.errors.InvalidArgumentError):
            continue  # some layers compute in single precision only; what cannot be evaluated at all is unknown
    return result


def _is_number(value: Any) -> bool:
    """Whether an argument of a call is the same number for all channels."""
    return isinstance(value, int | float | tf.Tensor) and not isinstance(value, bool) and np.ndim(value) == 0


class Pointwise(Channelwise):
    """A function of one number, without weights."""

    def constants(self, inputs: list[Constants]) -> list[Constants]:
        return [at_constants(self._function, inputs[0])]

    def _function(self, numbers: tf.Tensor) -> tf.Tensor:
        arguments = self.call.arguments({self.call.inputs[0]: numbers})
        # Both numbers of an operation have to be of one type.
        binary = getattr(self.layer, "symbol", None) in BINARY_SYMBOLS
        arguments, keywords = tf.nest.map_structure(
            lambda value: (
                (tf.constant(float(value), numbers.dtype) if binary else float(value)) if _is_number(value) else value
            ),
            arguments,
        )
        return self.layer.call(*arguments, **keywords)

    @classmethod
    def fits(cls, call: Call, inputs: list[Tensor]) -> bool:
        if not super().fits(call, inputs):
            return False
        if isinstance(call.layer, keras.layers.Activation):
            return is_pointwise(call.layer.activation)
        if isinstance(call.layer, keras.layers.Rescaling):
            return np.ndim(call.layer.scale) == np.ndim(call.layer.offset) == 0
        symbol = getattr(call.layer, "symbol", None)
        alone = all(_is_number(value) or isinstance(value, bool | str | None) for value in call.other_arguments)
        return symbol is None or (alone and symbol in (*SYMBOLS, *BINARY_SYMBOLS))


class ParametricReLU(Channelwise):
    """PReLU; its slopes may differ by position."""

    same_in_every_call = True

    def constants(self, inputs: list[Constants]) -> list[Constants]:
        slopes = self.layer.alpha.numpy().astype(np.float64).reshape(-1, inputs[0].size)
        slope = np.where(np.ptp(slopes, axis=0) == 0, slopes[0], np.nan)
        with np.errstate(invalid="ignore"):
            return [np.where(inputs[0] >= 0, inputs[0], slope * inputs[0])]

    @classmethod
    def fits(cls, call: Call, inputs: list[Tensor]) -> bool:
        return super().fits(call, inputs) and call.layer.alpha.shape[-1] == inputs[0].channels


class Normalization(Channelwise):
    """BatchNormalization over the last axis in inference mode, an affine function of each channel."""

    same_in_every_call = True

    def constants(self, inputs: list[Constants]) -> list[Constants]:
        layer = self.layer
        mean, variance = (value.numpy().astype(np.float64) for value in (layer.moving_mean, layer.moving_variance))
        gamma = 1.0 if layer.gamma is None else layer.gamma.numpy()
        beta = 0.0 if layer.beta is None else layer.beta.numpy()
        scaled = (inputs[0] - mean) * gamma / np.sqrt(variance + layer.epsilon)
        return [np.where(gamma == 0, 0.0, scaled) + beta]

    @classmethod
    def fits(cls, call: Call, inputs: list[Tensor]) -> bool:
        return super().fits(call, inputs) and list(call.layer.axis) == [len(inputs[0].shape) - 1]


class ZeroBorder(Channelwise):
    """Zeros around the image: only a channel that is zero stays constant."""

    def constants(self, inputs: list[Constants]) -> list[Constants]:
        return [np.where(inputs[0] == 0, 0.0, np.nan)]
