"""The callback that sees whether ghosts have become load-bearing."""

from __future__ import annotations

import logging
import math

import numpy as np

from tost_tf.compat import keras
from tost_tf.ghost.plain_loss import PlainLoss

LEARNED = 0.5  # the fraction of the loss of a guess below which the view with ghosts has learned something


class WatchPlainView(keras.callbacks.Callback):
    """Adds `plain_loss` to the logs of each epoch with ghosts: the loss on held-out images of the network without them.

    A network that would be worse than a guess without its ghosts, while with
    them it has learned, leans on them and will lose what it has learned when they end: a warning says so, once.

    Args:
      images: held-out ones, as the network takes them.
      labels: one-hot, [batch, classes].
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray):
        super().__init__()
        self._images, self._labels = images, labels
        self._plain_loss: PlainLoss | None = None
        self._has_warned = False

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        if not self.model.ghosts_active:
            self._plain_loss = None
            return
        self._plain_loss = self._plain_loss or PlainLoss(self.model.plain, self._images, self._labels)
        logs["plain_loss"] = self._plain_loss()
        guess = math.log(self._labels.shape[-1])
        if logs["plain_loss"] > guess and logs["loss"] < LEARNED * guess and not self._has_warned:
            self._has_warned = True
            logging.warning(
                "the ghosts have become load-bearing: after epoch %d the loss is %.3g with them and %.3g without, that "
                "of a guess %.3g; accuracy will fall when they end",
                epoch + 1,
                logs["loss"],
                logs["plain_loss"],
                guess,
            )
