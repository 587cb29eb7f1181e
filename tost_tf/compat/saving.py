"""Configs and files of Keras."""

from __future__ import annotations

import importlib
from typing import Any

from tost_tf.compat import keras


def serialized(layer: keras.layers.Layer) -> dict[str, Any]:
    """The config of a layer in another's, by whose words for the class all formats of Keras find it."""
    config = keras.layers.serialize(layer)
    return config | {"class_name": config.get("registered_name") or config["class_name"]}


def config_of_part(model: keras.Model, part: keras.Model) -> dict[str, Any]:
    """What a config of `model` holds of a graph model that is a part of it: in older words in an HDF5 file."""
    if not getattr(model, "use_legacy_config", False):  # Keras sets it while it writes such a file
        return keras.layers.serialize(part)
    part.use_legacy_config = True
    try:
        return keras.layers.serialize(part, use_legacy_format=True)
    finally:
        del part.use_legacy_config


def save_hdf5(model: keras.Model, path: str, overwrite: bool = True, include_optimizer: bool = True) -> None:
    """Writes a whole model into an HDF5 file, also one whose class has a config and is no graph."""
    utilities = importlib.import_module("tf_keras.src.saving.legacy.saving_utils")
    utilities.try_build_compiled_arguments(model)
    importlib.import_module("tf_keras.src.saving.legacy.hdf5_format").save_model_to_hdf5(
        model, path, overwrite, include_optimizer
    )
