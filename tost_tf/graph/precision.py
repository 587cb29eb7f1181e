"""Mixed precision: layers that compute in 16 bits with weights in 32 bits, by Keras's dtype policies.

The policy is set layer by layer in a copy of the model; Keras's global policy is never changed.
"""

from __future__ import annotations

from tost_tf.compat import keras
from tost_tf.compat.graphs import graph_nodes, is_graph_model
from tost_tf.graph.copy import copy_layer, unwrapped_layer
from tost_tf.graph.rebuild import rebuild


def in_precision(model: keras.Model, precision: str) -> keras.Model:
    """A copy of a graph model, with the same weights, that computes in "float16" or "bfloat16".

    Weights and logits stay float32: the last layer with weights, and everything after it, computes in float32. For
    "none", `model` itself is returned.
    """
    if precision == "none":
        return model
    last = {id(layer) for layer in _last_layers(model)}

    def copy(layer: keras.layers.Layer) -> keras.layers.Layer:
        # Operations (`tf.nn.relu(x)`) have no policy: they compute in the type of their inputs.
        keeps = isinstance(layer, keras.layers.InputLayer) or hasattr(layer, "symbol") or id(layer) in last
        return copy_layer(layer, None if keeps else f"mixed_{precision}")

    return rebuild(model, copy)


def weight_precision(layer: keras.layers.Layer) -> str | None:
    """The precision of a mixed layer's weights; `None` for a layer that computes in the precision of its weights."""
    policy = unwrapped_layer(layer).dtype_policy
    return policy.variable_dtype if policy.name.startswith("mixed_") else None


def _last_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """The layers that compute the outputs, back to the last layer with weights on each path."""
    makers = {key: node for node in graph_nodes(model) for key in node.flat_output_ids}
    waiting, found = [str(id(tensor)) for tensor in model.outputs], []
    while waiting:
        node = makers.get(waiting.pop())
        if node is None:  # an input of the model
            continue
        parts = _last_layers(node.layer) if is_graph_model(node.layer) else [node.layer]
        found += parts
        if not any(part.weights for part in parts):
            waiting += node.flat_input_ids
    return found
