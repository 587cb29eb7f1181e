"""Layers that merge tensors, whose masks differ between the two Keras.

Of the masks of its inputs, tf_keras takes what all that have a mask keep; Keras 3 takes what any keeps, and none if one
input has no mask. Keras 3 also leaves masked values out of products, maxima and minima.
"""

from __future__ import annotations

from typing import Any

from tost_tf.compat import keras
from tost_tf.compat.graphs import graph_nodes, keras_mask
from tost_tf.errors import TostError

# Layer -> operation of Keras 3 that computes the same with masks.
WITH_MASKED_VALUES = {"Multiply": "multiply", "Maximum": "maximum", "Minimum": "minimum"}
MERGES = {"Add", "Subtract", "Average", "Concatenate", *WITH_MASKED_VALUES}


def require_same_masks_inside(model: keras.Model) -> None:
    """Raises `TostError` if a nested model, which is called on a masked tensor, merges tensors.

    Inside of the model it cannot be seen which tensors are masked.
    """
    if merge := _first_merge(model):
        raise TostError(
            f"the nested model {model.name!r} is called on a masked tensor, and its layer {merge!r} merges masks in "
            "another way in the other Keras: call the layers of the nested model directly"
        )


def require_same_masks_in_row(model: keras.Sequential) -> None:
    """Raises `TostError` if a nested model in a Sequential model is called on a masked tensor and merges tensors."""
    for node in graph_nodes(model):
        if any(keras_mask(tensor) is not None for tensor in node.keras_inputs):
            require_same_masks_inside(node.layer)


def unseen_mask(name: str) -> TostError:
    return TostError(
        f"the layer {name!r} merges a tensor with a mask out of a nested model, and the other Keras merges masks in "
        "another way: call the layers of the nested model directly"
    )


def _first_merge(model: Any) -> str | None:
    layers = getattr(model, "layers", ())
    merges = (layer.name if type(layer).__name__ in MERGES else _first_merge(layer) for layer in layers)
    return next(filter(None, merges), None)
