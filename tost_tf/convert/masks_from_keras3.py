"""Calls in tf_keras with the masks of the calls in Keras 3.

A tensor of tf_keras passes on the mask of its counterpart in Keras 3, or none.
"""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from tost_tf.compat import keras, tf
from tost_tf.compat.graphs import is_graph_model, keras_mask
from tost_tf.compat.keras3_graphs import call_of
from tost_tf.convert.arguments import by_meaning
from tost_tf.convert.merges import MERGES, WITH_MASKED_VALUES, require_same_masks_inside, unseen_mask
from tost_tf.errors import TostError


def is_mask_of_keras(name: str) -> bool:
    """Whether an argument of a call in Keras 3 is a mask that tensors may also bring with them."""
    return name == "mask" or (name.endswith("_mask") and name != "attention_mask")


def arguments_with_masks(
    node: Any, layer: keras.layers.Layer, arguments: list, keywords: dict[str, Any], ours: dict[int, Any]
) -> tuple[list, dict[str, Any]]:
    """The arguments of a call of `layer`, with the masks that its counterpart uses and tensors do not bring with them.

    Args:
      node: the call in Keras 3.
      arguments, keywords: of the call in tf_keras, by meaning.
      ours: by its id, the counterpart of each tensor of Keras 3, or the error that says why it has none.

    Raises:
      TostError: `layer` cannot use the masks that are used in Keras 3.
    """
    kind, theirs = type(node.operation).__name__, node.input_tensors
    masked = any(_masked(tensor) or _masked(ours[id(tensor)]) for tensor in theirs)
    if kind in WITH_MASKED_VALUES and masked:
        raise TostError(f"the layer {layer.name!r} ({kind}) leaves out masked values in Keras 3, not in tf_keras")
    if kind in MERGES and _from_nested_models(node, ours):
        raise unseen_mask(layer.name)
    first, named = by_meaning(node.operation, node.arguments.args, node.arguments.kwargs)
    if is_graph_model(layer) and (masked or "mask" in named):
        require_same_masks_inside(layer)
    parameters = inspect.signature(node.operation.call).parameters
    several = any(_symbolic(value) for name, value in named.items() if not is_mask_of_keras(name))
    for name, tensors in _tensors_by_mask(parameters, first, named).items():
        own, converted = (tf.nest.map_structure(get, tensors) for get in (keras_mask, lambda tensor: ours[id(tensor)]))
        ignored = name == "mask" and several  # Keras 3 looks at the masks of tensors only if there is one argument
        used = named.get(name, None if ignored else own)
        keywords.pop(name, None)
        if all(mask is None for mask in tf.nest.flatten(used)):
            arguments = tf.nest.map_structure(_without_mask, arguments) if ignored else arguments
        elif not _is_brought(used, own, converted):
            if name != "mask":
                raise TostError(f"the layer {layer.name!r} ({kind}) uses a {name}, an argument tf_keras does not have")
            keywords["mask"] = tf.nest.map_structure(lambda mask: _converted(mask, ours, layer.name), used)
    return arguments, keywords


def outputs_with_masks(node: Any, layer: keras.layers.Layer, outputs: Any, ours: dict[int, Any]) -> list:
    """What a call of `layer` returned, as a list, without masks that its counterpart in Keras 3 does not pass on."""
    outputs = tf.nest.flatten(outputs)
    if is_graph_model(layer) or _from_nested_models(node, ours):
        return outputs  # Keras 3 finds these masks when the model runs
    merges = type(node.operation).__name__ in MERGES
    return [
        _without_mask(tensor) if not _masked(theirs) or (merges and not _merged_alike(node, theirs)) else tensor
        for theirs, tensor in zip(node.output_tensors, outputs, strict=True)
    ]


def _merged_alike(node: Any, output: Any) -> bool:
    """Whether the mask of `output`, the tensor that a merge returns in Keras 3, is the one that tf_keras gives it."""
    masks = [keras_mask(tensor) for tensor in node.input_tensors]
    first = next(mask for mask in masks if mask is not None)
    return all(_same(mask, first) for mask in masks if mask is not None) and (
        None not in masks or _same(keras_mask(output), first)
    )


def _masked(tensor: Any) -> bool:
    return keras_mask(tensor) is not None


def _symbolic(value: Any) -> bool:
    return any(hasattr(item, "_keras_history") for item in tf.nest.flatten(value))


def _without_mask(tensor: Any) -> Any:
    return tf.identity(tensor) if _masked(tensor) else tensor


def _from_nested_models(node: Any, ours: dict[int, Any]) -> bool:
    """Whether an input has a mask that only tf_keras shows: one that comes out of a nested model."""
    return any(_masked(ours[id(tensor)]) and not _masked(tensor) for tensor in node.input_tensors)


def _tensors_by_mask(parameters: Any, first: list, named: dict[str, Any]) -> dict[str, Any]:
    """The tensors whose masks each mask argument of a layer of Keras 3 is for."""
    if not first:
        return {}
    if "query_mask" in parameters:
        tensors = {"query": first[0]} | {name: named[name] for name in ("value", "key") if name in named}
        return {f"{name}_mask": tensor for name, tensor in tensors.items()}
    return {"mask": first[0]} if "mask" in parameters else {}


def _is_brought(used: Any, own: Any, converted: Any) -> bool:
    """Whether the masks used are those of the tensors, and those of their counterparts too."""
    masks, tensors = tf.nest.flatten(used), tf.nest.flatten(converted)
    return [mask is not None for mask in masks] == [_masked(tensor) for tensor in tensors] and all(
        map(_same, masks, tf.nest.flatten(own))
    )


def _same(one: Any, other: Any) -> bool:
    """Whether two masks are one, or the same operation on the same tensors: files have masks twice."""
    if one is other or not (_symbolic(one) and _symbolic(other)):
        return one is other
    calls = [call_of(one), call_of(other)]
    first, second = (call.operation for call in calls)
    if type(first) is not type(second) or not type(first).__module__.startswith("keras.src.ops"):
        return False
    if first.get_config() | {"name": ""} != second.get_config() | {"name": ""}:
        return False
    values = [tf.nest.flatten([call.arguments.args, call.arguments.kwargs]) for call in calls]
    return len(values[0]) == len(values[1]) and all(
        _same(a, b) if _symbolic(a) else not _symbolic(b) and np.array_equal(a, b) for a, b in zip(*values, strict=True)
    )


def _converted(mask: Any, ours: dict[int, Any], name: str) -> Any:
    if mask is None:
        return None
    if id(mask) not in ours:
        raise TostError(f"the mask of the layer {name!r} has no counterpart in tf_keras: give it as an argument `mask`")
    if isinstance(ours[id(mask)], TostError):
        raise TostError(f"the mask that the layer {name!r} uses cannot be computed in tf_keras: {ours[id(mask)]}")
    return ours[id(mask)]
