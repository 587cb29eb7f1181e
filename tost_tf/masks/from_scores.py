"""Masks from scores of one's own."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tost_tf.compat import keras
from tost_tf.errors import TostError
from tost_tf.masks.masks import Masks
from tost_tf.masks.patterns.pattern import UNSTRUCTURED, Pattern
from tost_tf.masks.search import MaskSearch


def from_scores(
    model: keras.Model,
    scores: Mapping[str, np.ndarray],
    sparsity: float | None = None,
    *,
    scope: str = "global",
    dense_layers: str = "",
    layer_sparsity: Mapping[str, float] | None = None,
    pattern: str | Pattern = UNSTRUCTURED,
) -> Masks:
    """The weights with the highest scores stay; with equal scores the earlier ones.

    Args:
      model: whose weights are masked.
      scores: weight path -> a finite number for each weight, of all weights that are not left dense.
      sparsity: fraction of the weights that will be zero, in [0, 1); not needed with a pattern such as "2:4".
      scope: "global" ranks all weights together, "layer" each kernel alone.
      dense_layers: regular expression of the paths of layers that keep all their weights.
      layer_sparsity: sparsities of some layers by hand.
      pattern: which weights are kept or removed together, as for `MaskSearch`; their scores are summed.

    Raises:
      TostError: scores are missing, of another shape or not finite, or a value is out of range.

    Examples:
      >>> scores = {"conv1/kernel": np.random.rand(3, 3, 1, 8), "conv2/kernel": np.random.rand(3, 3, 8, 16)}
      >>> tost.masks.from_scores(model, scores, sparsity=0.9, dense_layers="logits")
      Masks(3 layers, 282 of 1384 weights kept, sparsity 0.7962)
    """
    search = MaskSearch(model, sparsity, scope, dense_layers, layer_sparsity=layer_sparsity, pattern=pattern)
    if not isinstance(scores, Mapping):
        raise TostError(f"scores are a mapping of weight path to array, got {type(scores).__name__}")
    arrays = {path: np.asarray(score) for path, score in scores.items()}
    shapes = {path: tuple(weight.shape) for path, weight in search.weights().items()}
    wrong = [f"{path} is missing" for path in shapes if path not in arrays]
    for path, score in arrays.items():
        if path not in shapes:
            wrong.append(f"{path} is no weight that is ranked")
        elif score.shape != shapes[path]:
            wrong.append(f"{path} has shape {list(score.shape)} instead of {list(shapes[path])}")
    if wrong:
        raise TostError(f"the scores do not fit {model.name}: {'; '.join(wrong[:10])}")
    return search.select({path: arrays[path] for path in shapes}).masks
