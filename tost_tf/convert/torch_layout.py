"""Kernels in PyTorch's layouts, turned into those of Keras.

PyTorch keeps a convolution as [out, in, height, width] and a linear layer as [out, in]; TensorFlow as
[height, width, in, out] and [in, out], and a depthwise convolution as [height, width, channels, multiplier]; in one and
three dimensions likewise. Transposed convolutions are [in, out, height, width] there and [height, width, out, in] here.
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
    """Module -> kind, with the shape its kernel has here, of the modules that have a kernel."""
    return {name: _kind_there(module.kernel) for name, module in modules.items() if module.has_kernel}


def kernel_kind(attribute: str, shape: tuple[int, ...]) -> Kind:
    """The kind of a kernel of this model: a depthwise one looks like PyTorch's [height, width, 1, out]."""
    if attribute == DEPTHWISE:
        return ("kernel", *shape[:-2], 1, shape[-2] * shape[-1])
    if attribute == "embeddings":  # the same in both, and not told from a linear layer there
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
      order: in which PyTorch has what the layer reads; `None` for the same.

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
