"""All weights of a model in an `.npz` file, by name, without Keras."""

from __future__ import annotations

import os

from tost_tf.compat import keras, tf
from tost_tf.errors import TostError
from tost_tf.files import read_arrays, write_arrays
from tost_tf.graph.places import by_place


def named_weights(model: keras.Model) -> dict[str, tf.Variable]:
    """The weights of `model`, in its order, by names that are theirs alone: "0003 stem_conv/kernel"."""
    return {f"{index:04d} {weight.name.removesuffix(':0')}": weight for index, weight in enumerate(model.weights)}


def save_weights(model: keras.Model, path: str | os.PathLike) -> None:
    """Writes every weight of `model`, BatchNormalization's statistics included, whole or not at all."""
    write_arrays(path, {name: weight.numpy() for name, weight in named_weights(model).items()})


def load_weights(model: keras.Model, path: str | os.PathLike) -> None:
    """Puts the weights `save_weights` wrote into a model of the same architecture.

    Raises:
      TostError: there is no such file, it cannot be read, or it holds the weights of another model.
    """
    try:
        arrays = read_arrays(path)
    except FileNotFoundError:
        raise TostError(f"there is no weights file {str(path)!r}") from None
    except ValueError as error:
        raise TostError(f"{str(path)!r} cannot be read as a weights file (.npz): {error}") from None
    expected = {name: tuple(weight.shape) for name, weight in named_weights(model).items()}
    found = {name: array.shape for name, array in arrays.items()}
    if found != expected:
        # The same network built again, whose layers without names of their own Keras has counted on.
        ours, theirs = by_place(expected), by_place(found)
        if {ours[name]: shape for name, shape in expected.items()} == {theirs[n]: s for n, s in found.items()}:
            files = {place: name for name, place in theirs.items()}
            arrays = {name: arrays[files[place]] for name, place in ours.items()}
            found = expected
    if found != expected:
        names = [name for name in {**expected, **found} if expected.get(name) != found.get(name)]
        raise TostError(
            f"the weights in {str(path)!r} are not those of {model.name}: {len(names)} of them differ in name or "
            f"shape, the first is {names[0]}"
        )
    model.set_weights([arrays[name] for name in expected])
