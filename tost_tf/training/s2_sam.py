"""Single-step sharpness-aware minimisation (S2-SAM, Ji et al., NeurIPS 2024, openreview.net/forum?id=MJgMMqMDu4)."""

from __future__ import annotations

from tost_tf.compat import keras, tf
from tost_tf.training.optimizer_tweak import OptimizerTweak


@keras.utils.register_keras_serializable("tost_tf")
class S2SAM(OptimizerTweak):
    """Each gradient is that at w + radius · g / |g|, where g is the gradient of the step before; the step is from w.

    Sharpness-aware minimisation (Foret et al. 2021) climbs along the gradient at w itself, which takes a second
    gradient at each step. |g| is the norm of the gradients of all weights together. The first step climbs nowhere.

    Args:
      radius: how far is climbed, at least 0. By default 0.05, as Foret et al. advise; that of Ji et al. is not known to
        us.
    """

    ascends = True

    def __init__(self, radius: float = 0.05):
        self.radius = radius

    def ascent(self, gradients):
        norm = tf.linalg.global_norm([tf.cast(gradient, tf.float32) for gradient in gradients])
        scale = tf.math.divide_no_nan(self.radius, norm)
        return [tf.cast(scale, gradient.dtype) * gradient for gradient in gradients]


TWEAK = S2SAM()
