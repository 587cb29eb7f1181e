"""A multiplicative step after each step of an optimizer (HAM, "hyperbolic aware minimization", arXiv 2506.02630)."""

from __future__ import annotations

from tost_tf.compat import keras, tf
from tost_tf.training.optimizer_tweak import OptimizerTweak

# A factor of e⁵ in one step: only a weight that diverges reaches it.
LARGEST_EXPONENT = 5.0


@keras.utils.register_keras_serializable("tost_tf")
class HAM(OptimizerTweak):
    """w ← w · exp(-learning_rate · (alpha · sign(w) · g + beta)) for every trainable weight, after the step.

    This changes no sign, and a zero stays zero. The exponent is clipped to [-5, 5], which is not in the paper.

    Args:
      alpha: strength of the multiplicative part, at least 0; the paper uses 200.
      beta: strength of the shrinkage of all weights, at least 0; the paper uses 1e-3.
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
