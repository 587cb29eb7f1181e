"""SGD as PyTorch does it, with which the paper's numbers were made."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from tost_tf.compat import keras, tf, variable_index, variable_key


@dataclasses.dataclass(frozen=True)
class _Masked:
    """Masks by the id of their kernel and by Keras's key of it; an object, which no checkpoint looks into."""

    masks: dict[int, tf.Variable]
    by_key: dict[str, tf.Variable] = dataclasses.field(default_factory=dict)


@keras.utils.register_keras_serializable("tost_tf")
class CoupledSGD(keras.optimizers.Optimizer):
    """SGD with momentum and L2 penalty as in `torch.optim.SGD`.

    The penalty is added to the gradient of every trainable weight, BatchNormalization included, before the momentum
    (coupled); the learning rate multiplies the momentum when it is used, not when it is gathered, so that a drop of
    the learning rate takes effect at once. In float64 all three numbers are exact:

        gradient += weight_decay * weight;  m = momentum * m + gradient;  weight -= learning_rate * m

    Args:
      learning_rate: a number or a schedule.
      momentum: in [0, 1).
      weight_decay: the L2 factor, at least 0.
      name: of the optimizer.
      **kwargs: as for any Keras optimizer.
    """

    def __init__(
        self,
        learning_rate: float = 0.1,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        name: str = "CoupledSGD",
        jit_compile: bool = False,
        **kwargs,
    ):
        # Keras's own weight_decay is decoupled: it stays off.
        super().__init__(name=name, jit_compile=jit_compile, **kwargs)
        self._learning_rate = self._build_learning_rate(learning_rate)
        self._first_learning_rate = learning_rate
        self.momentum = momentum
        self.coupled_weight_decay = weight_decay
        self._masked = _Masked({})

    def keep_gradients(self, masks: Iterable[tuple[tf.Variable, tf.Variable]]) -> None:
        """Keeps the last gradient of some kernels as it comes, dense and without the L2 penalty, and masks it then.

        To be called before the optimizer is built.

        Args:
          masks: kernel and mask, 1 = kept, of each of them.
        """
        self._masked = _Masked({id(kernel): mask for kernel, mask in masks})

    def build(self, var_list):
        super().build(var_list)
        if getattr(self, "_built", False):
            return
        if any(variable.dtype == tf.float64 for variable in var_list):
            self._use_exact_learning_rate()
        self.momentums = [self.add_variable_from_reference(variable, "momentum") for variable in var_list]
        kept = [variable for variable in var_list if id(variable) in self._masked.masks]
        self._gradient_index = {variable_key(self, variable): index for index, variable in enumerate(kept)}
        self._masked.by_key.update(
            {variable_key(self, variable): self._masked.masks[id(variable)] for variable in kept}
        )
        self.gradients = [self.add_variable_from_reference(variable, "gradient") for variable in kept]
        self._built = True

    @property
    def keeps_gradients(self) -> bool:
        """Whether gradients are kept, of any kernel."""
        return bool(self._masked.masks)

    def _use_exact_learning_rate(self) -> None:
        """Keras keeps a learning rate in its default type: float32 would round it for weights in float64."""
        rate = self._learning_rate
        if not isinstance(rate, tf.Variable) or rate.dtype == tf.float64:
            return
        now, first = float(rate.numpy()), self._first_learning_rate
        with tf.init_scope():
            value = first if now == float(tf.constant(first, rate.dtype).numpy()) else now
            self._learning_rate = tf.Variable(value, name="learning_rate", dtype=tf.float64, trainable=False)

    def trains(self, variable: tf.Variable) -> bool:
        """Whether it was built for `variable`."""
        return variable_index(self, variable) is not None

    def momentum_of(self, variable: tf.Variable) -> tf.Variable:
        """The momentum of `variable`."""
        return self.momentums[variable_index(self, variable)]

    def gradient_of(self, variable: tf.Variable) -> tf.Variable:
        """The last gradient of a kernel whose gradients are kept."""
        return self.gradients[self._gradient_index[variable_key(self, variable)]]

    def update_step(self, gradient, variable):
        gradient = tf.convert_to_tensor(gradient)  # that of an embedding is sparse
        key = variable_key(self, variable)
        if key in self._gradient_index:
            index, mask = self._gradient_index[key], self._masked.by_key[key]
            self.gradients[index].assign(gradient)
            gradient = tf.where(mask > 0, gradient, tf.zeros_like(gradient))
        # A cast would round the numbers to float32 first.
        gradient += tf.constant(self.coupled_weight_decay, variable.dtype) * variable
        momentum = self.momentum_of(variable)
        momentum.assign(tf.constant(self.momentum, variable.dtype) * momentum + gradient)
        variable.assign_sub(tf.cast(self.learning_rate, variable.dtype) * momentum)

    def get_config(self):
        return super().get_config() | {
            "learning_rate": self._serialize_hyperparameter(self._learning_rate),
            "momentum": self.momentum,
            "weight_decay": self.coupled_weight_decay,
        }
