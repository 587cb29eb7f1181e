"""Operations of TensorFlow with derivatives that can be derived once more."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator

from tost_tf.compat import tf


@contextlib.contextmanager
def exact_moments() -> Iterator[None]:
    """Inside the block, the variances of `tf.nn.moments` have the right second derivatives.

    TensorFlow computes the variance around a mean that it treats as constant (`tf.stop_gradient`). In the first
    derivative the missing part is zero; in the second it is not. Code traced in the block, such as BatchNormalization
    that is not fused and LayerNormalization, gets moments with the same values but without `tf.stop_gradient`. (Fused
    BatchNormalization has its own second derivatives, which are right.)
    """
    nn_impl = importlib.import_module("tensorflow.python.ops.nn_impl")
    original = nn_impl.moments

    def moments(x, axes, shift=None, name=None, keep_dims=None, keepdims=None):
        del shift  # TensorFlow does not use it either
        with tf.name_scope(name or "moments"):
            values = tf.cast(x, tf.float32) if x.dtype == tf.float16 else x
            mean = tf.reduce_mean(values, axes, keepdims=True)
            variance = tf.reduce_mean(tf.math.squared_difference(values, mean), axes, keepdims=True)
            if not (keepdims or keep_dims):
                mean, variance = tf.squeeze(mean, axes), tf.squeeze(variance, axes)
            return tf.cast(mean, x.dtype), tf.cast(variance, x.dtype)

    nn_impl.moments = moments
    try:
        yield
    finally:
        nn_impl.moments = original


@contextlib.contextmanager
def bias_gradients_as_sums() -> Iterator[None]:
    """Inside the block, the gradient of a bias is traced as a sum, with the same values.

    oneDNN merges TensorFlow's own operation for it with the gradient of the kernel of the same convolution. Where a
    gradient of a gradient lets the second depend on the first, that makes a circle in the graph, which cannot be run.
    """
    operations = importlib.import_module("tensorflow.python.ops.gen_nn_ops")
    original = operations.bias_add_grad

    def bias_add_grad(out_backprop, data_format="NHWC", name=None):
        axes = list(range(out_backprop.shape.rank))
        del axes[1 if data_format in ("NCHW", b"NCHW") else -1]
        return tf.reduce_sum(out_backprop, axes, name=name)

    operations.bias_add_grad = bias_add_grad
    try:
        yield
    finally:
        operations.bias_add_grad = original
