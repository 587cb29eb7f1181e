"""The networks of keras.applications, untrained, for any size of images."""

from __future__ import annotations

import inspect
from typing import Any

from tost_tf.compat import keras
from tost_tf.errors import TostError, unknown_name
from tost_tf.graph.copy import copy_layer
from tost_tf.graph.rebuild import rebuild

PREFIX = "applications/"


def require_application(name: str) -> None:
    """Raises `TostError` with the nearest names if keras.applications has no network `name`; imports Keras."""
    if name not in _networks():
        raise unknown_name("model", name, _networks())


def _networks() -> dict[str, Any]:
    """ "applications/NAME" -> the function that builds it."""
    functions = vars(keras.applications).items()
    return {f"{PREFIX}{name}": value for name, value in functions if inspect.isfunction(value)}


def build_application(
    name: str, input_shape: tuple[int, ...], num_classes: int, width_multiplier: float = 1.0
) -> keras.Model:
    """`keras.applications.NAME` with random weights; its outputs are logits, and it does not preprocess images.

    Args:
      name: "applications/NAME".
      input_shape, num_classes: as for `tost_tf.models.build`.
      width_multiplier: the `alpha` of MobileNets; other networks have a fixed width.

    Raises:
      TostError: there is no such network, or it cannot be built for these images or with this width.
    """
    require_application(name)
    function = _networks()[name]
    takes = inspect.signature(function).parameters
    options = {"include_preprocessing": False} if "include_preprocessing" in takes else {}
    if "alpha" in takes:
        options["alpha"] = width_multiplier
    elif width_multiplier != 1:
        raise TostError(f"{name} has a fixed width: leave width_multiplier={width_multiplier:g} out")
    try:
        model = function(
            weights=None, input_shape=input_shape, classes=num_classes, classifier_activation=None, **options
        )
    except ValueError as error:
        size = "×".join(map(str, input_shape))
        raise TostError(
            f"{name} cannot be built for images of {size} ({' '.join(str(error).split())}): image_size makes them "
            "larger"
        ) from None
    return model if "include_preprocessing" in takes else rebuild(model, _without_preprocessing)


def _without_preprocessing(layer: keras.layers.Layer) -> keras.layers.Layer:
    """Replaces EfficientNet's built-in preprocessing of raw pixels: here images are normalised already."""
    if isinstance(layer, keras.layers.Rescaling | keras.layers.Normalization):
        return keras.layers.Activation("linear", name=layer.name)
    return copy_layer(layer)
