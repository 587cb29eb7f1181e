"""A model that also learns from a teacher."""

from __future__ import annotations

from collections.abc import Callable

from tost_tf.compat import keras, tf
from tost_tf.ghost.model import GhostModel


class DistilledModel(GhostModel):
    """A `GhostModel` that queries its teacher at every step; compile it with a `Distillation` loss.

    The loss gets the labels and the teacher's logits concatenated, [batch, 2·classes]; metrics get only the labels.
    The teacher sees the same augmented images as the student.

    Args:
      sparse, *args, **kwargs: as for `GhostModel`.
      teacher: a function from the student's images to logits. It is not part of the model: weights, checkpoints and
        exports do not contain it.
    """

    def __init__(self, sparse: keras.Model, *args, teacher: Callable[[tf.Tensor], tf.Tensor], **kwargs):
        super().__init__(sparse, *args, **kwargs)
        self._teacher = teacher

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None):
        return super().compute_loss(x, with_soft_labels(x, y, self._teacher), y_pred, sample_weight)


def with_soft_labels(images: tf.Tensor, labels: tf.Tensor, teacher: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
    """One-hot labels and the teacher's logits concatenated, as the loss `Distillation` takes them."""
    logits = teacher(images)
    return tf.concat([tf.cast(labels, logits.dtype), logits], axis=-1)
