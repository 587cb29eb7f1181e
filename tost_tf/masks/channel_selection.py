"""From scores to masks of whole channels, in all layers that write or read them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tost_tf.compaction.joined import ChannelUse
from tost_tf.errors import TostError
from tost_tf.masks.patterns.division import Channels
from tost_tf.masks.quota import Quota

LEAST = 1e-9  # the density of a layer that would keep nothing


class ChannelSelection:
    """The `Selection` of the pattern "channels".

    A channel's score is the sum of the scores of all weights that write it or read it. Channels are ranked, and the
    best are kept: as many as bring the number of kept weights nearest to the quota.

    With one number for all kernels together, all channels are ranked by their scores. With a number for each kernel,
    channels are ranked among those that the same kernels write and read: of layers with density d the fraction d^t is
    kept, with the same t for all. t is near 1/2, since a weight stays if both of its channels do.

    Each kernel keeps at least its best channel.

    With a `multiple`, channels that the same kernels write and read are ranked among themselves, and kept or removed in
    that number: the best ones, the next, and so on; the last are fewer if their number is not a multiple. Such units
    are compared by the mean of their channels.

    Args:
      uses: weight path -> its channels.
      kernels: weight path -> shape and sorted axes.
      multiple: at least 1.
    """

    def __init__(
        self,
        uses: Mapping[str, ChannelUse],
        kernels: Mapping[str, tuple[tuple[int, ...], Channels]],
        multiple: int = 1,
    ):
        self.uses, self.kernels, self.multiple = dict(uses), dict(kernels), multiple
        self.size = 1 + max(int(side.max(initial=-1)) for use in uses.values() for side in _sides(use))
        self._groups = self._grouped()

    def step(self, path: str) -> int:
        return self.kernels[path][1].window * self.kernels[path][1].inputs * self.kernels[path][1].outputs

    def select(self, scores: Mapping[str, np.ndarray], quota: Quota) -> dict[str, np.ndarray]:
        if quota.together and (quota.alone or quota.shares):
            raise TostError("channels belong to several layers: the sparsity of one cannot be set by hand")
        sums, alive = self._sums(scores)
        keys = sums if quota.together else self._keys(sums, {**quota.alone, **quota.shares})
        keys = np.where(alive, keys, -np.inf)
        for use in self.uses.values():
            for side in _sides(use):
                free = side[side >= 0]
                # Else some channel stays anyway, or none is left.
                if free.size == side.size and keys[free].max() > -np.inf:
                    keys[free[np.argmax(keys[free])]] = np.inf
        kept = self._nearest(*self._ranked(keys, alive), quota.total)
        masks = {path: self._mask(path, kept) for path in scores}
        for path, mask in masks.items():
            if (mask[np.isneginf(scores[path])] > 0).any():
                raise TostError(f"weights of {path} are pruned already, and they are not whole channels")
        return masks

    def _grouped(self) -> np.ndarray:
        """For each channel the number of its group: channels that the same kernels write and read."""
        used_by: list[list[tuple[str, int]]] = [[] for _ in range(self.size)]
        for path, use in self.uses.items():
            for number, side in enumerate(_sides(use)):
                for channel in np.unique(side[side >= 0]):
                    used_by[channel].append((path, number))
        self._members = list(dict.fromkeys(map(tuple, used_by)))
        numbers = {group: number for number, group in enumerate(self._members)}
        return np.array([numbers[tuple(used)] for used in used_by], int)

    def _sums(self, scores: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """The score of each channel, and whether any of its weights is left."""
        sums, left = np.zeros(self.size), np.zeros(self.size)
        for path, use in self.uses.items():
            values = self.kernels[path][1].sorted(np.asarray(scores[path], np.float64))
            there = values > -np.inf
            values = np.where(there, values, 0.0).sum(axis=0)
            for side, others in ((use.outputs, 0), (use.inputs, 1)):
                if side is not None:
                    free = side >= 0
                    sums += np.bincount(side[free], values.sum(axis=others)[free], self.size)
                    left += np.bincount(side[free], there.sum(axis=(0, others + 1))[free], self.size)
        return sums, left > 0

    def _keys(self, sums: np.ndarray, counts: Mapping[str, int]) -> np.ndarray:
        """Channel k of n in the order of scores is above the fraction d^t if log((k + 1/2) / n) / log(d) > t."""
        keys = np.empty(self.size)
        for number, group in enumerate(self._members):
            paths = {path for path, _ in group}
            density = sum(counts[path] for path in paths) / sum(self.step(path) for path in paths)
            own = np.flatnonzero(self._groups == number)
            best_first = own[np.argsort(-sums[own], kind="stable")]
            places = (np.arange(own.size) + 0.5) / own.size
            with np.errstate(divide="ignore"):
                keys[best_first] = np.log(places) / np.log(max(density, LEAST)) if density < 1 else np.inf
        return keys

    def _ranked(self, keys: np.ndarray, alive: np.ndarray) -> tuple[list[np.ndarray], int]:
        """Channels that are kept or removed together, the best first, and how many of these units must stay."""
        units = []
        for number in range(len(self._members)):
            own = np.flatnonzero(alive & (self._groups == number))
            best_first = own[np.argsort(-keys[own], kind="stable")]
            units += [best_first[start : start + self.multiple] for start in range(0, own.size, self.multiple)]
        means = np.array([keys[unit].mean() for unit in units])
        order = np.lexsort(([unit[0] for unit in units], -means))
        return [units[number] for number in order], np.count_nonzero(np.isposinf(means))

    def _nearest(self, units: list[np.ndarray], least: int, count: int) -> np.ndarray:
        """Whether channels are kept: those of the first units, `least` of these or more."""
        ends, order = np.cumsum([0, *map(len, units)]), np.concatenate(units)

        def kept(number: int) -> np.ndarray:
            channels = np.zeros(self.size, bool)
            channels[order[: ends[number]]] = True
            return channels

        def distance(number: int) -> int:
            return self._count(kept(number)) - count

        fewest = self._count(kept(least))
        if fewest > 2 * count:  # a smaller excess is the nearest there is
            raise TostError(
                f"{fewest} weights stay if each kernel keeps {self._least_text}: a mask of whole channels cannot keep "
                f"{count}"
            )
        low, high = least, len(units)
        while low < high:  # the most channels that keep no more weights than the count
            middle = (low + high + 1) // 2
            low, high = (middle, high) if distance(middle) <= 0 else (low, middle - 1)
        return kept(min((low, min(low + 1, len(units))), key=lambda number: abs(distance(number))))

    @property
    def _least_text(self) -> str:
        return "one channel" if self.multiple == 1 else f"{self.multiple} channels"

    def _on(self, path: str, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Whether the inputs and the outputs of a kernel are kept."""
        use, channels = self.uses[path], np.append(kept, True)  # the last is for -1
        inputs = np.ones(1, bool) if use.inputs is None else channels[use.inputs]
        return inputs, channels[use.outputs]

    def _count(self, kept: np.ndarray) -> int:
        sides = ((self.kernels[path][1].window, *self._on(path, kept)) for path in self.uses)
        return sum(window * int(inputs.sum()) * int(outputs.sum()) for window, inputs, outputs in sides)

    def _mask(self, path: str, kept: np.ndarray) -> np.ndarray:
        shape, channels = self.kernels[path]
        inputs, outputs = self._on(path, kept)
        mask = np.broadcast_to(inputs[:, None] & outputs, channels.sizes)
        parts = mask.reshape([shape[axis] for axis in channels.order])
        return parts.transpose(np.argsort(channels.order)).astype(np.uint8)


def _sides(use: ChannelUse) -> tuple[np.ndarray, ...]:
    return (use.outputs,) if use.inputs is None else (use.inputs, use.outputs)
