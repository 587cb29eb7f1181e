"""Random pruning."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tost_tf.compat import keras, tf
from tost_tf.graph.kernels import prunable_weights
from tost_tf.graph.places import by_place
from tost_tf.masks.masks import Masks
from tost_tf.masks.patterns.pattern import UNSTRUCTURED, Pattern
from tost_tf.masks.search import FoundMask, MaskMethod, MaskSearch
from tost_tf.seeds import derive_seed


def random(
    model: keras.Model,
    dataset: tf.data.Dataset | None = None,
    *,
    sparsity: float | None = None,
    scope: str = "global",
    seed: int = 0,
    dense_layers: str = "",
    layer_sparsity: Mapping[str, float] | None = None,
    pattern: str | Pattern = UNSTRUCTURED,
) -> Masks:
    """Random pruning: keeps a random fraction of all weights together ("global") or of each layer ("layer").

    Args:
      model: whose weights are masked.
      dataset: not used.
      sparsity: fraction of the weights that will be zero, in [0, 1); not needed with a pattern such as "2:4".
      scope: "global" prunes all weights together, "layer" each kernel alone.
      seed: of the random numbers.
      dense_layers: regular expression of the paths of layers that keep all their weights.
      layer_sparsity: sparsities of some layers by hand.
      pattern: which weights are kept or removed together, as for `MaskSearch`.

    Raises:
      TostError: a value is out of range, the pattern does not fit a layer, or a layer would keep no weight.

    Examples:
      >>> tost.masks.random(model, sparsity=0.9, seed=3)
      Masks(3 layers, 138 of 1384 weights kept, sparsity 0.9003)
    """
    del dataset
    return find(
        MaskSearch(model, sparsity, scope, dense_layers, seed, layer_sparsity=layer_sparsity, pattern=pattern)
    ).masks


def find(search: MaskSearch) -> FoundMask:
    """As `random`."""
    return search.select(random_scores(search))


def random_scores(search: MaskSearch) -> dict[str, np.ndarray]:
    """Uniform in [0, 1), with a seed for each layer that stays the same if the network is built again."""
    places = by_place(prunable_weights(search.model))
    return {
        path: np.random.default_rng(derive_seed(search.seed, f"random mask of {places[path]}")).random(tuple(w.shape))
        for path, w in search.weights().items()
    }


METHOD = MaskMethod(find, is_quick=True)
