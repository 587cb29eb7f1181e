"""Copies of layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tost_tf.compat import keras
from tost_tf.compat.graphs import is_graph_model, is_operation
from tost_tf.compat.tfmot import is_pruning_wrapper

# Options of layers that are layers.
HELD = ("layer", "backward_layer", "cell", "cells")


def copy_layer(layer: keras.layers.Layer, precision: str | None = None, **changes: Any) -> keras.layers.Layer:
    """A new layer with the same config, except for `changes`; `precision` is the name of a Keras dtype policy.

    A user's functions and objects (activations, initialisers, regularisers, constraints), which the config holds only
    by name or not at all, are passed on unchanged.
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


def with_layer(layer: keras.layers.TimeDistributed, inner: keras.layers.Layer) -> keras.layers.TimeDistributed:
    """A new layer like `layer`, but one that calls another layer or model at each step of a sequence."""
    return type(layer)(inner, name=layer.name, dtype=layer.dtype_policy)


def _in_precision(config: Mapping[str, Any], precision: str) -> dict[str, Any]:
    """The config of a layer in a precision, including the configs of the layers in it."""

    def inner(part: Any) -> Any:
        if isinstance(part, list):
            return [inner(item) for item in part]
        if isinstance(part, dict) and "config" in part:
            return part | {"config": _in_precision(part["config"], precision)}
        return part

    held = {name: inner(part) for name, part in config.items() if name in HELD}
    return {**config, **held, "dtype": precision}


def _own_parts(layer: keras.layers.Layer) -> dict[str, Any]:
    """The functions and objects of a layer that are not from Keras, by the name of the option."""
    if is_operation(layer):
        return {}
    return {name: value for name, value in vars(_owner(layer)).items() if _is_part(value) and not _is_keras(value)}


def _owner(layer: keras.layers.Layer) -> keras.layers.Layer:
    """The layer that holds the options: for a recurrent layer its cell, else the layer itself."""
    return getattr(layer, "cell", layer)


def _is_part(value: Any) -> bool:
    return callable(value) and not isinstance(value, keras.layers.Layer | type) and not hasattr(value, "assign")


def _is_keras(value: Any) -> bool:
    """Whether the config of a layer can name `value`, and Keras knows it by that name."""
    kind = value if hasattr(value, "__qualname__") else type(value)
    return (kind.__module__ or "").startswith("tf_keras.")


def _known_by_name(layer: keras.layers.Layer) -> Mapping[str, Any]:
    """A user's classes and functions in the layers that `layer` wraps: their configs name them."""
    found: dict[str, Any] = {}
    for part in _parts_of(layer):
        found |= {type(part).__name__: type(part)} if not _is_keras(part) else {}
        if part is not layer:
            found |= {getattr(value, "__name__", type(value).__name__): value for value in _own_parts(part).values()}
    return found


def _parts_of(layer: keras.layers.Layer) -> Iterator[keras.layers.Layer]:
    yield layer
    yield from (part for part in layer.submodules if isinstance(part, keras.layers.Layer))
