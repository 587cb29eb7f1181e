"""Recurrent layers of any kind: the cell has the kernels."""

from __future__ import annotations

from collections.abc import Mapping

from tost_tf.compat import keras
from tost_tf.compat.layers import recurrent_cells
from tost_tf.graph.kernel_kinds.kind import Axes, KernelKind


def _kernels(cell: keras.layers.Layer) -> Mapping[str, Axes]:
    return {name: ((-2,), (-1,)) for name in ("kernel", "recurrent_kernel")}


def _cells(stack: keras.layers.StackedRNNCells) -> Mapping[str, keras.layers.Layer]:
    return {str(number): cell for number, cell in enumerate(stack.cells)}


CELL = KernelKind(recurrent_cells(), _kernels)
STACK = KernelKind((keras.layers.StackedRNNCells,), parts=_cells)
KIND = KernelKind((keras.layers.RNN,), parts=lambda layer: {"": layer.cell})
BIDIRECTIONAL = KernelKind(
    (keras.layers.Bidirectional,),
    parts=lambda layer: {"forward": layer.forward_layer, "backward": layer.backward_layer},
)
