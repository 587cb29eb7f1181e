"""Masks that leave whole filters without a weight."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tost_tf.compat import keras
from tost_tf.graph.kernels import prunable_kernels

STARVED = 0.5  # the fraction of empty filters from which on a layer counts as starved


def starved_layers(model: keras.Model, masks: Mapping[str, np.ndarray]) -> dict[str, float]:
    """The layers in which at least half of the filters have no weight left: weight path -> the fraction that has none.

    Args:
      model: a functional or Sequential tf_keras model.
      masks: weight path -> 0/1, of some or all of its prunable weights.
    """
    starved = {}
    for path, kernel in prunable_kernels(model).items():
        if path not in masks:
            continue
        mask = np.asarray(masks[path])
        outputs = {axis % mask.ndim for axis in kernel.axes[1]}
        empty = 1 - float(np.mean(mask.any(axis=tuple(set(range(mask.ndim)) - outputs))))
        if empty >= STARVED:
            starved[path] = empty
    return starved
