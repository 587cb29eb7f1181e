"""SGD with a step length on each kernel that is a fixed fraction of the kernel's norm."""

from __future__ import annotations

import re
from collections.abc import Iterable

from tost_tf.compat import tf
from tost_tf.compat.optimizers import variable_key
from tost_tf.errors import TostError, first_of
from tost_tf.ranges import require_expression, require_number
from tost_tf.training.optimizer import CoupledSGD

KERNELS = ("kernel", "depthwise_kernel", "pointwise_kernel")


class RelativeStepSGD(CoupledSGD):
    """SGD that takes the direction of a kernel's step from a subclass, and its length from the kernel.

    For a kernel the step is

        weight -= learning_rate * |weight| * d / |d|,  d = mask * direction(momentum)

    with Frobenius norms of the kept weights, so pruned weights do not change. The momentum is that of `CoupledSGD`. It
    includes the L2 penalty unless the subclass leaves it out (`penalised`); the penalty changes the direction of a
    step, never its length. If the subclass `keeps_norm`, the kernel is then scaled to the norm it had before the step.
    `CoupledSGD`'s step is taken instead if the gradient of a kernel is zero everywhere (the
    direction would come from the penalty only) or if the kernel is (it could never leave zero).

    Kernels are the weights of convolutions and Dense layers, recognised by the names Keras gives them ("kernel",
    "depthwise_kernel", "pointwise_kernel"). All other weights (biases, BatchNormalization, embeddings, ...) and the
    kernel of the classifier are trained as by `CoupledSGD`, with `sgd_learning_rate_ratio * learning_rate`.

    Args:
      learning_rate: the length of a step as a fraction of the kernel's norm: a number or a schedule.
      momentum: in [0, 1).
      nesterov: whether the direction is that of gradient + momentum · m (Nesterov momentum).
      weight_decay: the L2 factor, at least 0.
      exclude_layers: a regular expression or several; a kernel is trained as by `CoupledSGD` if one of them is found in
        its name ("fixed_mask_logits/kernel:0"). By default the last kernel with two axes is excluded, the classifier's,
        or the last of all where no kernel has two axes.
      sgd_learning_rate_ratio: the factor of the learning rate for weights trained as by `CoupledSGD`, above 0.
      name: of the optimizer.
      **kwargs: as for any Keras optimizer.

    Raises:
      TostError: a number is out of range; when the first step is taken, an expression is in the name of no kernel.
    """

    trains_factors = False  # the length of a step is that of the kernel
    keeps_norm = False

    def __init__(
        self,
        learning_rate: float = 0.05,
        momentum: float = 0.9,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        exclude_layers: str | Iterable[str] | None = None,
        sgd_learning_rate_ratio: float = 2.0,
        name: str = "RelativeStepSGD",
        **kwargs,
    ):
        super().__init__(learning_rate, momentum, weight_decay, name, **kwargs)
        if not isinstance(nesterov, bool):
            raise TostError(f"nesterov is {nesterov!r}, it must be True or False")
        require_number("sgd_learning_rate_ratio", sgd_learning_rate_ratio, above=0)
        self.nesterov = nesterov
        given = (exclude_layers,) if isinstance(exclude_layers, str) else exclude_layers
        self.exclude_layers = None if given is None else tuple(given)
        for expression in self.exclude_layers or ():
            require_expression("exclude_layers", expression)
        self.sgd_learning_rate_ratio = sgd_learning_rate_ratio
        self._excluded: frozenset[int] | None = None  # indices in the list of variables

    def create_slots(self, var_list):
        super().create_slots(var_list)
        kernels = {place: variable for place, variable in enumerate(var_list) if _is_kernel(variable)}
        # In a model that Keras loads, every kernel is called just "kernel"; then the saved exclusions are used.
        named = all("/" in variable.name for variable in kernels.values())
        if named or self._excluded is None:
            self._excluded = self._excluded_of(kernels)
        self._relative = frozenset(
            variable_key(self, variable) for place, variable in kernels.items() if place not in self._excluded
        )

    def _excluded_of(self, kernels: dict[int, tf.Variable]) -> frozenset[int]:
        if self.exclude_layers is None:
            matrices = [place for place, variable in kernels.items() if variable.shape.rank == 2]
            return frozenset((matrices or list(kernels))[-1:])
        names = {place: variable.name for place, variable in kernels.items()}
        for pattern in self.exclude_layers:
            if not any(re.search(pattern, name) for name in names.values()):
                known = first_of(list(names.values()))
                raise TostError(f"exclude_layers has {pattern!r}, which is in the name of no kernel: they are {known}")
        return frozenset(
            place for place, name in names.items() if any(re.search(pattern, name) for pattern in self.exclude_layers)
        )

    def takes_relative_steps(self, variable: tf.Variable) -> bool:
        """Whether the step on `variable` is a fraction of its norm."""
        return variable_key(self, variable) in self._relative

    def rate_of(self, variable):
        return tf.constant(self.sgd_learning_rate_ratio, variable.dtype) * super().rate_of(variable)

    def penalised(self, gradient: tf.Tensor, variable: tf.Variable) -> tf.Tensor:
        """The gradient that is added to the momentum of a kernel."""
        return self.with_penalty(gradient, variable)

    def direction(self, momentum: tf.Tensor, variable: tf.Variable) -> tf.Tensor:
        """The direction of a step, of the shape of the momentum, which is not zero; its length does not matter."""
        raise NotImplementedError

    def step(self, gradient, variable):
        if not self.takes_relative_steps(variable):
            super().step(gradient, variable)
            return
        penalised = self.penalised(gradient, variable)
        momentum = tf.convert_to_tensor(self.accumulated(penalised, variable))
        ahead = penalised + tf.constant(self.momentum, variable.dtype) * momentum if self.nesterov else momentum
        direction = self.masked(self.direction(ahead, variable), variable)
        norm, length = tf.norm(self.masked(variable, variable)), tf.norm(direction)
        scale = tf.cast(self.learning_rate, variable.dtype) * tf.math.divide_no_nan(norm, length)
        usable = tf.reduce_any(tf.not_equal(gradient, 0)) & tf.not_equal(norm, 0) & tf.not_equal(length, 0)
        change = scale * direction
        if self.keeps_norm:
            stepped = variable - change
            stepped *= tf.math.divide_no_nan(norm, tf.norm(self.masked(stepped, variable)))
            change = self.masked(variable - stepped, variable)
        plain = self.rate_of(variable) * self.masked(momentum, variable)
        variable.assign_sub(tf.where(usable, change, plain))

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
        arguments = {name: value for name, value in config.items() if name != "excluded"}
        optimizer = super().from_config(arguments, custom_objects)
        optimizer._excluded = None if excluded is None else frozenset(excluded)
        return optimizer


def _is_kernel(variable: tf.Variable) -> bool:
    last = variable.name.rpartition("/")[2].split(":")[0]
    return variable.shape.rank >= 2 and last in KERNELS
