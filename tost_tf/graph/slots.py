"""What any Keras optimizer keeps for each weight."""

from __future__ import annotations

from tost_tf.compat import keras, tf
from tost_tf.compat.optimizers import build_legacy, legacy_slots, slot_lists, variable_index


def slots_of(optimizer: keras.optimizers.Optimizer, variable: tf.Variable) -> list[tf.Variable]:
    """The state of an optimizer for each weight of `variable`, whatever it is called: momenta, moments, averages.

    State of another shape (Adafactor's rows and columns) belongs to no weight alone and is left out.

    Args:
      optimizer: built for `variable`; not a `LossScaleOptimizer`, which has one.
    """
    if hasattr(optimizer, "state_of"):  # a `MaskedOptimizer` says so itself
        return optimizer.state_of(variable)
    if isinstance(optimizer, keras.optimizers.legacy.Optimizer):
        found = legacy_slots(optimizer, variable)
    else:
        index = variable_index(optimizer, variable)
        found = [slots[index] for slots in slot_lists(optimizer)]
    different = {id(slot): slot for slot in found if slot is not None and slot.shape == variable.shape}
    return list(different.values())


def trains(optimizer: keras.optimizers.Optimizer, variable: tf.Variable) -> bool:
    """Whether an optimizer has state for `variable`; one of the legacy kind makes it when it first needs it."""
    if isinstance(optimizer, keras.optimizers.legacy.Optimizer):
        return variable.trainable
    return variable_index(optimizer, variable) is not None


def first_values(optimizer: keras.optimizers.Optimizer, variable: tf.Variable) -> list[float]:
    """What each of `slots_of` is before the first step: mostly zero, and Adagrad's accumulator is not."""
    if hasattr(optimizer, "state_of"):
        return [0.0] * len(slots_of(optimizer, variable))
    one = tf.Variable(tf.zeros([1] * len(variable.shape), variable.dtype))
    fresh = type(optimizer).from_config(optimizer.get_config())
    if isinstance(optimizer, keras.optimizers.legacy.Optimizer):
        build_legacy(fresh, [one])
    else:
        fresh.build([one])
    return [float(slot.numpy().item()) for slot in slots_of(fresh, one)]


def set_to_first_values(optimizer: keras.optimizers.Optimizer, variable: tf.Variable) -> None:
    """Forgets the state for `variable`, if there is any; the optimizer may be a `LossScaleOptimizer`."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    is_legacy = isinstance(inner, keras.optimizers.legacy.Optimizer)
    if not (is_legacy or getattr(inner, "_built", False)) or not trains(inner, variable):
        return
    slots = slots_of(inner, variable)
    for slot, value in zip(slots, first_values(inner, variable) if slots else [], strict=True):
        slot.assign(tf.fill(slot.shape, tf.cast(value, slot.dtype)))
    if getattr(inner, "ascends", False):
        inner.last_gradient_of(variable).assign(tf.zeros_like(variable))
