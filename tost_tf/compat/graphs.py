"""The graph of a functional or Sequential model: its calls, their arguments, and the layers they return from."""

from __future__ import annotations

import importlib

from tost_tf.compat import keras, tf
from tost_tf.errors import TostError


def is_graph_model(layer: object) -> bool:
    """Whether `layer` is a functional or (built) Sequential model, whose graph can be walked."""
    return isinstance(layer, keras.Model) and getattr(layer, "_is_graph_network", False)


def require_graph_model(model: object) -> None:
    """Raises `TostError`, with advice, unless `model` is a functional or Sequential tf_keras model."""
    if is_graph_model(model):
        return
    kind = f"{type(model).__module__}.{type(model).__qualname__}"
    is_keras_3 = any(base.__module__.startswith("keras.src") for base in type(model).__mro__)
    if is_keras_3:
        raise TostError(
            f"{kind} is a Keras 3 model, which tensorflow-model-optimization cannot prune: turn it into a "
            "tf_keras model with `tost_tf.from_keras3(model)`"
        )
    if isinstance(model, keras.Sequential):
        raise TostError(
            f"the Sequential model {model.name!r} has no input shape yet: give its first layer an "
            "`input_shape` or call `model.build(...)` first"
        )
    if isinstance(model, keras.Model):
        raise TostError(
            f"{kind} is a subclassed model, whose graph cannot be seen: write it with the functional API "
            "(`tf_keras.Model(inputs, outputs)`) or as a Sequential model"
        )
    raise TostError(f"expected a functional or Sequential tf_keras model, got an object of type {kind}")


def takes_functional_arguments(kind: type) -> bool:
    """Whether models of a class are made from `(inputs, outputs, name=...)`, as with `keras.Model`."""
    return importlib.import_module("tf_keras.src.engine.functional").has_functional_like_constructor(kind)


def graph_nodes(model: keras.Model) -> list:
    """The calls of layers in `model`'s graph, without inputs, each after those it depends on."""
    by_depth = model._nodes_by_depth
    return [node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth] if not node.is_input]


def call_arguments(node, tensors: dict[str, tf.Tensor]) -> tuple[tuple, dict]:
    """The positional and keyword arguments of a node's call, with its input tensors replaced.

    Args:
      node: one of `graph_nodes`.
      tensors: a tensor for each of `node.flat_input_ids`.
    """
    # The node removes tensors from lists, one for each use.
    return node.map_arguments({key: [tensors[key]] * node.flat_input_ids.count(key) for key in node.flat_input_ids})


def call_of(tensor: tf.Tensor) -> object:
    """The call of a layer that returned a symbolic tensor: a node as in `graph_nodes`."""
    history = tensor._keras_history
    return history.layer._inbound_nodes[history.node_index]


def layer_of(tensor: tf.Tensor) -> keras.layers.Layer:
    """The layer that returned a symbolic tensor."""
    return tensor._keras_history.layer


def output_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """The layer that returns each output of a graph model."""
    return list(model._output_layers)


def layers_in_row(model: keras.Sequential) -> list[keras.layers.Layer]:
    """The layers a Sequential model was made of, in order, with its `InputLayer` if it has one.

    Layers of losses and metrics that were added as tensors, which Keras stores with them, are left out.
    """
    beside = {id(node.layer) for depth, nodes in model._nodes_by_depth.items() if depth < 0 for node in nodes}
    return [layer for layer in model._flatten_layers(include_self=False, recursive=False) if id(layer) not in beside]


def include_calls(model: keras.Model, tensors: list[tf.Tensor]) -> None:
    """Makes the calls that returned `tensors` part of a graph model, even if no output needs them.

    Losses and metrics that were added as symbolic tensors (`model.add_loss(tensor)`) are such calls.
    """
    known = {id(node) for nodes in model._nodes_by_depth.values() for node in nodes}
    nodes = {id(node): node for node in map(call_of, tensors) if id(node) not in known and not node.is_input}
    if nodes:
        model._insert_layers([node.layer for node in nodes.values()], list(nodes.values()))


def training_argument(node) -> tuple[bool, object]:
    """Whether a node's call has the argument `training`, by name or by position, and its value."""
    specification = node.layer._call_spec
    if not specification.arg_was_passed("training", node.call_args, node.call_kwargs, inputs_in_args=True):
        return False, None
    return True, specification.get_arg_value("training", node.call_args, node.call_kwargs, inputs_in_args=True)


def with_training(layer: keras.layers.Layer, training: object, arguments: tuple, keywords: dict) -> tuple:
    """The arguments of a call with `training` set; unchanged if `layer` (for example an operation) does not take it."""
    if is_operation(layer) or not layer._call_spec.expects_training_arg:
        return arguments, keywords
    return layer._call_spec.set_arg_value("training", training, arguments, dict(keywords), inputs_in_args=True)


def is_operation(layer: keras.layers.Layer) -> bool:
    """Whether `layer` is a TensorFlow operation called on symbolic tensors, such as `tf.nn.relu(x)` or `x + y`."""
    return hasattr(layer, "symbol")


def keras_mask(tensor: tf.Tensor) -> object:
    """The Keras mask of a tensor, or `None`."""
    return getattr(tensor, "_keras_mask", None)
