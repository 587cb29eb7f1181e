"""A user's model, from a file saved by Keras."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import h5py

from tost_tf.compat import keras, keras3
from tost_tf.compat.graphs import is_operation, layer_of, require_graph_model
from tost_tf.convert.from_keras3 import from_keras3
from tost_tf.errors import TostError
from tost_tf.graph.copy import copy_layer, with_layer
from tost_tf.graph.logits import ending_layer, ends_in_softmax
from tost_tf.graph.rebuild import rebuild


def load_model_file(path: str | os.PathLike) -> keras.Model:
    """The model in a `.keras`, `.h5` or `.hdf5` file of Keras 2 or 3, as a tf_keras model with the weights in the file.

    A softmax at the end is removed, since training takes logits. Code in the file (Lambda layers) is never run.

    Raises:
      TostError: the file is missing, is not a model file of Keras, or holds code or a model that cannot be sparsified.
    """
    path = Path(path).expanduser()
    try:
        version, config = _described(path)
    except FileNotFoundError:
        raise TostError(f"there is no model file {str(path)!r}") from None
    except (OSError, KeyError, ValueError, TypeError, zipfile.BadZipFile) as error:
        raise TostError(f"{str(path)!r} cannot be read as a model file of Keras: {error}") from None
    if '"Lambda"' in json.dumps(config):
        raise TostError(f"{str(path)!r} has a Lambda layer, whose code is not run: write it as a layer class")
    of_keras_3 = version.startswith("3")
    load = keras3().models.load_model if of_keras_3 else keras.models.load_model
    try:
        model = load(str(path), compile=False)
    except (OSError, ValueError, TypeError, ImportError, KeyError) as error:
        raise TostError(f"the model in {str(path)!r} cannot be loaded: {' '.join(str(error).split())[:300]}") from None
    model = from_keras3(model) if of_keras_3 else model
    require_graph_model(model)
    return _without_softmax(model)


def _described(path: Path) -> tuple[str, Any]:
    """The version of Keras that wrote the file, and the model's config."""
    if path.suffix in (".h5", ".hdf5"):
        with h5py.File(path, "r") as file:
            return str(file.attrs["keras_version"]), json.loads(file.attrs["model_config"])
    with zipfile.ZipFile(path) as archive:
        metadata = json.loads(archive.read("metadata.json"))
        return str(metadata["keras_version"]), json.loads(archive.read("config.json"))


def _without_softmax(model: keras.Model) -> keras.Model:
    """The model without the softmax at its end, if it has one, also at the end of a nested model.

    Raises:
      TostError: the model ends in another function that gives no logits, or in a softmax operation that is in a nested
        model or that other layers follow.
    """
    if len(model.outputs) != 1:
        return model
    if not ends_in_softmax(model):
        return model
    last = ending_layer(model)
    if is_operation(last):
        return _without_operation(model, last)

    def copy(layer: keras.layers.Layer) -> keras.layers.Layer:
        if layer is last:
            return _linear(layer)
        if isinstance(layer, keras.layers.TimeDistributed) and layer.layer is last:
            return with_layer(layer, _linear(last))
        return copy_layer(layer)

    return rebuild(model, copy)


def _linear(softmax: keras.layers.Layer) -> keras.layers.Layer:
    if isinstance(softmax, keras.layers.Softmax):
        return keras.layers.Activation("linear", name=softmax.name)
    return type(softmax).from_config(softmax.get_config() | {"activation": "linear"})


def _without_operation(model: keras.Model, softmax: keras.layers.Layer) -> keras.Model:
    if layer_of(model.output) is not softmax:
        raise TostError(
            f"the softmax {softmax.name!r} at the end of {model.name!r} is in a nested model, or other layers follow "
            "it: save it without that layer"
        )
    return keras.Model(model.inputs, softmax.input, name=model.name)
