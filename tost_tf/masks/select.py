"""From scores to masks: the highest scores stay, ties go to the lower index."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tost_tf.errors import NotFinite, TostError
from tost_tf.masks.allocate import kept_count
from tost_tf.masks.masks import Masks


def highest_by_layer(scores: Mapping[str, np.ndarray], kept: Mapping[str, int]) -> Masks:
    """Keeps the `kept[path]` highest scores of each layer.

    Raises:
      TostError: a layer has fewer scores above -inf; the message names it.
    """
    require_left(kept, {path: int((score > -np.inf).sum()) for path, score in scores.items()})
    return Masks({path: highest(score, kept[path]) for path, score in scores.items()})


def highest_of_all(scores: Mapping[str, np.ndarray], sparsity: float) -> Masks:
    """Keeps the highest round((1 - sparsity) * N) of the N scores of all layers.

    Ties go to the earlier layer, then to the earlier weight in it.
    """
    return highest_count_of_all(scores, kept_count(sum(score.size for score in scores.values()), sparsity))


def highest_count_of_all(scores: Mapping[str, np.ndarray], count: int) -> Masks:
    """As `highest_of_all`, for a number of weights."""
    mask = highest(np.concatenate([score.ravel() for score in scores.values()]), count)
    ends = np.cumsum([score.size for score in scores.values()])
    parts = np.split(mask, ends[:-1])
    return Masks({path: part.reshape(scores[path].shape) for path, part in zip(scores, parts, strict=True)})


def require_left(kept: Mapping[str, int], left: Mapping[str, int]) -> None:
    """Raises `TostError`, naming the first layer in which more weights should be kept than are left."""
    for path, count in kept.items():
        if count > left[path]:
            raise TostError(f"{count} weights of {path} cannot be kept: only {left[path]} are not yet pruned")


def require_finite(scores: Mapping[str, np.ndarray], source: str = "") -> None:
    """Raises `NotFinite`, naming the first weight with a score that is not finite, and its source."""
    for path, score in scores.items():
        if not np.isfinite(score).all():
            raise NotFinite(f"the score of {path} is not finite everywhere{source}: it cannot be ranked")


def without_pruned(scores: Mapping[str, np.ndarray], masks: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The scores, with -inf for weights that are already pruned."""
    return {
        path: np.where(masks[path] == 1, score, -np.inf) if path in masks else score for path, score in scores.items()
    }


def highest(score: np.ndarray, count: int) -> np.ndarray:
    """The mask, uint8, of the `count` highest scores of an array; scores of -inf are never selected.

    Raises:
      TostError: fewer than `count` scores are above -inf.
    """
    values = score.ravel()
    mask = np.zeros(values.size, np.uint8)
    if count:
        # Partitioning is linear, unlike sorting, but slow for many equal values, so pruned weights are left out.
        left = values[values > -np.inf]
        if count > left.size:
            raise TostError(f"{count} weights cannot be kept: only {left.size} are not yet pruned")
        threshold = np.partition(left, left.size - count)[left.size - count]
        mask[values > threshold] = 1
        ties = np.flatnonzero(values == threshold)
        mask[ties[: count - int(mask.sum())]] = 1
    return mask.reshape(score.shape)
