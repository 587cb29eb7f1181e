"""A multiplicative step after each step of an optimizer (HAM, "hyperbolic aware minimization", arXiv 2506.02630)."""

from __future__ import annotations

from tost_tf.compat import tf
from tost_tf.training.optimizer_tweak import OptimizerTweak

# A factor of e⁵ in a step: only on its way to infinity a weight gets there.
LARGEST_EXPONENT = 5.0


class HAM(OptimizerTweak):
    """w ← w · exp(-learning_rate · (alpha · sign(w) · g + beta)) for every trainable weight, after the step.

    No weight changes its sign by it, and one that is zero stays so. The exponent is held between -5 and 5, which is not
    in the paper.

    Args:
      alpha: how strong the multiplicative part is, at least 0; the paper's is 200.
      beta: how strongly all weights shrink, at least 0; the paper's is 1e-3.
    """

    def __init__(self, alpha: float = 200.0, beta: float = 1e-3):
        self.alpha, self.beta = alpha, beta

    def after_step(self, gradient, variable, learning_rate):
        dtype = variable.dtype
        alpha, beta = tf.constant(self.alpha, dtype), tf.constant(self.beta, dtype)
        exponent = -tf.cast(learning_rate, dtype) * (alpha * tf.sign(variable) * gradient + beta)
        largest = tf.constant(LARGEST_EXPONENT, dtype)
        variable.assign(variable * tf.exp(tf.clip_by_value(exponent, -largest, largest)))


TWEAK = HAM()
