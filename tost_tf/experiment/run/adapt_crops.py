"""The callback that lets crops follow how far the network overfits."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tost_tf.compat import keras, tf
from tost_tf.data.adaptive_crops import crop_probability, epochs_ahead
from tost_tf.data.images import ImageData
from tost_tf.data.pipeline import evaluation_batches


class AdaptCrops(keras.callbacks.Callback):
    """Sets how likely images of later epochs are to be cropped, by the gap in accuracy after each epoch.

    Adds to the logs of an epoch `crop_probability`, with which its images were cropped, and `clean_accuracy`, that on
    as many training images as there are held-out ones, not augmented. The gap after an epoch decides on the first epoch
    of which no image can have been drawn yet; before, no image is cropped. So it does not depend on how far ahead
    images are drawn.

    Args:
      probabilities: those of each epoch, from `no_crops`, which the pipeline reads.
      data: the dataset.
      steps: the number of steps of an epoch.
      rows: those of `metrics.csv` of the epochs that are done.
      as_validated: a context in which the model has the weights that are validated.
    """

    def __init__(
        self,
        probabilities: tf.Variable,
        data: ImageData,
        steps: int,
        rows: Sequence[Mapping[str, float]] = (),
        as_validated: Callable[[], contextlib.AbstractContextManager] = contextlib.nullcontext,
    ):
        super().__init__()
        self.probabilities = probabilities
        self._ahead, self._as_validated = epochs_ahead(steps), as_validated
        count = min(len(data.train), len(data.validation))
        self._batches = evaluation_batches(data, data.train.take(evenly_spaced(len(data.train), count)))
        for epoch, row in enumerate(rows):
            self._decide(epoch, row["clean_accuracy"] - row["val_accuracy"])

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        with self._as_validated():
            clean = self.model.evaluate(self._batches, verbose=0, return_dict=True)["accuracy"]
        logs["clean_accuracy"] = float(clean)
        logs["crop_probability"] = float(self.probabilities[epoch])
        self._decide(epoch, logs["clean_accuracy"] - float(logs["val_accuracy"]))

    def _decide(self, epoch: int, gap: float) -> None:
        later = epoch + 1 + self._ahead
        if later < self.probabilities.shape[0]:
            self.probabilities.scatter_nd_update([[later]], [crop_probability(gap)])


def no_crops(epochs: int) -> tf.Variable:
    """A variable for the probability of each epoch, zeros: float32 [epochs].

    To be made outside of a strategy's scope: the pipeline, which is on the CPU, reads it.
    """
    with tf.device("CPU"):
        return tf.Variable(tf.zeros(epochs), trainable=False, name="crop_probabilities")


def evenly_spaced(size: int, count: int) -> np.ndarray:
    """`count` of the numbers below `size`, as images of a folder are in the order of their classes."""
    return np.arange(count) * size // count
