"""The loss of a batch as a sum over its examples: cross-entropy of a classifier, or any loss of Keras."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tost_tf.compat import keras, tf
from tost_tf.graph.batches import scalar_loss
from tost_tf.graph.logits import to_logits

SummedLoss = Callable[[Any, Any], "tf.Tensor"]  # labels, outputs of the model


def summed_loss(model: keras.Model, loss: str | Callable | None = None, temperature: float = 1.0) -> SummedLoss:
    """From labels and outputs of `model` to the sum of the examples' losses.

    Args:
      model: gives the outputs; without `loss` a classifier, whose labels are one-hot.
      loss: any loss of Keras; by default the cross-entropy.
      temperature: logits are divided by it in the cross-entropy.
    """
    if loss is not None:
        mean = scalar_loss(loss)

        def summed(labels: Any, outputs: Any) -> tf.Tensor:
            value = mean(labels, outputs)
            return value * tf.cast(tf.shape(tf.nest.flatten(outputs)[0])[0], value.dtype)

        return summed
    as_logits = to_logits(model)
    return lambda labels, outputs: tf.reduce_sum(
        tf.nn.softmax_cross_entropy_with_logits(labels, as_logits(outputs) / temperature)
    )
