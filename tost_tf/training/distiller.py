"""A model that learns from a teacher too, with any loss and optimizer of Keras."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from tost_tf.compat import keras, tf
from tost_tf.errors import TostError
from tost_tf.ghost.kinds import Kind
from tost_tf.ghost.model import GhostModel
from tost_tf.graph.logits import classes_of, to_logits
from tost_tf.ranges import require_number
from tost_tf.training.losses import soft_loss

Teacher = Callable[[Any], tf.Tensor]


class Distiller(GhostModel):
    """Its loss is (1-w)·L + w·T²·KL(softmax(teacher/T) || softmax(student/T)), L being what it is compiled with.

    After Hinton et al. 2015. A `GhostModel` but for its loss: it is compiled, fitted, faded by a `GhostSchedule` and
    stripped like one. Penalties on weights count whole. The teacher sees what the student sees in training, and is no
    part of the model: no weight of it is trained, saved or counted.

    Args:
      model: a `GhostModel`, whose layers and ghosts are taken over, or a functional or Sequential tf_keras model.
      teacher: a tf_keras model, or a function from inputs to logits.
      weight: w, in [0, 1].
      temperature: T, above 0.
      neurons, skips: as for `GhostModel`, where `model` is none; by default it has no ghosts.
      **kwargs: as for `GhostModel`.

    Raises:
      TostError: a value is out of range, the teacher is no function, or it has other classes.

    Examples:
      >>> teacher = keras.models.clone_model(model)  # a trained one, in earnest
      >>> student = tost.Distiller(tost.sparsify(model, sparsity=0.9), teacher, weight=0.7)
      >>> student.compile("sgd", loss)
      >>> history = student.fit(images, labels, verbose=0)
      >>> final = tost.strip(student)
    """

    def __init__(
        self,
        model: keras.Model,
        teacher: keras.Model | Teacher,
        *,
        weight: float = 0.9,
        temperature: float = 4.0,
        neurons: Kind = "none",
        skips: Kind = "none",
        **kwargs: Any,
    ):
        if not callable(teacher):
            raise TostError(
                f"a teacher is a tf_keras model or a function from inputs to logits, got {type(teacher).__name__}"
            )
        require_number("weight", weight, minimum=0, maximum=1)
        require_number("temperature", temperature, above=0)
        ghosted = isinstance(model, GhostModel)
        options = model.arguments() if ghosted else {"neurons": neurons, "skips": skips}
        super().__init__(model.plain if ghosted else model, **(options | kwargs))
        if ghosted:
            self.set_weights(model.get_weights())
        # In functions, which Keras does not look into for weights.
        is_model = isinstance(teacher, keras.Model)
        as_logits = to_logits(teacher) if is_model else tf.identity
        model_or_function: Any = teacher
        if isinstance(teacher, keras.Model) and classes_of(teacher) != classes_of(self.plain):
            counts = f"{classes_of(teacher)} classes, the student {classes_of(self.plain)}"
            raise TostError(f"the teacher {teacher.name} has {counts}: they must have the same")
        call = functools.partial(model_or_function, training=False) if is_model else model_or_function
        self._teacher = lambda inputs: as_logits(call(inputs))
        self._student_logits = to_logits(self.plain)
        self.weight, self.temperature = weight, temperature

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None):
        hard = super().compute_loss(x, y, y_pred, sample_weight)
        penalties = tf.add_n([tf.zeros_like(hard), *(tf.cast(loss, hard.dtype) for loss in self.losses)])
        replicas = self.distribute_strategy.num_replicas_in_sync  # by which Keras has divided its loss
        soft = tf.cast(self._divergence(x, y_pred, sample_weight), hard.dtype) / replicas
        return (1 - self.weight) * hard + self.weight * (penalties / replicas + soft)

    def _divergence(self, inputs: Any, outputs: tf.Tensor, weights: tf.Tensor | None) -> tf.Tensor:
        """T²·KL, the mean over the examples, each times its weight."""
        logits = tf.cast(self._student_logits(outputs), tf.float32)
        target = tf.stop_gradient(tf.cast(self._teacher(inputs), tf.float32))
        divergences = soft_loss(target, logits, self.temperature)
        if weights is not None:
            divergences *= tf.reshape(tf.cast(weights, tf.float32), (-1, *(1,) * (divergences.shape.rank - 1)))
        return tf.reduce_mean(divergences)

    def get_config(self):
        raise TostError(
            f"{self.name} has a teacher, which is in no file: save its weights, or what tost_tf.strip gives"
        )
