"""The state of Keras's optimizers, of today's kind and of the legacy kind."""

from __future__ import annotations

import importlib

from tost_tf.compat import keras, tf


def variable_key(optimizer: keras.optimizers.Optimizer, variable: tf.Variable) -> str:
    """The key of a variable in a Keras optimizer; it is the same for the copies of a variable on several devices."""
    return optimizer._var_key(variable)


def variable_index(optimizer: keras.optimizers.Optimizer, variable: tf.Variable) -> int | None:
    """The index of a variable in the list a Keras optimizer was built for, `None` if it is not in the list."""
    return optimizer._index_dict.get(optimizer._var_key(variable))


def slot_lists(optimizer: keras.optimizers.Optimizer) -> list[list[tf.Variable]]:
    """The lists in which a Keras optimizer keeps state, one place for each variable it was built for."""
    lists = (value for value in vars(optimizer).values() if isinstance(value, list | tuple))
    count = len(optimizer._index_dict)
    return [
        list(value)
        for value in lists
        if len(value) == count
        and value is not optimizer._variables
        and all(slot is None or isinstance(slot, tf.Variable) for slot in value)
    ]


def build_optimizer(optimizer: keras.optimizers.Optimizer, variables: list[tf.Variable]) -> None:
    """Makes the state of an optimizer for all these variables, unless it has its state already."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    if isinstance(inner, keras.optimizers.Optimizer) and not getattr(inner, "_built", False):
        optimizer.build(variables)


def gradients_by(
    optimizer: keras.optimizers.Optimizer, loss: tf.Tensor, variables: list[tf.Variable], tape: tf.GradientTape
) -> list[tuple[tf.Tensor | None, tf.Variable]]:
    """The gradients as an optimizer takes them, scaled losses taken into account; it may be of the legacy kind."""
    if isinstance(optimizer, keras.optimizers.legacy.Optimizer):
        return optimizer._compute_gradients(loss, variables, tape=tape)
    return optimizer.compute_gradients(loss, variables, tape=tape)


def optimizer_key(variable: tf.Variable) -> str:
    """By what an optimizer of the legacy kind knows a variable."""
    return importlib.import_module("tf_keras.src.optimizers.legacy.optimizer_v2")._var_key(variable)


def legacy_slots(optimizer: keras.optimizers.legacy.Optimizer, variable: tf.Variable) -> list[tf.Variable]:
    """The state of an optimizer of the legacy kind for `variable`, as far as there is some yet."""
    slots = optimizer._slots.get(optimizer_key(variable), {})
    return [slots[name] for name in optimizer.get_slot_names() if name in slots]


def build_legacy(optimizer: keras.optimizers.legacy.Optimizer, variables: list[tf.Variable]) -> None:
    """Makes the state of an optimizer of the legacy kind."""
    optimizer._create_all_weights(variables)
