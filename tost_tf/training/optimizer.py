"""SGD as in PyTorch, which the paper used."""

from __future__ import annotations

import numbers
from typing import Any

from tost_tf.compat import keras, tf
from tost_tf.compat.optimizers import variable_index
from tost_tf.ranges import require_number
from tost_tf.training.masked_optimizer import MaskedOptimizer


@keras.utils.register_keras_serializable("tost_tf")
class CoupledSGD(MaskedOptimizer):
    """SGD with momentum and L2 penalty as in `torch.optim.SGD`.

    The penalty is added to the gradient of every trainable weight, BatchNormalization included, before the momentum
    (coupled). The learning rate multiplies the accumulated momentum, not each gradient, so a drop of the learning rate
    takes effect immediately. For float64 weights all three numbers are exact:

        gradient += weight_decay * weight;  m = momentum * m + gradient;  weight -= learning_rate * m

    Args:
      learning_rate: a number, at least 0, or a schedule.
      momentum: in [0, 1).
      weight_decay: the L2 factor, at least 0.
      name: of the optimizer.
      **kwargs: as for any Keras optimizer.

    Raises:
      TostError: a number is out of range.

    Examples:
      >>> sparse = tost.sparsify(model, sparsity=0.98)
      >>> rate = keras.optimizers.schedules.CosineDecay(0.1, 10)  # over all steps of training
      >>> sparse.compile(tost.CoupledSGD(rate, weight_decay=5e-4), loss)
      >>> history = sparse.fit(images, labels, batch_size=16, verbose=0)
    """

    trains_factors = True

    def __init__(
        self,
        learning_rate: float = 0.1,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        name: str = "CoupledSGD",
        jit_compile: bool = False,
        **kwargs,
    ):
        require_rate(learning_rate)
        require_number("momentum", momentum, minimum=0, below=1)
        require_number("weight_decay", weight_decay, minimum=0)
        # The weight_decay of Keras is decoupled: it stays off.
        super().__init__(name=name, jit_compile=jit_compile, **kwargs)
        self._learning_rate = self._build_learning_rate(learning_rate)
        self._first_learning_rate = learning_rate
        self.momentum = momentum
        self.coupled_weight_decay = weight_decay

    def create_slots(self, var_list):
        if any(variable.dtype == tf.float64 for variable in var_list):
            self._use_exact_learning_rate()
        self.momentums = [self.add_variable_from_reference(variable, "momentum") for variable in var_list]

    def _use_exact_learning_rate(self) -> None:
        """Keeps the learning rate in float64: Keras would round it to its default type, float32."""
        rate = self._learning_rate
        if not isinstance(rate, tf.Variable) or rate.dtype == tf.float64:
            return
        now, first = float(rate.numpy()), self._first_learning_rate
        with tf.init_scope():
            value = first if now == float(tf.constant(first, rate.dtype).numpy()) else now
            self._learning_rate = tf.Variable(value, name="learning_rate", dtype=tf.float64, trainable=False)

    def momentum_of(self, variable: tf.Variable) -> tf.Variable:
        """The momentum of `variable`."""
        return self.momentums[variable_index(self, variable)]

    def slots_of(self, variable):
        return [self.momentum_of(variable)]

    def step(self, gradient, variable):
        variable.assign_sub(self.rate_of(variable) * self.accumulated(self.with_penalty(gradient, variable), variable))

    def with_penalty(self, gradient: tf.Tensor, variable: tf.Variable) -> tf.Tensor:
        """The gradient plus the gradient of the L2 penalty."""
        # A cast would round the numbers to float32 first.
        return gradient + tf.constant(self.coupled_weight_decay, variable.dtype) * variable

    def accumulated(self, gradient: tf.Tensor, variable: tf.Variable) -> tf.Variable:
        """Adds a gradient to the momentum of `variable`, and returns the momentum."""
        momentum = self.momentum_of(variable)
        momentum.assign(tf.constant(self.momentum, variable.dtype) * momentum + gradient)
        return momentum

    def rate_of(self, variable: tf.Variable) -> tf.Tensor:
        """The learning rate of `variable`."""
        return tf.cast(self.learning_rate, variable.dtype)

    def get_config(self):
        return super().get_config() | {
            "learning_rate": self._serialize_hyperparameter(self._learning_rate),
            "momentum": self.momentum,
            "weight_decay": self.coupled_weight_decay,
        }


def require_rate(learning_rate: Any) -> None:
    """Raises `TostError` for a learning rate that is a number, and negative or not finite."""
    if isinstance(learning_rate, numbers.Real):
        require_number("learning_rate", learning_rate, minimum=0)
