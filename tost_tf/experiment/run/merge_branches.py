"""The callback that merges ghost branches, and says what it did to the loss."""

from __future__ import annotations

import numpy as np

from tost_tf.compat import keras, tf
from tost_tf.ghost.inputs import some_inputs
from tost_tf.ghost.merge import bring_up_to_date


class MergeBranches(keras.callbacks.Callback):
    """Merges the branches of a `GhostModel` at the start of the first epoch without ghosts.

    It must come before the `GhostSchedule`, which would merge them with what `fit` is given. All depends on the weights
    alone, and checkpoints say whether branches are merged: a run that was stopped before, in or after it does the same
    as one that was not.

    Args:
      end_epoch: the first epoch (from 0) without ghosts.
      images: batches of training images, preprocessed for the network; the new statistics are those of the first.
      validation: batches of images and one-hot labels, whose loss is printed.
      prints: whether this process prints it; all workers compute it.
    """

    def __init__(self, end_epoch: int, images: tf.data.Dataset, validation: tf.data.Dataset, prints: bool):
        super().__init__()
        self.end_epoch, self._images, self._validation, self._prints = end_epoch, images, validation, prints

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        layers = self.model.unmerged_branches() if epoch >= self.end_epoch else []
        if not layers:
            return
        before = self._loss(self.model.ghosted)
        bring_up_to_date(self.model.ghosted, some_inputs(self._images))
        up_to_date = self._loss(self.model.ghosted)
        self.model.remove_ghosts(self._images)  # the same statistics again
        after = self._loss(self.model.plain)
        if self._prints:
            print(
                f"merged the {layers[0].branches} branches of {len(layers)} layers: validation loss {before:.4f} "
                f"before, {up_to_date:.4f} with statistics of training images, {after:.4f} after",
                flush=True,
            )

    def _loss(self, view: keras.Model) -> float:
        """The mean cross-entropy, without label smoothing."""
        losses = [
            tf.nn.softmax_cross_entropy_with_logits(labels, tf.cast(view(images, training=False), tf.float32)).numpy()
            for images, labels in self._validation
        ]
        return float(np.mean(np.concatenate(losses)))
