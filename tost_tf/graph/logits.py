"""The outputs of a classifier: logits, or the probabilities of a softmax at its end."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from tost_tf.compat import keras, tf
from tost_tf.compat.graphs import call_of, is_graph_model, is_operation, layer_of, output_layers
from tost_tf.errors import TostError
from tost_tf.graph.copy import graph_model_in, unwrapped_layer

NO_LOGITS = ("log_softmax", "sigmoid")  # the ends of names of functions that give neither logits nor probabilities
# Layers of Keras and operations that change no number when a network is used, only shapes and types.
PASSED_OVER = (
    *("Flatten", "Reshape", "Identity", "ActivityRegularization"),
    *("Dropout", "AlphaDropout", "GaussianDropout", "GaussianNoise"),
)
PASSED_OVER_SYMBOLS = ("cast", "identity", "reshape", "squeeze")


@dataclasses.dataclass(frozen=True)
class _Ending:
    """The layer that a network ends in, and the symbolic tensor that it, or a `TimeDistributed` around it, returns."""

    layer: keras.layers.Layer
    output: tf.Tensor
    is_in_steps: bool


def ending_layer(model: keras.Model) -> keras.layers.Layer:
    """The layer that computes the only output of a model; it may be in a nested model, or in a `TimeDistributed`.

    Layers behind it that change no number are passed over, such as one that only casts to float32.
    """
    return _ending(model).layer


def _ending(model: keras.Model) -> _Ending:
    require_one_output(model)
    output = model.output
    while True:
        called = unwrapped_layer(layer_of(output))
        nested = graph_model_in(called)
        is_in_steps = isinstance(called, keras.layers.TimeDistributed)
        layer = called.layer if is_in_steps else called
        if nested is not None and len(nested.outputs) == 1:
            output = nested.outputs[0]
        elif _changes_no_number(layer):
            output = call_of(output).keras_inputs[0]
        else:
            return _Ending(unwrapped_layer(layer), output, is_in_steps)


def _changes_no_number(layer: keras.layers.Layer) -> bool:
    is_linear = isinstance(layer, keras.layers.Activation) and _name(layer.activation) == "linear"
    symbol = getattr(layer, "symbol", "").removeprefix("compat.v1.")
    passed_over = tuple(getattr(keras.layers, name) for name in PASSED_OVER)
    return is_linear or isinstance(layer, passed_over) or symbol in PASSED_OVER_SYMBOLS


def _name(function: Callable | None) -> str:
    """The name of an activation, by which Keras's and TensorFlow's are the same."""
    return getattr(function, "__name__", "").removesuffix("_v2")


def classes_of(model: keras.Model) -> int:
    """The number of classes of a classifier (also a `GhostModel`). Raises `TostError` if it has several outputs."""
    model = getattr(model, "plain", model)
    require_one_output(model)
    return model.output_shape[-1]


def require_one_output(model: keras.Model) -> None:
    """Raises `TostError`, with advice, unless a graph model returns one tensor, not in a list or dictionary."""
    if is_graph_model(model) and not tf.is_tensor(model.output):
        names = ", ".join(unwrapped_layer(layer).name for layer in output_layers(model))[:120]
        raise TostError(
            f"the model {model.name!r} returns {len(model.outputs)} outputs ({names}) in a list or dictionary, but the "
            "logits of one classifier are needed: use one of them, as in tf_keras.Model(model.input, model.outputs[0])"
        )


def ends_in_softmax(model: keras.Model) -> bool:
    """Whether a model (also a `GhostModel`) ends in a softmax, as layer, activation or operation.

    Raises:
      TostError: it ends in another function that gives no logits, or in a softmax over another axis than the last.
    """
    model = getattr(model, "plain", model)
    if not is_graph_model(model) or len(model.outputs) != 1:
        return False
    ending = _ending(model)
    last = ending.layer
    function, symbol = getattr(last, "activation", None), str(getattr(last, "symbol", ""))
    if symbol == "nn.softmax" or _name(function) == "softmax" or isinstance(last, keras.layers.Softmax):
        _require_last_axis(model, ending)
        return True
    if _name(function) in NO_LOGITS or symbol.endswith(NO_LOGITS):
        raise TostError(
            f"the model {model.name!r} ends in {last.name!r}, which gives neither logits nor the probabilities of a "
            "softmax: build the model without it"
        )
    return False


def _require_last_axis(model: keras.Model, softmax: _Ending) -> None:
    rank = len(softmax.output.shape) - softmax.is_in_steps
    axes = [axis % rank for axis in np.ravel(_axis(softmax)).tolist()]
    if axes != [rank - 1] or softmax.output.shape[-1] != model.output.shape[-1]:
        raise TostError(
            f"the model {model.name!r} ends in {softmax.layer.name!r}, a softmax over other numbers than those along "
            "the last axis of the model's output: let it be over the last axis, or build the model without it"
        )


def _axis(softmax: _Ending) -> int | list[int]:
    if not is_operation(softmax.layer):
        return getattr(softmax.layer, "axis", -1)
    call = call_of(softmax.output)
    axis = call.call_kwargs.get("axis", call.call_args[1] if len(call.call_args) > 1 else None)
    return -1 if axis is None else axis


def to_logits(model: keras.Model) -> Callable[[tf.Tensor], tf.Tensor]:
    """A function from outputs of a model to logits; for a softmax these are the logarithms of the probabilities.

    They differ from the values before the softmax by one number for each example, on which no loss depends.

    Raises:
      TostError: as `ends_in_softmax`.
    """
    return _log if ends_in_softmax(model) else _same


def _log(probabilities: tf.Tensor) -> tf.Tensor:
    return tf.math.log(tf.maximum(probabilities, probabilities.dtype.as_numpy_dtype(1e-37)))


def _same(logits: tf.Tensor) -> tf.Tensor:
    return logits
