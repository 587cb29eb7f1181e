"""What a tweak of any optimizer is."""

from __future__ import annotations

from tost_tf.compat import tf


class OptimizerTweak:
    """Changes gradients before an optimizer uses them, and weights after its step; by default neither.

    Pruned weights are zero and have gradients that are zero when a tweak sees them, and must stay so. A tweak remembers
    nothing from step to step, so that it needs no place in checkpoints.
    """

    def gradient(self, gradient: tf.Tensor, variable: tf.Variable, mask: tf.Tensor | None) -> tf.Tensor:
        """The gradient the optimizer is given for `variable`.

        Args:
          gradient: of the loss, without any penalty.
          variable: any trainable weight, before the step.
          mask: of `variable`, 1 = kept, `None` where it has none.
        """
        return gradient

    def after_step(self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor) -> None:
        """Changes `variable`, to which the optimizer has just applied `gradient`.

        Args:
          gradient: as the optimizer was given it.
          variable: after the step.
          learning_rate: the optimizer's, now.
        """
