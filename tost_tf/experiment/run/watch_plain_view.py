"""The callback that detects whether the network has become dependent on its ghosts."""

from __future__ import annotations

import logging
import math

import numpy as np

from tost_tf.compat import keras
from tost_tf.ghost.plain_loss import PlainLoss

LEARNED = 0.5  # below this fraction of the loss of a guess, the view with ghosts has learned something


class WatchPlainView(keras.callbacks.Callback):
    """Adds `plain_loss` to the logs of each epoch with ghosts: the loss of the network without them on held-out images.

    If the network has learned with its ghosts but would be worse than a guess without them, it depends on them and will
    lose accuracy when they end: then a warning is logged once.

    Args:
      images: held-out images, preprocessed for the network.
      labels: one-hot, [batch, classes].
      label_smoothing: of the loss in training.
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray, label_smoothing: float = 0.0):
        super().__init__()
        self._images, self._labels, self._label_smoothing = images, labels, label_smoothing
        self._plain_loss: PlainLoss | None = None
        self._has_warned = False

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        if not self.model.ghosts_active:
            self._plain_loss = None
            return
        self._plain_loss = self._plain_loss or PlainLoss(self.model, self._images, self._labels, self._label_smoothing)
        logs["plain_loss"] = self._plain_loss()
        guess = math.log(self._labels.shape[-1])
        if logs["plain_loss"] > guess and logs["loss"] < LEARNED * guess and not self._has_warned:
            self._has_warned = True
            logging.warning(
                "the network depends on its ghosts: after epoch %d the loss is %.3g with them and %.3g without, that "
                "of a guess is %.3g; accuracy will fall when they end",
                epoch + 1,
                logs["loss"],
                logs["plain_loss"],
                guess,
            )
