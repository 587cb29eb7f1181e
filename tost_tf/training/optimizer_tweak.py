"""The interface of a tweak, which works with any optimizer."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from tost_tf.compat import tf

if TYPE_CHECKING:
    from tost_tf.training.masked_optimizer import MaskedOptimizer


class OptimizerTweak:
    """Changes gradients before an optimizer uses them, and weights after its step; by default neither.

    A tweak sees zeros for pruned weights and for their gradients, and must leave them zero. It keeps no state between
    steps: the optimizer keeps the gradients of a tweak that `ascends`, and the factors of one that `trains_factors`,
    and checkpoints have them.

    Attributes:
      ascends: whether gradients are taken elsewhere than at the weights, by as much as `ascent` says.
      trains_factors: whether masked kernels are products of two factors, which `take_step` trains instead of them.
    """

    ascends = False
    trains_factors = False

    def get_config(self) -> dict:
        """All arguments: the attributes of the same names."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    @classmethod
    def from_config(cls, config: dict) -> OptimizerTweak:
        """A tweak with these arguments."""
        return cls(**config)

    def ascent(self, gradients: list[tf.Tensor]) -> list[tf.Tensor]:
        """What is added to the weights while their gradients are computed.

        Args:
          gradients: of all trained weights, in the step before; zero in the first one.
        """
        raise NotImplementedError

    def gradient(self, gradient: tf.Tensor, variable: tf.Variable, mask: tf.Tensor | None) -> tf.Tensor:
        """The gradient the optimizer uses for `variable`.

        Args:
          gradient: of the loss, without any penalty.
          variable: any trainable weight, before the step.
          mask: of `variable`, 1 = kept, `None` if it has none.
        """
        return gradient

    def take_step(self, optimizer: MaskedOptimizer, gradient: tf.Tensor, variable: tf.Variable) -> None:
        """Updates the factors of a masked kernel, for a tweak that `trains_factors`, and the kernel with them.

        Args:
          optimizer: has the factors, all zero at first, and a `step` for each of them.
          gradient: of the loss by the kernel, without any penalty.
          variable: the kernel.
        """
        raise NotImplementedError

    def after_step(self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor) -> None:
        """Changes `variable`, to which the optimizer has just applied `gradient`.

        Args:
          gradient: the one the optimizer used.
          variable: after the step.
          learning_rate: of the optimizer, in this step.
        """
