"""From scores to masks: the highest scores stay, ties go to the lower index."""

from collections.abc import Mapping

import numpy as np

from tost_tf.errors import TostError
from tost_tf.masks.allocate import kept_count
from tost_tf.masks.mask import Masks


def highest_by_layer(scores: Mapping[str, np.ndarray], kept: Mapping[str, int]) -> Masks:
    """Keeps the `kept[path]` highest scores of each layer."""
    return Masks({path: _highest(score, kept[path]) for path, score in scores.items()})


def highest_of_all(scores: Mapping[str, np.ndarray], sparsity: float) -> Masks:
    """Keeps round((1 - sparsity) * N) of the N scores of all layers, the highest.

    The lower index is that of the earlier layer, then of the earlier weight in it.
    """
    everything = np.concatenate([score.ravel() for score in scores.values()])
    mask = _highest(everything, kept_count(everything.size, sparsity))
    ends = np.cumsum([score.size for score in scores.values()])
    parts = np.split(mask, ends[:-1])
    return Masks({path: part.reshape(scores[path].shape) for path, part in zip(scores, parts, strict=True)})


def require_finite(scores: Mapping[str, np.ndarray]) -> None:
    """Raises `TostError`, naming the first weight whose score is not a finite number."""
    for path, score in scores.items():
        if not np.isfinite(score).all():
            raise TostError(f"the score of {path} is not finite everywhere: it cannot be ranked")


def _highest(score: np.ndarray, count: int) -> np.ndarray:
    mask = np.zeros(score.size, np.uint8)
    # A stable sort of the negated scores puts equal ones in the order of their index.
    mask[np.argsort(-score.ravel(), kind="stable")[:count]] = 1
    return mask.reshape(score.shape)
