"""Calls in Keras 3 with the masks of the calls in tf_keras."""

from __future__ import annotations

import functools
import inspect
from typing import Any

from tost_tf.compat import tf
from tost_tf.compat.graphs import is_graph_model, keras_mask
from tost_tf.compat.keras3_graphs import name_operation, set_keras_mask
from tost_tf.convert.layer import Direction
from tost_tf.convert.merges import MERGES, WITH_MASKED_VALUES, require_same_masks_inside, unseen_mask
from tost_tf.errors import TostError


def called_with_masks(node: Any, new_layer: Any, arguments: list, keywords: dict, direction: Direction) -> Any:
    """What `new_layer`, the counterpart of `node.layer`, returns, with the masks that it has in tf_keras.

    Masks are arguments of the calls, as a file keeps no others.

    Args:
      node: the call in tf_keras.
      arguments, keywords: of the call in Keras 3, by meaning.

    Raises:
      TostError: Keras 3 cannot use the same masks.
    """
    layer, kind = node.layer, type(node.layer).__name__
    masked = _number_of_masks(node.keras_inputs)
    seen = masked == _number_of_masks([arguments, keywords])  # Keras 3 shows no masks of what nested models return
    if kind in MERGES and masked:
        if not seen:
            raise unseen_mask(layer.name)
        return _merged(layer, new_layer, tf.nest.flatten([arguments, keywords]), direction)
    if is_graph_model(layer) and masked:
        require_same_masks_inside(layer)
    outputs = new_layer(*arguments, **_with_masks(new_layer, arguments, keywords))
    if seen and not is_graph_model(layer) and _number_of_masks(node.outputs) != _number_of_masks(outputs):
        raise TostError(f"the layer {layer.name!r} ({kind}) passes on masks in only one of tf_keras and Keras 3")
    return outputs


def _number_of_masks(tensors: Any) -> int:
    return sum(keras_mask(tensor) is not None for tensor in tf.nest.flatten(tensors))


def _merged(layer: Any, new_layer: Any, inputs: list, direction: Direction) -> Any:
    kind, ops = type(layer).__name__, direction.target.ops
    if kind in WITH_MASKED_VALUES:
        if len({len(tensor.shape) for tensor in inputs}) > 1:
            raise TostError(f"the layer {layer.name!r} ({kind}) merges masked tensors of several ranks")
        outputs = functools.reduce(getattr(ops, WITH_MASKED_VALUES[kind]), inputs)
        name_operation(outputs, new_layer.name)
    else:
        outputs = new_layer(inputs)
    if kind != "Concatenate" or layer.axis in (-1, len(outputs.shape) - 1):
        masks = {id(mask): mask for mask in map(keras_mask, inputs) if mask is not None}
        set_keras_mask(outputs, functools.reduce(ops.logical_and, masks.values()))
    return outputs


def _with_masks(new_layer: Any, arguments: list, keywords: dict) -> dict:
    parameters = inspect.signature(new_layer.call).parameters
    if "query_mask" in parameters:
        tensors = {"query": arguments[0]} | {name: keywords.get(name) for name in ("value", "key")}
        masks = {f"{name}_mask": keras_mask(tensor) for name, tensor in tensors.items()}
    elif "mask" in parameters and arguments:
        masks = {"mask": tf.nest.map_structure(keras_mask, arguments[0])}
    else:
        masks = {}
    return {name: mask for name, mask in masks.items() if any(m is not None for m in tf.nest.flatten(mask))} | keywords
