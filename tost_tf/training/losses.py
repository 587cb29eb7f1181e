"""The losses of training."""

from __future__ import annotations

from tost_tf.compat import keras, tf


def cross_entropy(label_smoothing: float = 0.0) -> keras.losses.Loss:
    """Cross-entropy of logits against one-hot labels smoothed to y(1-a) + a/K (ToST, Section 2.3).

    The authors' released code distributes a over the K-1 wrong classes instead; here the paper's formula is used.

    Args:
      label_smoothing: the smoothing a, in [0, 1).
    """
    return keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=label_smoothing)


def soft_loss(teacher: tf.Tensor, student: tf.Tensor, temperature: float) -> tf.Tensor:
    """T²·KL(softmax(teacher/T) || softmax(student/T)) of logits, [..., classes], for each example: [...].

    After Hinton et al. 2015; T² keeps the gradient's size for large T.
    """
    target = tf.nn.log_softmax(teacher / temperature)
    divergence = tf.reduce_sum(tf.exp(target) * (target - tf.nn.log_softmax(student / temperature)), axis=-1)
    return temperature**2 * divergence


@keras.utils.register_keras_serializable("tost_tf")
class Distillation(keras.losses.Loss):
    """(1-w)·CE(y, student) + w·`soft_loss`(teacher, student), the loss of a KD ticket.

    "Spending Your Winning Lottery Better After Drawing It" (Jaiswal et al. 2021; its first version is "Good Students
    Play Big Lottery Better", Ma et al. 2021).

    Args:
      weight: w, in [0, 1].
      temperature: T, above 0.
      label_smoothing: of the labels of the first term, as in `cross_entropy`.

    The call takes one-hot labels and the teacher's logits concatenated, [batch, 2·classes], and the student's logits,
    [batch, classes].
    """

    def __init__(
        self, weight: float, temperature: float, label_smoothing: float = 0.0, name: str = "distillation", **kwargs
    ):
        super().__init__(name=name, **kwargs)
        self.weight, self.temperature, self.label_smoothing = weight, temperature, label_smoothing

    def call(self, y_true, y_pred):
        labels, teacher = tf.split(tf.cast(y_true, y_pred.dtype), 2, axis=-1)
        hard = keras.losses.categorical_crossentropy(
            labels, y_pred, from_logits=True, label_smoothing=self.label_smoothing
        )
        return (1 - self.weight) * hard + self.weight * soft_loss(teacher, y_pred, self.temperature)

    def get_config(self):
        config = {"weight": self.weight, "temperature": self.temperature, "label_smoothing": self.label_smoothing}
        return super().get_config() | config
