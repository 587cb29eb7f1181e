"""From scores to masks: the highest scores stay, ties go to the lower index."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from tost_tf.errors import NotFinite, TostError
from tost_tf.masks.patterns.division import Division
from tost_tf.masks.quota import Quota, nearest, nearest_together


class Selection(Protocol):
    """Selects masks of the kernels of a network that have a pattern."""

    def select(self, scores: Mapping[str, np.ndarray], quota: Quota) -> dict[str, np.ndarray]:
        """The masks of the highest scores.

        Args:
          scores: of the ranked kernels; -inf for weights that are already pruned and stay so.
          quota: how many weights are kept.

        Raises:
          TostError: more weights would be kept than are left.
        """
        ...

    def step(self, path: str) -> int:
        """A kernel keeps less than this number of weights more, or fewer, than the quota for it alone."""
        ...


class CellSelection:
    """The `Selection` of patterns that belong to each kernel by itself.

    A unit's score is the sum of its weights' scores; each cell keeps its units with the highest.

    Args:
      divisions: weight path -> the division of the kernel.
      uniform: whether every kernel keeps the same fraction of its weights.
    """

    def __init__(self, divisions: Mapping[str, Division], uniform: bool = False):
        self.divisions, self.uniform = dict(divisions), uniform

    def step(self, path: str) -> int:
        return self.divisions[path].step

    def select(self, scores: Mapping[str, np.ndarray], quota: Quota) -> dict[str, np.ndarray]:
        values = {path: self.divisions[path].summed(score) for path, score in scores.items()}
        alone, shares, kept = dict(quota.alone), dict(quota.shares), {}
        others = {path: units for path, units in values.items() if path not in alone and path not in shares}
        if others and self.uniform:
            size = sum(scores[path].size for path in others)
            alone |= {path: quota.together * scores[path].size / size for path in others}
        elif others:
            weights = max(self.divisions[path].sizes[2] for path in others)
            kept = _ranked_together(others, quota.together, weights)
            if any(len(units) > 1 for units in others.values()):  # cells must keep the same number
                shares |= {path: int(mask.sum(dtype=np.int64)) * weights for path, mask in kept.items()}
        for path, count in self._units(alone, shares, values).items():
            kept[path] = highest_in_rows(values[path], count)
        return {path: self.divisions[path].mask(kept[path]) for path in scores}

    def _units(
        self, alone: Mapping[str, float], shares: Mapping[str, int], values: Mapping[str, np.ndarray]
    ) -> dict[str, int]:
        """Weight path -> the number of units that each cell keeps, for numbers of weights."""
        paths = [*alone, *shares]
        left = {path: int((values[path] > -np.inf).sum(axis=1).min()) for path in paths}
        steps = {path: self.divisions[path].step for path in paths}
        units = {path: nearest(count, steps[path]) for path, count in alone.items()}
        units |= nearest_together(shares, steps, left)
        for path, count in units.items():
            if count > left[path]:
                raise _too_few(path, count, left[path], self.divisions[path])
        return units


def _ranked_together(values: Mapping[str, np.ndarray], count: int, weights: int) -> dict[str, np.ndarray]:
    """The masks of the highest units of all, for a number of weights; each unit has as many as `weights`."""
    left = weights * sum(int((units > -np.inf).sum()) for units in values.values())
    units = nearest(count, weights)
    if weights * units > left:
        raise TostError(f"{count} weights cannot be kept: only {left} are not yet pruned")
    return highest_count_of_all(values, units)


def highest_count_of_all(scores: Mapping[str, np.ndarray], count: int) -> dict[str, np.ndarray]:
    """The masks, uint8, of the `count` highest of all scores; ties go to the earlier array, then to the lower index.

    Raises:
      TostError: fewer than `count` scores are above -inf.
    """
    mask = highest(np.concatenate([score.ravel() for score in scores.values()]), count)
    parts = np.split(mask, np.cumsum([score.size for score in scores.values()])[:-1])
    return {path: part.reshape(scores[path].shape) for path, part in zip(scores, parts, strict=True)}


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


def highest_in_rows(scores: np.ndarray, counts: int | np.ndarray) -> np.ndarray:
    """The mask, uint8, of the highest scores of each row: as many as `counts`, one number or one for each row."""
    if len(scores) == 1:
        return highest(scores, int(np.max(counts)))
    numbers = np.broadcast_to(np.reshape(counts, (-1, 1)), (len(scores), 1))
    falling = np.sort(scores, axis=1)[:, ::-1]
    threshold = np.take_along_axis(falling, np.maximum(numbers - 1, 0), axis=1)
    above, ties = scores > threshold, scores == threshold
    room = numbers - above.sum(axis=1, keepdims=True)
    return (above | (ties & (np.cumsum(ties, axis=1) <= room))).astype(np.uint8)


def _too_few(path: str, count: int, left: int, division: Division) -> TostError:
    cells, units, weights = division.sizes
    what, where = ("weights", path) if weights == 1 else (f"units of {weights} weights", path)
    if cells > 1:
        where = f"each {units} weights of {path} that belong together"
    return TostError(f"{count} {what} of {where} cannot be kept: only {left} are not yet pruned")


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
