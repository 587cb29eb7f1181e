"""Which weights of a convolution's window never fall on padding."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np


def safe_taps(
    kernel_size: Sequence[int],
    strides: Sequence[int],
    dilation: Sequence[int],
    padding: str,
    image_size: Sequence[int | None],
) -> np.ndarray:
    """Whether each tap of the window is on the image at every position of the window. Then a constant channel adds the
    same number everywhere, at the borders too.

    Args:
      kernel_size, strides, dilation: by dimension.
      padding: "valid", "same" (as TensorFlow pads) or "causal".
      image_size: by dimension, `None` if unknown.

    Returns:
      Booleans, [*kernel_size].
    """
    lines = [_safe(*dimension, padding) for dimension in zip(kernel_size, strides, dilation, image_size, strict=True)]
    return functools.reduce(np.logical_and.outer, lines)


def _safe(kernel: int, stride: int, dilation: int, size: int | None, padding: str) -> np.ndarray:
    offsets = np.arange(kernel) * dilation
    if padding == "valid" or kernel == 1:
        return np.full(kernel, True)
    if padding not in ("same", "causal") or size is None:
        return np.full(kernel, False)
    reach = (kernel - 1) * dilation
    last = (-(-size // stride) - 1) * stride  # the last position of the window
    before = reach if padding == "causal" else max(last + reach + 1 - size, 0) // 2
    return (offsets >= before) & (last + offsets - before < size)
