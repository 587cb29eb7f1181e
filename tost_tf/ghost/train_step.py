"""A training step of a model with two views."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tost_tf.compat import keras, tf
from tost_tf.compat.optimizers import gradients_by
from tost_tf.ghost.share import share_of_batch


def train_step(model: keras.Model, data: Any, step_of_keras: Callable[[Any], dict], compact: bool) -> dict:
    """Keras's step, or where that does not do, one like it.

    Its loss is also right if a batch cannot be split evenly among devices; it is taken at weights that an optimizer
    moves (`ascend`); and weights of which nothing is left to compute with have a gradient of zero.

    Args:
      model: compiled.
      data: inputs, labels and weights, as Keras gives them to `train_step`.
      step_of_keras: `train_step` of the class above.
      compact: whether dead channels are left out of the step.
    """
    several = model.distribute_strategy.num_replicas_in_sync > 1
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    ascends = getattr(optimizer, "ascends", False)
    if not (several or ascends or compact):
        return step_of_keras(data)
    images, labels, weights = keras.utils.unpack_x_y_sample_weight(data)
    variables = model.trainable_variables
    before = optimizer.ascend(variables) if ascends else None
    with tf.GradientTape() as tape:
        outputs = model(images, training=True)
        loss = model.compute_loss(images, labels, outputs, weights)
        if several:
            loss *= tf.cast(share_of_batch(tf.shape(tf.nest.flatten(images)[0])[0]), loss.dtype)
    gradients = gradients_by(model.optimizer, loss, variables, tape)
    for variable, value in zip(variables, before or (), strict=False):
        variable.assign(value)
    if compact:
        gradients = [(tf.zeros_like(weight) if grad is None else grad, weight) for grad, weight in gradients]
    model.optimizer.apply_gradients(gradients)
    return model.compute_metrics(images, labels, outputs, weights)
