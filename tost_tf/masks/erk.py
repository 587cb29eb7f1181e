"""Random pruning with a density for each layer that depends on its shape."""

from __future__ import annotations

from collections.abc import Mapping

from tost_tf.compat import keras, tf
from tost_tf.masks.allocate import erdos_renyi_kernel
from tost_tf.masks.masks import Masks
from tost_tf.masks.patterns.pattern import UNSTRUCTURED, Pattern
from tost_tf.masks.random import random_scores
from tost_tf.masks.search import FoundMask, MaskMethod, MaskSearch


def erk(
    model: keras.Model,
    dataset: tf.data.Dataset | None = None,
    *,
    sparsity: float | None = None,
    seed: int = 0,
    dense_layers: str = "",
    layer_sparsity: Mapping[str, float] | None = None,
    pattern: str | Pattern = UNSTRUCTURED,
) -> Masks:
    """Random pruning with the Erdős-Rényi-Kernel density of each layer (Evci et al. 2020).

    Args:
      model: whose weights are masked.
      dataset: not used.
      sparsity: fraction of the weights that will be zero, in [0, 1); not needed with a pattern such as "2:4".
      seed: of the random numbers.
      dense_layers: regular expression of the paths of layers that keep all their weights.
      layer_sparsity: sparsities of some layers by hand.
      pattern: which weights are kept or removed together, as for `MaskSearch`.

    Raises:
      TostError: a value is out of range, the pattern does not fit a layer, or a layer would keep no weight.

    Examples:
      >>> tost.masks.erk(model, sparsity=0.9)
      Masks(3 layers, 138 of 1384 weights kept, sparsity 0.9003)
    """
    del dataset
    search = MaskSearch(
        model, sparsity, dense_layers=dense_layers, seed=seed, layer_sparsity=layer_sparsity, pattern=pattern
    )
    return find(search).masks


def find(search: MaskSearch) -> FoundMask:
    """As `erk`."""
    return search.select(random_scores(search), erdos_renyi_kernel)


METHOD = MaskMethod(find, has_scope=False, is_quick=True)
