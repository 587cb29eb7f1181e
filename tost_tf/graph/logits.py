"""What a classifier gives: logits, or the probabilities of a softmax at its end."""

from __future__ import annotations

from tost_tf.compat import is_graph_model, keras, layer_of, tf
from tost_tf.errors import TostError
from tost_tf.graph.copy import unwrapped_layer


def last_layer(model: keras.Model) -> keras.layers.Layer:
    """The layer that gives the only output of a model, also at the end of a model nested in it."""
    last = layer_of(model.output)
    while is_graph_model(last) and len(last.outputs) == 1:
        last = layer_of(last.output)
    return unwrapped_layer(last)


def ends_in_softmax(model: keras.Model) -> bool:
    """Whether a model (a `GhostModel` too) ends in a softmax, as layer, activation or operation.

    Raises:
      TostError: it ends in something else that gives no logits.
    """
    model = getattr(model, "plain", model)
    if not is_graph_model(model) or len(model.outputs) != 1:
        return False
    last = last_layer(model)
    function, symbol = getattr(last, "activation", None), str(getattr(last, "symbol", ""))
    if symbol == "nn.softmax" or function is keras.activations.softmax or isinstance(last, keras.layers.Softmax):
        return True
    if function is keras.activations.sigmoid or symbol.endswith(("softmax", "sigmoid")):
        raise TostError(
            f"the model {model.name!r} ends in {last.name!r}, which gives neither logits nor the probabilities of a "
            "softmax: make it without that"
        )
    return False


def to_logits(model: keras.Model, outputs: tf.Tensor) -> tf.Tensor:
    """The logits that outputs of a model stand for: those of a softmax are logarithms of its probabilities.

    They differ from the numbers before the softmax by one number for each example, which no loss depends on.
    """
    if not ends_in_softmax(model):
        return outputs
    return tf.math.log(tf.maximum(outputs, outputs.dtype.as_numpy_dtype(1e-37)))
