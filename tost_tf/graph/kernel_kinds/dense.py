"""Dense layers."""

from __future__ import annotations

from tost_tf.compat import keras
from tost_tf.graph.kernel_kinds.kind import KernelKind

KIND = KernelKind((keras.layers.Dense,), lambda layer: {"kernel": ((-2,), (-1,))})
