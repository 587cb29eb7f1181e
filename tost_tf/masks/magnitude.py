"""Magnitude pruning."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tost_tf.compat import keras, tf
from tost_tf.masks.masks import Masks
from tost_tf.masks.patterns.pattern import UNSTRUCTURED, Pattern
from tost_tf.masks.search import FoundMask, MaskMethod, MaskSearch


def magnitude(
    model: keras.Model,
    dataset: tf.data.Dataset | None = None,
    *,
    sparsity: float | None = None,
    scope: str = "global",
    dense_layers: str = "",
    layer_sparsity: Mapping[str, float] | None = None,
    pattern: str | Pattern = UNSTRUCTURED,
) -> Masks:
    """Magnitude pruning: keeps the largest of the model's current |weights|.

    Options are those of `MaskSearch`; a `pattern` such as "2:4" sets the sparsity.

    Examples:
      >>> tost.masks.magnitude(model, sparsity=0.5, scope="layer").layer_sparsity
      {'conv1/kernel': 0.5, 'conv2/kernel': 0.5, 'logits/kernel': 0.5}
      >>> tost.masks.magnitude(model, sparsity=0.5, pattern="channels").pattern
      'channels'
    """
    del dataset
    return find(MaskSearch(model, sparsity, scope, dense_layers, layer_sparsity=layer_sparsity, pattern=pattern)).masks


def find(search: MaskSearch) -> FoundMask:
    """As `magnitude`."""
    return search.select({path: np.abs(weight.numpy()) for path, weight in search.weights().items()})


METHOD = MaskMethod(find, is_quick=True)
