"""The loss of the plain view of a network while it still has ghosts."""

from __future__ import annotations

import numpy as np

from tost_tf.compat import keras
from tost_tf.graph.copy import copy_layer
from tost_tf.graph.noise import noise_off
from tost_tf.graph.rebuild import rebuild


class PlainLoss:
    """The cross-entropy of a `GhostModel`'s plain view on one batch of held-out images.

    BatchNormalization uses the statistics of the batch, since its moving statistics belong to the view with ghosts;
    dropout and noise are off. The model is not changed: a copy computes the loss.

    Args:
      plain: the plain view, whose outputs are logits.
      images: preprocessed for the network.
      labels: one-hot, [batch, classes].
    """

    def __init__(self, plain: keras.Model, images: np.ndarray, labels: np.ndarray):
        self._plain, self._images, self._labels = plain, images, labels
        self._copy = rebuild(plain, copy_layer)

    def __call__(self) -> float:
        self._copy.set_weights(self._plain.get_weights())
        with noise_off(self._copy):
            logits = self._copy(self._images, training=True)
        # A function, as Keras lets no loss average over a batch in the scope of a strategy.
        return float(np.mean(keras.losses.categorical_crossentropy(self._labels, logits, from_logits=True)))
