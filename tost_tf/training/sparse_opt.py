"""Gradients scaled by the density of each filter (SparseOpt, arXiv 2605.27541)."""

from __future__ import annotations

from tost_tf.compat import keras, tf
from tost_tf.training.optimizer_tweak import OptimizerTweak


@keras.utils.register_keras_serializable("tost_tf")
class SparseOpt(OptimizerTweak):
    """The gradient of filter i of a masked kernel times √(density of filter i / mean density of the kernel's filters).

    Filters are on the last axis of a kernel, for a depthwise kernel on the last two. Gradients do not change if a
    kernel has no mask, or if all its filters have the same density.
    """

    def gradient(self, gradient, variable, mask):
        if mask is None:
            return gradient
        filters = 2 if "depthwise_kernel" in variable.name else 1
        axes = list(range(variable.shape.rank - filters))
        densities = tf.reduce_mean(tf.cast(mask, gradient.dtype), axes, keepdims=True)
        return gradient * tf.sqrt(tf.math.divide_no_nan(densities, tf.reduce_mean(densities)))


TWEAK = SparseOpt()
