"""The loss of the plain view of a network while it still has ghosts."""

from __future__ import annotations

import numpy as np

from tost_tf.compat import keras, tf
from tost_tf.ghost.model import GhostModel
from tost_tf.graph.copy import copy_layer
from tost_tf.graph.noise import noise_off
from tost_tf.graph.rebuild import rebuild


class PlainLoss:
    """The cross-entropy of a `GhostModel`'s plain view on one batch of held-out images.

    BatchNormalization uses the statistics of the batch, since its moving statistics belong to the view with ghosts;
    dropout and noise are off. Branches are there, as they are merged when the other ghosts are removed. The model is
    not changed: a copy computes the loss.

    Args:
      model: a `GhostModel`, or a model without ghosts; its outputs are logits.
      images: preprocessed for the network.
      labels: one-hot, [batch, classes].
      label_smoothing: as in the loss that the network is trained and validated with.
    """

    def __init__(self, model: keras.Model, images: np.ndarray, labels: np.ndarray, label_smoothing: float = 0.0):
        self._images, self._labels, self._label_smoothing = images, labels, label_smoothing
        copy = rebuild(getattr(model, "plain", model), copy_layer)
        branches = model.arguments()["branches"] if isinstance(model, GhostModel) else 1
        if branches > 1:
            copy = GhostModel(copy, "none", "none", branches=branches)
        self._copy = copy.ghosted if branches > 1 else copy
        self._weights = list(zip(_weights(copy), _weights(model), strict=True))

    def __call__(self) -> float:
        for mine, theirs in self._weights:
            mine.assign(theirs)
        with noise_off(self._copy):
            logits = self._copy(self._images, training=True)
        # A function, as Keras lets no loss average over a batch in the scope of a strategy.
        losses = keras.losses.categorical_crossentropy(
            self._labels, logits, from_logits=True, label_smoothing=self._label_smoothing
        )
        return float(np.mean(losses))


def _weights(model: keras.Model) -> list[tf.Variable]:
    """Those of the plain view and of the branches."""
    branches = model.branch_layers() if isinstance(model, GhostModel) else []
    return [*getattr(model, "plain", model).weights, *(weight for layer in branches for weight in layer.new_weights)]
