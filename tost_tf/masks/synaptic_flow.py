"""The flow of absolute weights through a network (Tanaka et al. 2020)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from tost_tf.compat import keras, tf
from tost_tf.compat.graphs import is_graph_model, layer_of
from tost_tf.errors import TostError
from tost_tf.graph.copy import copy_layer, unwrapped_layer
from tost_tf.graph.kernels import prunable_weights
from tost_tf.graph.rebuild import rebuild

# Layers whose output is not a weighted sum of their inputs with positive weights.
NONLINEAR = (
    *("Activation", "ReLU", "LeakyReLU", "PReLU", "ELU", "ThresholdedReLU", "Softmax", "Dropout"),
    *("Normalization", "Rescaling", "LayerNormalization"),
)
SATURATING = ("softmax", "log_softmax", "sigmoid", "hard_sigmoid", "tanh", "softsign")


class SynapticFlow:
    """The scores |∂R/∂θ · θ| of a network, R the sum of its outputs for one all-ones input.

    They are computed on a copy in double precision (the flow through a deep network overflows single precision). All
    its parameters and BatchNormalization statistics are replaced by their absolute values, and BatchNormalization is in
    inference mode, as in the original; in training mode the scores would be differences of nearly equal numbers. The
    model itself is not changed.

    Args:
      model: the model to be scored.
      paths_only: count paths of kept weights instead of weighting them: every weight is 1, every bias 0, and nonlinear
        layers (activations, their caps, max pooling, normalisations) are replaced by the identity or a mean.

    Raises:
      TostError: the model takes inputs of any size, or paths should be counted through a layer that multiplies computed
        values by each other (recurrent, attention).
    """

    def __init__(self, model: keras.Model, paths_only: bool = False):
        if paths_only:
            _require_countable(model)
        self._copy = rebuild(model, _linear if paths_only else _without_saturation(model))
        for variable in self._copy.variables:
            variable.assign(_one_or_zero(variable) if paths_only else tf.abs(variable))
        self._kernels = prunable_weights(self._copy)
        self._absolute = {path: kernel.numpy() for path, kernel in self._kernels.items()}
        kernels = list(self._kernels.values())
        inputs = self._copy.inputs
        if not all(tensor.shape[1:].is_fully_defined() for tensor in inputs):
            raise TostError(f"{model.name} takes inputs of any size: SynFlow needs a model with a fixed input shape")
        ones = [tf.ones((1, *tensor.shape[1:]), tensor.dtype) for tensor in inputs]

        @tf.function
        def gradients() -> list[tf.Tensor]:
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(kernels)
                outputs = tf.nest.flatten(self._copy(ones if len(ones) > 1 else ones[0], training=False))
                flow = tf.add_n([tf.reduce_sum(output) for output in outputs])
            return tape.gradient(flow, kernels, unconnected_gradients="zero")

        self._gradients = gradients
        self._ones = ones if len(ones) > 1 else ones[0]

    def has_path(self, masks: Mapping[str, np.ndarray]) -> bool:
        """Whether a path of kept weights leads from the input to an output."""
        for path, kernel in self._kernels.items():
            # Scaled, so that the number of paths through a deep network does not overflow.
            scale = np.sqrt(np.prod(kernel.shape[:-1]))
            kernel.assign(self._absolute[path] * masks.get(path, 1) / scale)
        outputs = tf.nest.flatten(self._copy(self._ones, training=False))
        return not all(np.all(np.asarray(output) == 0) for output in outputs)

    def scores(self, masks: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The scores by weight path, if all weights that the masks drop are zero."""
        for path, kernel in self._kernels.items():
            kernel.assign(self._absolute[path] * masks[path] if path in masks else self._absolute[path])
        return {
            path: np.abs(gradient.numpy() * kernel.numpy())
            for (path, kernel), gradient in zip(self._kernels.items(), self._gradients(), strict=True)
        }


def _require_countable(model: keras.Model) -> None:
    """Raises `TostError`, naming the layer, if paths through it cannot be counted: gates and softmaxes are not sums."""
    for layer in model.submodules:
        if isinstance(layer, keras.layers.RNN | keras.layers.MultiHeadAttention):
            raise TostError(
                f"the layer {layer.name!r} ({type(layer).__name__}) of {model.name} multiplies computed "
                "values by each other: paths of kept weights through it cannot be counted"
            )


def _in_double_precision(layer: keras.layers.Layer) -> keras.layers.Layer:
    # Inputs too, or operations would get tensors of two types; integers stay integers.
    counts = isinstance(layer, keras.layers.InputLayer) and not tf.as_dtype(layer.dtype).is_floating
    return copy_layer(unwrapped_layer(layer), None if counts else "float64")


def _without_saturation(model: keras.Model) -> Callable[[keras.layers.Layer], keras.layers.Layer]:
    """Makes layers of the copy: flows are far beyond what a softmax or a ReLU with a cap lets through.

    The function at the end of a network goes, and caps of ReLUs do; where computed values are multiplied by each other,
    as by the gates of MobileNetV3, caps stay, without which products of products overflow.
    """
    ends = {id(unwrapped_layer(layer)) for layer in _ends(model)}
    has_gates = any(isinstance(layer, keras.layers.Multiply) for layer in model.submodules)

    def copied(layer: keras.layers.Layer) -> keras.layers.Layer:
        inner = unwrapped_layer(layer)
        function = getattr(getattr(inner, "activation", None), "__name__", "").removesuffix("_v2")
        if id(inner) in ends and (isinstance(inner, keras.layers.Softmax) or function in SATURATING):
            if isinstance(inner, keras.layers.Softmax):
                return keras.layers.Activation("linear", name=inner.name, dtype="float64")
            return copy_layer(inner, "float64", activation="linear")
        if not has_gates and isinstance(inner, keras.layers.ReLU) and inner.max_value is not None:
            return copy_layer(inner, "float64", max_value=None)
        if not has_gates and function == "relu6":
            return copy_layer(inner, "float64", activation="relu")
        return _in_double_precision(layer)

    return copied


def _ends(model: keras.Model) -> list[keras.layers.Layer]:
    """The layers that compute the outputs of a model, also in nested models."""
    ends = []
    for layer in map(layer_of, model.outputs):
        ends += _ends(layer) if is_graph_model(layer) else [layer]
    return ends


def _one_or_zero(variable: tf.Variable) -> tf.Tensor:
    is_offset = variable.name.split("/")[-1].split(":")[0] in ("bias", "beta", "moving_mean")
    return tf.zeros_like(variable) if is_offset else tf.ones_like(variable)


def _linear(layer: keras.layers.Layer) -> keras.layers.Layer:
    """A linear layer that replaces `layer`."""
    layer = unwrapped_layer(layer)
    if isinstance(layer, keras.layers.InputLayer):
        return _in_double_precision(layer)
    pooling = type(layer).__name__.replace("Max", "Average")
    if any(isinstance(layer, getattr(keras.layers, name)) for name in NONLINEAR):
        return keras.layers.Activation("linear", name=layer.name, dtype="float64")
    if pooling != type(layer).__name__ and "Pooling" in pooling:
        return getattr(keras.layers, pooling).from_config(layer.get_config() | {"dtype": "float64"})
    return copy_layer(layer, "float64", **({"activation": "linear"} if "activation" in layer.get_config() else {}))
