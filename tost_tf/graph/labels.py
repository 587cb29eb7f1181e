"""Labels of a classifier, one-hot."""

from __future__ import annotations

import numpy as np

from tost_tf.compat import tf
from tost_tf.errors import TostError


def one_hot(labels: tf.Tensor | np.ndarray, classes: int) -> tf.Tensor | np.ndarray:
    """Labels as [examples, classes]: integers become one-hot float32, labels of this shape are returned unchanged.

    Args:
      labels: [examples, classes], or integers in [0, classes) of shape [examples] or [examples, 1].
      classes: the number of classes.

    Raises:
      TostError: labels of another shape, or numbers out of range.
    """
    if classes == 1:
        raise TostError(
            "the model has one logit, and the default loss is for classes that each have one: give "
            "loss=tf_keras.losses.BinaryCrossentropy(from_logits=True)"
        )
    array = np.asarray(labels)
    if array.ndim == 2 and array.shape[1] == classes:
        return labels
    whole = np.issubdtype(array.dtype, np.integer)
    if not whole or array.ndim not in (1, 2) or (array.ndim == 2 and array.shape[1] != 1):
        raise TostError(
            f"labels of shape {list(array.shape)} and type {array.dtype} do not fit {classes} classes: give one-hot "
            f"labels [examples, {classes}], or whole numbers from 0 to {classes - 1}, [examples]"
        )
    numbers = array.reshape(-1)
    wrong = numbers[(numbers < 0) | (numbers >= classes)]
    if wrong.size:
        raise TostError(f"a label is {wrong[0]}, the model has {classes} classes: labels count from 0 to {classes - 1}")
    return tf.one_hot(numbers, classes)
