"""Converts kernels from PyTorch's layouts to those of Keras.

A convolution is [out, in, height, width] in PyTorch and [height, width, in, out] in Keras, a linear layer [out, in]
and [in, out]. A depthwise convolution is [height, width, channels, multiplier] in Keras. A transposed convolution
is [in, out, height, width] and [height, width, out, in]. In one and three dimensions it is the same.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tost_tf.convert.torch_match import Kind
from tost_tf.convert.torch_order import Order, reordered
from tost_tf.convert.torch_state import TorchModule
from tost_tf.errors import TostError

DEPTHWISE = "depthwise_kernel"


def kernel_kinds(modules: Mapping[str, TorchModule]) -> dict[str, Kind]:
    """Module -> kind, with the shape of its kernel in Keras's layout, for the modules that have a kernel."""
    return {name: _kind_there(module.kernel) for name, module in modules.items() if module.has_kernel}


def kernel_kind(attribute: str, shape: tuple[int, ...]) -> Kind:
    """The kind of a kernel of this model: a depthwise one looks like PyTorch's [height, width, 1, out]."""
    if attribute == DEPTHWISE:
        return ("kernel", *shape[:-2], 1, shape[-2] * shape[-1])
    if attribute == "embeddings":  # the same layout in both; in the file it looks like a linear layer
        return ("kernel", *reversed(shape))
    return ("kernel", *shape)


def converted_kernel(
    name: str, array: np.ndarray, path: str, shape: tuple[int, ...], order: Order | None = None
) -> np.ndarray:
    """A kernel, or its mask, in the layout of the weight `path`.

    Args:
      name: in the file, for messages.
      array: in PyTorch's layout.
      path: of the weight here.
      shape: of the weight here.
      order: PyTorch's order of the layer's input features; `None` for the same order.

    Raises:
      TostError: the shapes do not fit.
    """
    attribute = path.rpartition("/")[2]
    if attribute == DEPTHWISE:
        outputs, _, *size = array.shape
        channels = shape[-2]
        converted = np.moveaxis(array, (0, 1), (-2, -1)).reshape(*size, channels, outputs // channels)
    elif attribute == "embeddings":
        converted = array
    else:
        converted = np.moveaxis(array, (0, 1), (-1, -2))
    if converted.shape != tuple(shape):
        raise TostError(f"{name} has shape {list(array.shape)}, which is not that of {path} ({list(shape)})")
    return reordered(converted, order)


def _kind_there(array: np.ndarray) -> Kind:
    outputs, inputs, *size = array.shape
    return ("kernel", *size, inputs, outputs)
