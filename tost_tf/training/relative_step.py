"""SGD whose step on a kernel is a fixed share of the kernel's norm."""

from __future__ import annotations

import re
from collections.abc import Iterable

from tost_tf.compat import tf, variable_key
from tost_tf.training.optimizer import CoupledSGD

KERNELS = ("kernel", "depthwise_kernel", "pointwise_kernel")


class RelativeStepSGD(CoupledSGD):
    """SGD that takes the direction of a kernel's step from a subclass, and its length from the kernel.

    For a kernel the step is

        weight -= learning_rate * |weight| * d / |d|,  d = mask * direction(momentum)

    where the norms are Frobenius norms of the kept weights; so pruned weights stay exactly as they are. The momentum is
    that of `CoupledSGD`, with the L2 penalty in it unless the subclass leaves it out (`penalised`): the penalty changes
    the step's direction, never its length. A kernel that got no gradient at all in a step, or is zero everywhere, takes
    the step of `CoupledSGD` instead: the
    direction of the one would be the penalty's alone, the other could never leave zero.

    Kernels are the weights of convolutions and Dense layers, known by their names, as Keras gives them ("kernel",
    "depthwise_kernel", "pointwise_kernel"). All other weights, such as biases, those of BatchNormalization and
    embeddings, and the kernels of the classifier are trained as by `CoupledSGD`, with
    `sgd_learning_rate_ratio * learning_rate`.

    Args:
      learning_rate: the share of a kernel's norm that a step is long: a number or a schedule.
      momentum: in [0, 1).
      nesterov: whether the direction is that of gradient + momentum · m, as Nesterov's.
      weight_decay: the L2 factor, at least 0.
      exclude_layers: regular expressions; a kernel is trained as by `CoupledSGD` where one of them is found in its name
        ("fixed_mask_logits/kernel:0"). By default the last kernel with two axes, which is the classifier's in a network
        that ends with a Dense layer.
      sgd_learning_rate_ratio: what the learning rate is multiplied by where the step is that of `CoupledSGD`, above 0.
      name: of the optimizer.
      **kwargs: as for any Keras optimizer.
    """

    def __init__(
        self,
        learning_rate: float = 0.05,
        momentum: float = 0.9,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        exclude_layers: Iterable[str] | None = None,
        sgd_learning_rate_ratio: float = 2.0,
        name: str = "RelativeStepSGD",
        **kwargs,
    ):
        super().__init__(learning_rate, momentum, weight_decay, name, **kwargs)
        self.nesterov = nesterov
        self.exclude_layers = None if exclude_layers is None else tuple(exclude_layers)
        self.sgd_learning_rate_ratio = sgd_learning_rate_ratio
        self._excluded: frozenset[int] | None = None  # places in the list of variables

    def create_slots(self, var_list):
        super().create_slots(var_list)
        kernels = {place: variable for place, variable in enumerate(var_list) if _is_kernel(variable)}
        # Keras loads models with kernels that are called "kernel" only: then it is those excluded when it was saved.
        named = all("/" in variable.name for variable in kernels.values())
        if named or self._excluded is None:
            self._excluded = self._excluded_of(kernels)
        self._relative = frozenset(
            variable_key(self, variable) for place, variable in kernels.items() if place not in self._excluded
        )

    def _excluded_of(self, kernels: dict[int, tf.Variable]) -> frozenset[int]:
        if self.exclude_layers is None:
            return frozenset([place for place, variable in kernels.items() if variable.shape.rank == 2][-1:])
        names = {place: variable.name for place, variable in kernels.items()}
        return frozenset(
            place for place, name in names.items() if any(re.search(pattern, name) for pattern in self.exclude_layers)
        )

    def takes_relative_steps(self, variable: tf.Variable) -> bool:
        """Whether the step on `variable` is a fraction of its norm."""
        return variable_key(self, variable) in self._relative

    def rate_of(self, variable):
        return tf.constant(self.sgd_learning_rate_ratio, variable.dtype) * super().rate_of(variable)

    def penalised(self, gradient: tf.Tensor, variable: tf.Variable) -> tf.Tensor:
        """What the momentum of a kernel gathers."""
        return self.with_penalty(gradient, variable)

    def direction(self, momentum: tf.Tensor, variable: tf.Variable) -> tf.Tensor:
        """Where a step goes, for a momentum of the same shape that is not zero; its length does not matter."""
        raise NotImplementedError

    def step(self, gradient, variable):
        if not self.takes_relative_steps(variable):
            super().step(gradient, variable)
            return
        penalised = self.penalised(gradient, variable)
        momentum = tf.convert_to_tensor(self.gathered(penalised, variable))
        ahead = penalised + tf.constant(self.momentum, variable.dtype) * momentum if self.nesterov else momentum
        direction = self.masked(self.direction(ahead, variable), variable)
        norm, length = tf.norm(self.masked(variable, variable)), tf.norm(direction)
        share = tf.cast(self.learning_rate, variable.dtype) * tf.math.divide_no_nan(norm, length)
        usable = tf.reduce_any(tf.not_equal(gradient, 0)) & tf.not_equal(norm, 0) & tf.not_equal(length, 0)
        plain = self.rate_of(variable) * self.masked(momentum, variable)
        variable.assign_sub(tf.where(usable, share * direction, plain))

    def get_config(self):
        return super().get_config() | {
            "nesterov": self.nesterov,
            "exclude_layers": None if self.exclude_layers is None else list(self.exclude_layers),
            "sgd_learning_rate_ratio": self.sgd_learning_rate_ratio,
            "excluded": None if self._excluded is None else sorted(self._excluded),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        excluded = config.get("excluded")
        own = {name: value for name, value in config.items() if name != "excluded"}
        optimizer = super().from_config(own, custom_objects)
        optimizer._excluded = None if excluded is None else frozenset(excluded)
        return optimizer


def _is_kernel(variable: tf.Variable) -> bool:
    last = variable.name.rpartition("/")[2].split(":")[0]
    return variable.shape.rank >= 2 and last in KERNELS
