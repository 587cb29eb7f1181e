"""A layer called at each step of a sequence. (A model called so counts as a nested model: `graph.copy`.)"""

from __future__ import annotations

from tost_tf.compat import keras
from tost_tf.graph.kernel_kinds.kind import KernelKind

KIND = KernelKind((keras.layers.TimeDistributed,), parts=lambda layer: {"": layer.layer})
