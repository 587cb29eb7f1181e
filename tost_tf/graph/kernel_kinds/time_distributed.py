"""A layer at each step of a sequence. (A model at each step is a model nested in the network: `graph.copy`.)"""

from __future__ import annotations

from tost_tf.compat import keras
from tost_tf.graph.kernel_kinds.kind import KernelKind

KIND = KernelKind((keras.layers.TimeDistributed,), parts=lambda layer: {"": layer.layer})
