"""Convolutions."""

from __future__ import annotations

from tost_tf.compat import keras
from tost_tf.graph.kernel_kinds.kind import KernelKind

layers = keras.layers

PLAIN = KernelKind((layers.Conv1D, layers.Conv2D, layers.Conv3D), lambda layer: {"kernel": ((-2,), (-1,))})

# Their kernels are [..., outputs, inputs].
TRANSPOSED = KernelKind(
    (layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose),
    lambda layer: {"kernel": ((-1,), (-2,))},
)

DEPTHWISE = KernelKind(
    (layers.DepthwiseConv1D, layers.DepthwiseConv2D), lambda layer: {"depthwise_kernel": ((-2,), (-2, -1))}
)

# Only the pointwise kernel, as in tensorflow-model-optimization: it has nearly all the weights.
SEPARABLE = KernelKind(
    (layers.SeparableConv1D, layers.SeparableConv2D), lambda layer: {"pointwise_kernel": ((-2,), (-1,))}
)
