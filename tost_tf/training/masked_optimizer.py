"""The base class of all optimizers of this project: it knows the masks of the kernels it trains."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from tost_tf.compat import keras, tf
from tost_tf.compat.optimizers import variable_index, variable_key
from tost_tf.errors import TostError
from tost_tf.masks.wrapper import mask_of
from tost_tf.training.optimizer_tweak import OptimizerTweak


@dataclasses.dataclass(frozen=True)
class _ByKey:
    """Masks, and indices in lists, by Keras's key of a kernel; an object that checkpoints ignore."""

    masks: dict[str, tf.Variable]
    gradients: dict[str, int]
    factors: dict[str, int]


class MaskedOptimizer(keras.optimizers.Optimizer):
    """A Keras optimizer that finds the masks of its kernels itself and never changes pruned weights.

    A subclass has its update rule in `step`, creates its variables in `create_slots`, and returns them in `slots_of`.

    Attributes:
      tweak: changes gradients before each step and weights after it; one that ascends is to be set before the optimizer
        is built, and needs a `GhostModel` (of `neurons="none", skips="none"`, say), whose training step calls `ascend`;
        one that trains factors is to be set before that, too.
      trains_factors: whether `step` may be called for the factors of a kernel instead of the kernel.
    """

    trains_factors = False

    _kept: frozenset[int] = frozenset()
    _kept_places: frozenset[int] = frozenset()  # of those kernels in the list of weights the optimizer is built for
    tweak: OptimizerTweak | None = None  # to be set before a training step is traced

    def keep_gradients(self, kernels: Iterable[tf.Variable]) -> None:
        """Keeps the last gradient of some masked kernels, dense and without any penalty, before it is masked.

        Must be called before the optimizer is built.

        Args:
          kernels: of layers that give pruned weights a gradient.
        """
        self._kept = frozenset(map(id, kernels))

    def build(self, var_list):
        if getattr(self, "_built", False):
            return
        factored = self._factored(var_list)
        self.factors = [
            self.add_variable_from_reference(variable, name)
            for variable in factored
            for name in ("first_factor", "second_factor")
        ]
        super().build([*var_list, *self.factors])
        self.create_slots([*var_list, *self.factors])
        self._kept_places |= {place for place, variable in enumerate(var_list) if id(variable) in self._kept}
        kept = [variable for place, variable in enumerate(var_list) if place in self._kept_places]
        self._by_key = _ByKey(
            {variable_key(self, variable): mask_of(variable) for variable in var_list if mask_of(variable) is not None},
            {variable_key(self, variable): index for index, variable in enumerate(kept)},
            {variable_key(self, variable): 2 * index for index, variable in enumerate(factored)},
        )
        self.gradients = [self.add_variable_from_reference(variable, "gradient") for variable in kept]
        followed = var_list if self.ascends else []
        self.last_gradients = [self.add_variable_from_reference(variable, "last_gradient") for variable in followed]
        self._has_ascended = False
        self._built = True

    def get_config(self):
        config = super().get_config()
        if self._kept_places:
            config["kept_gradients"] = sorted(self._kept_places)
        if self.tweak is not None:
            config["tweak"] = keras.utils.legacy.serialize_keras_object(self.tweak)
        return config

    @classmethod
    def from_config(cls, config, custom_objects=None):
        own = {name: config[name] for name in ("kept_gradients", "tweak") if name in config}
        others = {name: value for name, value in config.items() if name not in own}
        optimizer = super().from_config(others, custom_objects)
        optimizer._kept_places = frozenset(own.get("kept_gradients", ()))
        if "tweak" in own:
            optimizer.tweak = keras.utils.legacy.deserialize_keras_object(own["tweak"], custom_objects=custom_objects)
        return optimizer

    def _factored(self, variables: list[tf.Variable]) -> list[tf.Variable]:
        """Those of the variables that the tweak trains as products."""
        if self.tweak is None or not self.tweak.trains_factors:
            return []
        if not self.trains_factors:
            raise TostError(
                f"{type(self.tweak).__name__} trains two factors instead of each masked kernel, and "
                f"{type(self).__name__} trains only kernels: use CoupledSGD"
            )
        return [variable for variable in variables if mask_of(variable) is not None]

    def create_slots(self, var_list: list[tf.Variable]) -> None:
        """Creates the variables of the rule, such as momenta."""

    def slots_of(self, variable: tf.Variable) -> list[tf.Variable]:
        """The state of the rule for each weight of `variable`; it is set to zero for a weight that grows."""
        raise NotImplementedError

    def state_of(self, variable: tf.Variable) -> list[tf.Variable]:
        """All state for each weight of `variable`: its slots, and its factors with theirs, if it has some."""
        factors = self.factors_of(variable)
        return [*factors, *(slot for part in (variable, *factors) for slot in self.slots_of(part))]

    def factors_of(self, variable: tf.Variable) -> list[tf.Variable]:
        """The two factors that are trained instead of `variable`, or none."""
        index = self._by_key.factors.get(variable_key(self, variable))
        return [] if index is None else self.factors[index : index + 2]

    def step(self, gradient: tf.Tensor, variable: tf.Variable) -> None:
        """Updates `variable` by a gradient that is zero for pruned weights."""
        raise NotImplementedError

    @property
    def ascends(self) -> bool:
        """Whether `ascend` is to be called before each gradient is computed."""
        return self.tweak is not None and self.tweak.ascends

    def ascend(self, variables: list[tf.Variable]) -> list[tf.Tensor]:
        """Moves weights to where their gradients are to be computed, as the tweak says; gives them as they were.

        They must be put back before the gradients are applied.
        """
        with tf.init_scope():
            self.build(variables)  # as Keras does before it applies the first gradients
        self._has_ascended = True
        before = [tf.identity(variable) for variable in variables]
        last = [self.masked(tf.convert_to_tensor(self.last_gradient_of(variable)), variable) for variable in variables]
        for variable, change in zip(variables, self.tweak.ascent(last), strict=True):
            variable.assign_add(change)
        return before

    def last_gradient_of(self, variable: tf.Variable) -> tf.Variable:
        """The gradient along which the next ascent of `variable` is, for a tweak that ascends."""
        return self.last_gradients[variable_index(self, variable)]

    @property
    def keeps_gradients(self) -> bool:
        """Whether gradients of any kernel are kept."""
        return bool(self._kept or self._kept_places)

    def trains(self, variable: tf.Variable) -> bool:
        """Whether the optimizer was built for `variable`."""
        return variable_index(self, variable) is not None

    def gradient_of(self, variable: tf.Variable) -> tf.Variable:
        """The last gradient of a kernel whose gradients are kept."""
        return self.gradients[self._by_key.gradients[variable_key(self, variable)]]

    def masked(self, values: tf.Tensor, variable: tf.Variable) -> tf.Tensor:
        """`values`, of the shape of `variable`, with zeros for pruned weights."""
        mask = self.mask_of(variable)
        return values if mask is None else tf.where(mask > 0, values, tf.zeros_like(values))

    def mask_of(self, variable: tf.Variable) -> tf.Variable | None:
        """The mask of `variable`, which may be its copy on one of several devices."""
        return self._by_key.masks.get(variable_key(self, variable))

    def update_step(self, gradient, variable):
        gradient = tf.convert_to_tensor(gradient)  # the gradient of an embedding is sparse
        if variable_key(self, variable) in self._by_key.gradients:
            self.gradient_of(variable).assign(gradient)
            gradient = self.masked(gradient, variable)
        if self.ascends:
            if not self._has_ascended:
                raise TostError(
                    f"{type(self.tweak).__name__} needs the gradient somewhere else than at the weights: train a "
                    "GhostModel, which sees to that"
                )
            self.last_gradient_of(variable).assign(gradient)
        if self.tweak is None:
            self.step(gradient, variable)
            return
        gradient = self.tweak.gradient(gradient, variable, self.mask_of(variable))
        if self.factors_of(variable):
            self.tweak.take_step(self, gradient, variable)
        else:
            self.step(gradient, variable)
        self.tweak.after_step(gradient, variable, self.learning_rate)
