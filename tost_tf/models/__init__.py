"""Networks as functional tf_keras models whose outputs are logits."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from tost_tf.errors import TostError
from tost_tf.ranges import require_number
from tost_tf.registry import MODELS

if TYPE_CHECKING:
    from tost_tf.compat import keras

__all__ = ["build", "load", "register"]

# Suffixes of files with a user's model.
MODEL_SUFFIXES = (".keras", ".h5", ".hdf5")


def build(name: str, input_shape: tuple[int, ...], num_classes: int, width_multiplier: float = 1.0) -> keras.Model:
    """Builds the network `name`, newly initialised.

    Args:
      name: one of the known models, or one added with `register`; "applications/NAME" for a network of
        keras.applications; or the path of a `.keras`, `.h5` or `.hdf5` file, whose model must fit images and classes.
      input_shape: height, width and channels of the images, which are normalised; of any length for a file.
      num_classes: the number of logits.
      width_multiplier: factor of the number of channels.

    Raises:
      TostError: there is no such model, or it cannot be built with these values.

    Examples:
      >>> tost.models.build("resnet20", (32, 32, 3), 10).count_params()
      271098
    """
    if num_classes < 2:
        raise TostError(f"num_classes is {num_classes}, a classifier needs at least 2")
    require_number("width_multiplier", width_multiplier, above=0)
    if name.endswith(MODEL_SUFFIXES):
        return _from_file(name, tuple(input_shape), num_classes, width_multiplier)
    if len(input_shape) != 3:
        raise TostError(
            f"{name} takes images, [height, width, channels], the data have examples of shape {list(input_shape)}: "
            "use a .keras or .h5 file of your network"
        )
    if name.startswith("applications/"):
        from tost_tf.models.applications import build_application

        return build_application(name, tuple(input_shape), num_classes, width_multiplier)
    return MODELS[name](tuple(input_shape), num_classes, width_multiplier)


def load(path: str | os.PathLike) -> keras.Model:
    """The model in a `.keras`, `.h5` or `.hdf5` file of Keras 2 or 3, as a functional tf_keras model with logits.

    Raises:
      TostError: the file does not exist, is not Keras's, or holds code or a model that cannot be sparsified.

    Examples:
      >>> model.save(folder / "mine.keras")
      >>> tost.models.load(folder / "mine.keras").output_shape
      (None, 10)
    """
    from tost_tf.models.from_file import load_model_file

    return load_model_file(path)


def _from_file(path: str, input_shape: tuple, num_classes: int, width_multiplier: float) -> keras.Model:
    if width_multiplier != 1:
        raise TostError(f"the width of the model in {path!r} is fixed: leave width_multiplier={width_multiplier:g} out")
    model = load(path)
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise TostError(f"the model in {path!r} has several inputs or outputs: one of each is needed")
    taken, output = tuple(model.input_shape[1:]), tuple(model.output_shape[1:])
    fits = len(taken) == len(input_shape)
    if not fits or any(fixed not in (None, size) for fixed, size in zip(taken, input_shape, strict=True)):
        raise TostError(f"the model in {path!r} takes inputs of {list(taken)}, the dataset has {list(input_shape)}")
    if output != (num_classes,):
        raise TostError(f"the model in {path!r} gives {list(output)} numbers, the dataset has {num_classes} classes")
    return model


def register(name: str, function: Callable[..., keras.Model]) -> Callable[..., keras.Model]:
    """Registers `function(input_shape, num_classes, width_multiplier)` as the model `name`.

    Args:
      name: by which `build` and `--model` know it.
      function: (shape of an image [height, width, channels], number of classes, factor of all widths) -> a functional
        or Sequential tf_keras model from images [batch, height, width, channels] to logits [batch, classes].

    Returns:
      `function`.

    Raises:
      TostError: there is another model of this name.

    Examples:
      >>> def linear(input_shape, num_classes, width_multiplier):
      ...     inputs = keras.Input(input_shape)
      ...     return keras.Model(inputs, keras.layers.Dense(num_classes)(keras.layers.Flatten()(inputs)))
      >>> function = tost.models.register("linear", linear)  # then: --model=linear
      >>> tost.models.build("linear", (8, 8, 1), 10).output_shape
      (None, 10)
    """
    return MODELS.register(name, function)
