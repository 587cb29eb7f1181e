"""Networks as functional tf_keras models that give logits."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from tost_tf.config.names import MODELS
from tost_tf.errors import TostError

if TYPE_CHECKING:
    from tost_tf.compat import keras


def build(
    name: str, input_shape: tuple[int, int, int], num_classes: int, width_multiplier: float = 1.0
) -> "keras.Model":
    """Builds the network `name`, freshly initialised.

    Args:
      name: one of the known models, or one added with `register`.
      input_shape: height, width and channels of the images, which come normalised.
      num_classes: how many logits.
      width_multiplier: factor on the number of channels.

    Raises:
      TostError: no such model, or a value that makes no network.
    """
    if num_classes < 2:
        raise TostError(f"num_classes is {num_classes}, a classifier needs at least 2")
    if width_multiplier <= 0:
        raise TostError(f"width_multiplier is {width_multiplier:g}, it must be above 0")
    return MODELS[name](tuple(input_shape), num_classes, width_multiplier)


def register(name: str, function: Callable[..., "keras.Model"]) -> Callable[..., "keras.Model"]:
    """Makes `function(input_shape, num_classes, width_multiplier)` known as the model `name`."""
    return MODELS.register(name, function)
