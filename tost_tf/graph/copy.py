"""Copies of layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tost_tf.compat import is_graph_model, is_operation, is_pruning_wrapper, keras

# Options of layers that are layers.
HELD = ("layer", "backward_layer", "cell", "cells")


def copy_layer(layer: keras.layers.Layer, precision: str | None = None, **changes: Any) -> keras.layers.Layer:
    """A fresh layer with the same config but for what is changed; a precision is a Keras dtype policy's name.

    Functions and objects of the user's own (activations, initialisers, regularisers, constraints), which the config
    holds by name only or not at all, are handed over as they are.
    """
    config = layer.get_config() | changes
    config = _in_precision(config, precision) if precision else config
    if changes:
        config.pop("batch_input_shape", None)  # of the layer as it was
    own = {name: value for name, value in _own_parts(layer).items() if name in config and name not in changes}
    if isinstance(layer, keras.layers.Lambda):
        config |= {f"{name}_type": "raw" for name in own}  # the function itself, not its code
    with keras.utils.custom_object_scope(_known_by_name(layer)):
        return type(layer).from_config(config | own)


def unwrapped_layer(layer: keras.layers.Layer) -> keras.layers.Layer:
    """The layer in a pruning wrapper, any other layer itself."""
    return layer.layer if is_pruning_wrapper(layer) else layer


def graph_model_in(layer: keras.layers.Layer) -> keras.Model | None:
    """The graph model that a layer is, or calls at each step of a sequence (`TimeDistributed(model)`), if any."""
    model = layer.layer if isinstance(layer, keras.layers.TimeDistributed) else layer
    return model if is_graph_model(model) else None


def with_model(layer: keras.layers.TimeDistributed, model: keras.Model) -> keras.layers.TimeDistributed:
    """A fresh layer like one that calls a model at each step, which calls `model`."""
    return type(layer)(model, name=layer.name, dtype=layer.dtype_policy)


def _in_precision(config: Mapping[str, Any], precision: str) -> dict[str, Any]:
    """The config of a layer in a precision, and those of the layers in it."""

    def inner(part: Any) -> Any:
        if isinstance(part, list):
            return [inner(item) for item in part]
        if isinstance(part, dict) and "config" in part:
            return part | {"config": _in_precision(part["config"], precision)}
        return part

    held = {name: inner(part) for name, part in config.items() if name in HELD}
    return {**config, **held, "dtype": precision}


def _own_parts(layer: keras.layers.Layer) -> dict[str, Any]:
    """The functions and objects that make up a layer and are not Keras's, by the name of the option."""
    if is_operation(layer):
        return {}
    return {name: value for name, value in vars(_owner(layer)).items() if _is_part(value) and not _is_keras(value)}


def _owner(layer: keras.layers.Layer) -> keras.layers.Layer:
    """What holds the options: the cell of a recurrent layer."""
    return getattr(layer, "cell", layer)


def _is_part(value: Any) -> bool:
    return callable(value) and not isinstance(value, keras.layers.Layer | type) and not hasattr(value, "assign")


def _is_keras(value: Any) -> bool:
    """Whether the config of a layer can name `value`, and Keras knows it by that name."""
    kind = value if hasattr(value, "__qualname__") else type(value)
    return (kind.__module__ or "").startswith("tf_keras.")


def _known_by_name(layer: keras.layers.Layer) -> Mapping[str, Any]:
    """Own classes and functions inside the layers that `layer` wraps, whose configs name them."""
    found: dict[str, Any] = {}
    for part in _parts_of(layer):
        found |= {type(part).__name__: type(part)} if not _is_keras(part) else {}
        if part is not layer:
            found |= {getattr(value, "__name__", type(value).__name__): value for value in _own_parts(part).values()}
    return found


def _parts_of(layer: keras.layers.Layer) -> Iterator[keras.layers.Layer]:
    yield layer
    yield from (part for part in layer.submodules if isinstance(part, keras.layers.Layer))
