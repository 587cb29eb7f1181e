"""How the skip of a block and the block's own output are put together.

A gate is a function `(output, skip, alpha, draw, training)` of two tensors of the same shape, which gives a third. α is
a scalar of their type, 1 at first; at 0 only the output is left. `draw()` is a random scalar in [0, 1), another one at
each step; `training` is a boolean, or a tensor.
"""

from __future__ import annotations

from collections.abc import Callable

from tost_tf.compat import tf

Draw = Callable[[], "tf.Tensor"]


def scaled(output: tf.Tensor, skip: tf.Tensor, alpha: tf.Tensor, draw: Draw, training: bool | tf.Tensor) -> tf.Tensor:
    """Output + α·skip (ToST, Section 2.2)."""
    del draw, training
    return _sum_with(output, skip, alpha)


def stochastic(
    output: tf.Tensor, skip: tf.Tensor, alpha: tf.Tensor, draw: Draw, training: bool | tf.Tensor
) -> tf.Tensor:
    """Output + skip with probability α while training, output alone otherwise; output + α·skip, the mean, in inference.

    Drawn for a whole batch at once, as stochastic depth drops blocks (Huang et al. 2016, "Deep Networks with Stochastic
    Depth", Section 3): the network without its skips is trained from early on.
    """
    is_there = tf.cast(draw() < tf.cast(alpha, tf.float32), alpha.dtype)
    return _sum_with(output, skip, tf.where(tf.cast(training, tf.bool), is_there, alpha))


def variance_preserving(
    output: tf.Tensor, skip: tf.Tensor, alpha: tf.Tensor, draw: Draw, training: bool | tf.Tensor
) -> tf.Tensor:
    """(Output + α·skip) / √(1 + α²): of the variance both have, where it is the same and they are independent.

    At α = 1 this divides the sum by √2, as in De and Smith 2020 ("Batch Normalization Biases Residual Blocks Towards
    the Identity Function in Deep Networks").
    """
    del draw, training
    return _sum_with(output, skip, alpha) * tf.math.rsqrt(1 + alpha * alpha)


def _sum_with(output: tf.Tensor, skip: tf.Tensor, weight: tf.Tensor) -> tf.Tensor:
    """Output + weight·skip, to the last bit, as a difference.

    If the sum with a block's shortcut follows, TensorFlow's graph optimizer would make one sum of both and compute it
    in a temporary variable, which takes twice as long.
    """

    @tf.custom_gradient
    def with_gradient(output, skip, weight):
        def gradient(upstream):
            return upstream, weight * upstream, tf.reduce_sum(upstream * skip)

        return output - (-weight) * skip, gradient

    return with_gradient(output, skip, weight)
