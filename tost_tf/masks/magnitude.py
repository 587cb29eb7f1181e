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

    Args:
      model: whose weights are masked.
      dataset: not used.
      sparsity: fraction of the weights that will be zero, in [0, 1); not needed with a pattern such as "2:4".
      scope: "global" ranks all weights together, "layer" each kernel alone.
      dense_layers: regular expression of the paths of layers that keep all their weights.
      layer_sparsity: sparsities of some layers by hand.
      pattern: which weights are kept or removed together, as for `MaskSearch`.

    Raises:
      TostError: a value is out of range, the pattern does not fit a layer, or a layer would keep no weight.

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
