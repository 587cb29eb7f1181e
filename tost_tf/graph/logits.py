"""The outputs of a classifier: logits, or the probabilities of a softmax at its end."""

from __future__ import annotations

from collections.abc import Callable

from tost_tf.compat import keras, tf
from tost_tf.compat.graphs import call_of, is_graph_model, layer_of, output_layers
from tost_tf.errors import TostError
from tost_tf.graph.copy import unwrapped_layer

NO_LOGITS = ("log_softmax", "sigmoid")  # the ends of names of functions that give neither logits nor probabilities


def ending_layer(model: keras.Model) -> keras.layers.Layer:
    """The layer that computes the only output of a model; it may be in a nested model.

    Layers behind it that change no number are passed over, such as one that only casts to float32.
    """
    require_one_output(model)
    output = model.output
    while True:
        layer = layer_of(output)
        if is_graph_model(layer) and len(layer.outputs) == 1:
            output = layer.output
        elif isinstance(layer, keras.layers.Flatten | keras.layers.Reshape) or _is_linear(layer):
            output = call_of(output).input_tensors
        else:
            return unwrapped_layer(layer)


def _is_linear(layer: keras.layers.Layer) -> bool:
    return isinstance(layer, keras.layers.Activation) and _name(layer.activation) == "linear"


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
      TostError: it ends in another function that gives no logits.
    """
    model = getattr(model, "plain", model)
    if not is_graph_model(model) or len(model.outputs) != 1:
        return False
    last = ending_layer(model)
    function, symbol = getattr(last, "activation", None), str(getattr(last, "symbol", ""))
    if symbol == "nn.softmax" or _name(function) == "softmax" or isinstance(last, keras.layers.Softmax):
        return True
    if _name(function) in NO_LOGITS or symbol.endswith(NO_LOGITS):
        raise TostError(
            f"the model {model.name!r} ends in {last.name!r}, which gives neither logits nor the probabilities of a "
            "softmax: build the model without it"
        )
    return False


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
