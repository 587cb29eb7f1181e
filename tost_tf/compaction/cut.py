"""Which entries of a weight stay when a layer becomes smaller."""

from __future__ import annotations

import dataclasses

import numpy as np

from tost_tf.compat import tf


@dataclasses.dataclass(frozen=True, eq=False)
class Cut:
    """The entries of a weight that stay: those whose index is kept on every axis.

    Attributes:
      shape: of the whole weight.
      kept: for each axis booleans [size], or `None` if all of it stays.
    """

    shape: tuple[int, ...]
    kept: tuple[np.ndarray | None, ...]

    @classmethod
    def of_last_axes(cls, shape: tuple[int, ...], *kept: np.ndarray | None) -> Cut:
        """Cuts the last axes of a weight; those before stay whole."""
        return cls(tuple(shape), (*(None,) * (len(shape) - len(kept)), *kept))

    @property
    def small_shape(self) -> tuple[int, ...]:
        """The shape of what stays."""
        sizes = zip(self.shape, self.kept, strict=True)
        return tuple(size if kept is None else int(kept.sum()) for size, kept in sizes)

    def of_array(self, values: np.ndarray) -> np.ndarray:
        """What stays of an array of the whole shape."""
        for axis, kept in self._cut_axes():
            values = np.compress(kept, values, axis=axis)
        return values

    def take(self, values: tf.Tensor) -> tf.Tensor:
        """What stays of a tensor of the whole shape. The gradient of what does not stay is zero."""
        if not self._cut_axes():
            return values

        @tf.custom_gradient
        def taken(whole):
            return self._taken(whole), self._with_zeros

        return taken(values)

    def put_back(self, small: tf.Tensor, whole: tf.Tensor) -> tf.Tensor:
        """`whole` with `small` in the places that stay."""
        if not self._cut_axes():
            return small
        stays = np.full(self.shape, True)
        for axis, kept in self._cut_axes():
            stays &= kept.reshape([-1 if index == axis else 1 for index in range(len(self.shape))])
        return tf.where(stays, self._with_zeros(small), whole)

    def _cut_axes(self) -> list[tuple[int, np.ndarray]]:
        return [(axis, kept) for axis, kept in enumerate(self.kept) if kept is not None and not kept.all()]

    def _taken(self, whole: tf.Tensor) -> tf.Tensor:
        for axis, kept in self._cut_axes():
            whole = _gathered(whole, np.flatnonzero(kept), axis)
        return whole

    def _with_zeros(self, small: tf.Tensor) -> tf.Tensor:
        small = tf.reshape(small, self.small_shape)  # some gradients come without their shape
        # The last axis first, while the tensor is small.
        for axis, kept in reversed(self._cut_axes()):
            at_the_end = int(kept.sum())
            padding = [(0, int(index == axis)) for index in range(len(self.shape))]
            sources = np.where(kept, np.cumsum(kept) - 1, at_the_end)
            small = _gathered(tf.pad(small, padding), sources, axis)
        return small


def _gathered(values: tf.Tensor, indices: np.ndarray, axis: int) -> tf.Tensor:
    """`tf.gather`, which copies number by number along the last axis: two transpositions take a quarter of that."""
    if axis < len(values.shape) - 1 or axis == 0:
        return tf.gather(values, indices, axis=axis)
    columns = tf.transpose(tf.reshape(values, (-1, values.shape[-1])))
    return tf.reshape(tf.transpose(tf.gather(columns, indices)), (*values.shape[:-1], len(indices)))
