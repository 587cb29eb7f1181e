"""The networks of keras.applications, untrained, for any size of images."""

import inspect

from tost_tf.compat import keras
from tost_tf.errors import TostError
from tost_tf.graph.copy import copy_layer
from tost_tf.graph.rebuild import rebuild

PREFIX = "applications/"


def build_application(
    name: str, input_shape: tuple[int, int, int], num_classes: int, width_multiplier: float = 1.0
) -> keras.Model:
    """`keras.applications.NAME` with random weights, that gives logits and leaves normalised images as they are.

    Args:
      name: "applications/NAME".
      input_shape, num_classes: as for `tost_tf.models.build`.
      width_multiplier: for those with a width, the MobileNets' `alpha`.

    Raises:
      TostError: there is no such network, or it cannot be built for these images or with this width.
    """
    function = getattr(keras.applications, name.removeprefix(PREFIX), None)
    if not inspect.isfunction(function):
        raise TostError(f"keras.applications has no network {name.removeprefix(PREFIX)!r}")
    takes = inspect.signature(function).parameters
    options = {"include_preprocessing": False} if "include_preprocessing" in takes else {}
    if "alpha" in takes:
        options["alpha"] = width_multiplier
    elif width_multiplier != 1:
        raise TostError(f"{name} has one width: leave width_multiplier={width_multiplier:g} out")
    try:
        model = function(
            weights=None, input_shape=input_shape, classes=num_classes, classifier_activation=None, **options
        )
    except ValueError as error:
        size = "×".join(map(str, input_shape))
        raise TostError(
            f"{name} cannot be built for images of {size} ({' '.join(str(error).split())}): --image_size makes them "
            "larger"
        ) from None
    return model if "include_preprocessing" in takes else rebuild(model, _without_preprocessing)


def _without_preprocessing(layer: keras.layers.Layer) -> keras.layers.Layer:
    """EfficientNet has what it does to raw pixels built in; images come normalised here."""
    if isinstance(layer, keras.layers.Rescaling | keras.layers.Normalization):
        return keras.layers.Activation("linear", name=layer.name)
    return copy_layer(layer)
