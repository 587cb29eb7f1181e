"""Kept weights trained as products of two factors (Sign-In, Gadhikar et al., NeurIPS 2025, arXiv 2504.12801)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tost_tf.compat import keras, tf
from tost_tf.ranges import require_number
from tost_tf.training.optimizer_tweak import OptimizerTweak

if TYPE_CHECKING:
    from tost_tf.training.masked_optimizer import MaskedOptimizer


@keras.utils.register_keras_serializable("tost_tf")
class SignIn(OptimizerTweak):
    """Each kept weight of a masked kernel is a product m·w, and the optimizer trains m and w, with a momentum for each.

    The gradients of the factors are g·w and g·m, where g is that of the weight. So a weight moves with m² + w², which
    is √(4·weight² + balance²) as long as m² - w² is the balance, and that is not zero where a weight changes its sign
    (Section 5). Noise and the L2 penalty bring m² - w² towards zero. So every now and then the factors are rescaled:
    m² - w² is the balance again, while the weight itself stays.

        m = √((√(4·weight² + balance²) + balance) / 2),  w = weight / m

    The kernel holds the products, and the optimizer the factors: models, masks and exports know nothing of them. A
    weight that something else than the optimizer has changed (one that grows, branches that were merged) is split anew
    at its next step; its momenta stay unless these are set to zero too, as they are where a weight grows.

    From the paper: the balance of 1, at the start and after each rescaling, the same for all layers; rescaling at equal
    distances, without which the gain is small. Our choices, as we could not find what the authors do: the distance,
    which the paper counts in epochs, is 500 steps, between one and two epochs of CIFAR-10 at 128 images a step; it goes
    on to the end; momenta stay when factors are rescaled; the L2 penalty is that of the factors, each with the factor
    of the optimizer, so a weight alone decays twice as fast; weights without a mask are trained as ever.

    Args:
      balance: m² - w², above 0.
      rescale_every: after how many steps the factors are rescaled, at least 1.

    Raises:
      TostError: an argument is out of range.
    """

    trains_factors = True

    def __init__(self, balance: float = 1.0, rescale_every: int = 500):
        require_number("balance", balance, above=0)
        require_number("rescale_every", rescale_every, whole=True, minimum=1)
        self.balance, self.rescale_every = balance, rescale_every

    def split(self, weights: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The factors m > 0 and w of some weights, with the balance."""
        balance = tf.constant(self.balance, weights.dtype)
        first = tf.sqrt((tf.sqrt(4 * weights**2 + balance**2) + balance) / 2)
        return first, weights / first

    def take_step(self, optimizer: MaskedOptimizer, gradient: tf.Tensor, variable: tf.Variable) -> None:
        """Updates the factors of a masked kernel by its gradient, and makes the kernel their product."""
        factors = optimizer.factors_of(variable)
        first, second = map(tf.convert_to_tensor, factors)
        weights = tf.convert_to_tensor(variable)
        # Zeros: not split yet.
        anew = tf.not_equal(first * second, weights) | (tf.equal(first, 0) & tf.equal(second, 0))
        anew |= tf.equal(optimizer.iterations % self.rescale_every, 0)
        split = [optimizer.masked(part, variable) for part in self.split(weights)]
        first, second = (tf.where(anew, new, old) for new, old in zip(split, (first, second), strict=True))
        for factor, value, other in zip(factors, (first, second), (second, first), strict=True):
            factor.assign(value)
            optimizer.step(gradient * other, factor)
        variable.assign(optimizer.masked(factors[0] * factors[1], variable))


TWEAK = SignIn()
