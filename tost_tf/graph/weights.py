"""All weights of a model in an `.npz` file, by name, without Keras."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

import numpy as np

from tost_tf.compat import keras, tf
from tost_tf.compat.layers import variables_of
from tost_tf.errors import TostError
from tost_tf.files import read_arrays, require_no_pickle, write_arrays
from tost_tf.graph.copy import unwrapped_layer
from tost_tf.graph.kernels import walk
from tost_tf.graph.places import by_place


def named_weights(model: keras.Model) -> dict[str, tf.Variable]:
    """The weights of `model`, in its order, by unique names: "0003 stem_conv/kernel".

    Raises:
      TostError: a layer was adapted to a vocabulary, which Keras counts as a weight.
    """
    _require_variables(model)
    return {f"{index:04d} {weight.name.removesuffix(':0')}": weight for index, weight in enumerate(model.weights)}


def _require_variables(model: keras.Model) -> None:
    if len(variables_of(model)) == len(model.weights):
        return
    for path, layer in walk(model):
        if len(variables_of(layer)) < len(layer.weights):
            raise TostError(
                f"the layer {path!r} was adapted to a vocabulary, which a weights file cannot hold: make the layer "
                "with vocabulary=[...], as its get_vocabulary(include_special_tokens=False) gives it"
            )


def save_weights(model: keras.Model, path: str | os.PathLike) -> None:
    """Writes all weights of `model`, including BatchNormalization's statistics, completely or not at all."""
    write_arrays(path, {name: weight.numpy() for name, weight in named_weights(model).items()})


def load_weights(model: keras.Model, path: str | os.PathLike, new_layers: str = "") -> None:
    """Loads the weights that `save_weights` wrote into a model of the same architecture.

    Args:
      model: the layers in `new_layers` keep their current weights.
      path: of the file.
      new_layers: regular expression of the paths of layers that are missing in the file, or different there.

    Raises:
      TostError: there is no such file, it cannot be read, or it holds the weights of another model.
    """
    set_named_weights(model, read_weights(path), path, new_layers)


def read_weights(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The arrays in a file of weights, unchecked. Raises `TostError` if it cannot be read."""
    require_no_pickle(path)
    try:
        return read_arrays(path)
    except FileNotFoundError:
        raise TostError(f"there is no weights file {str(path)!r}") from None
    except ValueError as error:
        raise TostError(f"{str(path)!r} cannot be read as a weights file (.npz or .safetensors): {error}") from None


def are_saved_here(arrays: Mapping[str, np.ndarray]) -> bool:
    """Whether arrays have the names that `save_weights` gives."""
    return all(re.match(r"\d{4} ", name) for name in arrays)


def set_named_weights(
    model: keras.Model, arrays: Mapping[str, np.ndarray], path: str | os.PathLike, new_layers: str = ""
) -> None:
    """As `load_weights`, with the arrays that were read from `path`."""
    named = list(named_weights(model).items())
    layers = weight_layers(model)
    old = [pair for pair, layer in zip(named, layers, strict=True) if not _is_in(layer, new_layers)]
    new = {_bare(name) for name, _ in named} - {_bare(name) for name, _ in old}
    taken = {name: array for name, array in arrays.items() if not _is_new(_bare(name), new, new_layers)}
    # A new layer may have more or fewer weights, which changes the numbers of the weights after it.
    expected = [(_bare(name) if new_layers else name, tuple(weight.shape)) for name, weight in old]
    found = [(_bare(name) if new_layers else name, array.shape) for name, array in taken.items()]
    if found != expected and _placed(found) == _placed(expected):
        # The same network built again: Keras has given its unnamed layers other numbers.
        found = expected
    if found != expected:
        differing = [name for name, _ in dict.fromkeys((*expected, *found)) if _count(name, expected, found)]
        anew = "" if new_layers else "; name layers that should be initialised with new_layers"
        raise TostError(
            f"the weights in {str(path)!r} are not those of {model.name}: {len(set(differing))} of them differ in name "
            f"or shape, the first is {differing[0] if differing else 'one in another place'}{anew}"
        )
    for (_, weight), array in zip(old, taken.values(), strict=True):
        weight.assign(array)
    for part in model.submodules:
        if hasattr(part, "finalize_state"):
            part.finalize_state()  # a Normalization layer computes with values derived from its weights


def weight_layers(model: keras.Model) -> list[str]:
    """The path of the layer that each weight of `model` belongs to, in the order of the weights."""
    paths: dict[int, str] = {}
    for path, layer in walk(model):
        for weight in unwrapped_layer(layer).weights:
            paths.setdefault(id(weight), path)
    return [paths.get(id(weight), "") for weight in model.weights]


def require_layers(model: keras.Model, new_layers: str) -> None:
    """Raises `TostError` if no layer with weights has a path that matches `new_layers`."""
    if new_layers and not any(_is_in(layer, new_layers) for layer in weight_layers(model)):
        raise TostError(f"new_layers={new_layers!r} matches no layer of {model.name} that has weights")


def _is_in(layer: str, new_layers: str) -> bool:
    return bool(new_layers and re.search(new_layers, layer))


def _is_new(bare: str, new: set[str], new_layers: str) -> bool:
    return bool(new_layers) and (bare in new or _is_in(bare.rpartition("/")[0], new_layers))


def _bare(name: str) -> str:
    """A name without its number."""
    return name.partition(" ")[2] or name


def _placed(shapes: list[tuple[str, tuple[int, ...]]]) -> list[tuple[str, tuple[int, ...]]]:
    places = by_place(name for name, _ in shapes)
    return [(places[name], shape) for name, shape in shapes]


def _count(name: str, expected: list, found: list) -> bool:
    """Whether the entries with this name differ."""
    return [pair for pair in expected if pair[0] == name] != [pair for pair in found if pair[0] == name]
