"""Masks that leave whole filters without a weight."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import numpy as np

from tost_tf.compat import keras
from tost_tf.errors import first_of
from tost_tf.graph.kernels import prunable_kernels

MANY = 8  # channels of a layer of which a single one is few
STARVED = 0.5  # the fraction of empty filters from which on a layer counts as starved


def starved_layers(model: keras.Model, masks: Mapping[str, np.ndarray]) -> dict[str, float]:
    """The layers in which at least half of the filters have no weight left: weight path -> the fraction that has none.

    Args:
      model: a functional or Sequential tf_keras model.
      masks: weight path -> 0/1, of some or all of its prunable weights.
    """
    starved = {}
    for path, kept in _kept_filters(model, masks).items():
        empty = 1 - float(np.mean(kept))
        if empty >= STARVED:
            starved[path] = empty
    return starved


def name_single_channels(masks: Mapping[str, np.ndarray], model: keras.Model) -> None:
    """Logs which layers, if any, keep one filter of eight or more, as one ranking of all layers may leave them.

    Args:
      masks: weight path -> 0/1, of some or all prunable weights of the model.
      model: a functional or Sequential tf_keras model.
    """
    layers = [path for path, kept in _kept_filters(model, masks).items() if kept.sum() == 1 and kept.size >= MANY]
    if layers:
        logging.warning(
            "%d layer(s) of %s keep a single channel, through which little gets: %s. In the scope layer, "
            "each keeps the same share",
            *(len(layers), model.name, first_of(layers)),
        )


def _kept_filters(model: keras.Model, masks: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Weight path -> for each filter whether any weight of it is left."""
    kept = {}
    for path, kernel in prunable_kernels(model).items():
        if path in masks:
            mask = np.asarray(masks[path])
            outputs = {axis % mask.ndim for axis in kernel.axes[1]}
            kept[path] = mask.any(axis=tuple(set(range(mask.ndim)) - outputs))
    return kept
