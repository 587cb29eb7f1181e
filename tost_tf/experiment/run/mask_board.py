"""Masks for TensorBoard."""

from __future__ import annotations

import numpy as np

from tost_tf.compat import keras, tf
from tost_tf.graph.kernels import current_masks, prunable_weights

LARGEST_IMAGE = 512


class MaskBoard(keras.callbacks.Callback):
    """Writes the sparsity of each layer after each epoch as a scalar, and once an image of each layer's mask.

    α, β, loss and accuracy are written by Keras's TensorBoard callback, into the same folder.

    Args:
      folder: of the events, usually `tensorboard/train` of a run.
      plain: the model without ghosts.
    """

    def __init__(self, folder, plain: keras.Model):
        super().__init__()
        self.folder, self.plain = str(folder), plain

    def on_train_begin(self, logs=None):
        self._writer = tf.summary.create_file_writer(self.folder, filename_suffix=".masks")
        with self._writer.as_default():
            for path, mask in current_masks(self.plain).items():
                tf.summary.image(f"mask/{path}", mask_image(mask)[None], step=0)

    def on_epoch_end(self, epoch, logs=None):
        with self._writer.as_default():
            for path, weight in prunable_weights(self.plain).items():
                tf.summary.scalar(f"sparsity/{path}", float(np.mean(weight.numpy() == 0)), step=epoch)

    def on_train_end(self, logs=None):
        self._writer.close()


def mask_image(mask: np.ndarray) -> np.ndarray:
    """A mask as an image [positions and inputs, outputs, 1], white for kept weights; large masks are averaged."""
    picture = np.asarray(mask, np.float32).reshape(-1, mask.shape[-1] if mask.ndim > 1 else 1)
    steps = [-(-size // LARGEST_IMAGE) for size in picture.shape]
    padded = np.pad(picture, [(0, -size % step) for size, step in zip(picture.shape, steps, strict=True)])
    rows, columns = (size // step for size, step in zip(padded.shape, steps, strict=True))
    return padded.reshape(rows, steps[0], columns, steps[1]).mean((1, 3))[..., None]
