"""A trained network that gives soft labels: a SavedModel."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from tost_tf.compat import tf
from tost_tf.data.images import ImageData
from tost_tf.errors import TostError


class Teacher:
    """A SavedModel as a function from normalised images to logits, in inference mode.

    The SavedModel takes raw pixels (as those written by `tost_tf.export.saved_model` do), so the teacher's images may
    have been normalised differently in its training. Load it in the scope of the distribution strategy of the student.

    Args:
      path: the folder of a SavedModel.
      data: the dataset the student is trained on.

    Raises:
      TostError: there is no SavedModel, or its images or classes are not those of `data`.
    """

    def __init__(self, path: str | os.PathLike, data: ImageData):
        self.path = Path(path)
        try:
            # Kept, since the loaded object owns the variables of its signature.
            self._loaded = tf.saved_model.load(str(self.path))
        except (OSError, ValueError, tf.errors.OpError) as error:
            raise TostError(f"the teacher {str(self.path)!r} cannot be loaded: {str(error).splitlines()[0]}") from None
        self._signature = self._loaded.signatures.get("serving_default")
        self._mean, self._deviation = data.mean, data.deviation
        self._require_fit(data)

    def _require_fit(self, data: ImageData) -> None:
        inputs = self._signature.structured_input_signature[1] if self._signature is not None else {}
        outputs = self._signature.structured_outputs if self._signature is not None else {}
        if len(inputs) != 1 or "logits" not in outputs:
            raise TostError(
                f"the teacher {str(self.path)!r} needs a signature serving_default from one input to logits, "
                f"it has {sorted(inputs) or 'none'} to {sorted(outputs) or 'none'}"
            )
        ((self._input_name, image),), logits = inputs.items(), outputs["logits"]
        if not image.shape.is_compatible_with([None, *data.image_shape]):
            raise TostError(
                f"the teacher {str(self.path)!r} takes images of shape {image.shape[1:]}, "
                f"the dataset has {data.image_shape}"
            )
        if not logits.shape.is_compatible_with([None, data.num_classes]):
            raise TostError(
                f"the teacher {str(self.path)!r} distinguishes {logits.shape[-1]} classes, "
                f"the dataset has {data.num_classes}"
            )
        self._pixel_type = image.dtype

    def try_out(self, images: tf.Tensor, labels: tf.Tensor) -> None:
        """Runs the teacher on a few normalised images, and compares with the shape of their one-hot labels.

        Raises:
          TostError: it cannot run on this number of images, or does not give a finite logit for each class.
        """
        try:
            logits = self(images).numpy()
        except (ValueError, TypeError, tf.errors.OpError) as error:
            reason = " ".join(str(error).split())[:300]
            raise TostError(f"the teacher {str(self.path)!r} cannot be run on {len(images)} images: {reason}") from None
        if logits.shape != labels.shape or not np.isfinite(logits).all():
            raise TostError(
                f"the teacher {str(self.path)!r} gives logits of shape {list(logits.shape)} for {len(images)} images, "
                f"the first {logits.flat[0]:g}: a finite one for each of {labels.shape[-1]} classes is needed"
            )

    def __call__(self, images: tf.Tensor) -> tf.Tensor:
        """The logits, float32 [batch, classes], for normalised images [batch, height, width, channels]."""
        pixels = images
        if self._mean is not None:
            mean, deviation = tf.constant(self._mean, tf.float32), tf.constant(self._deviation, tf.float32)
            pixels = (tf.cast(images, tf.float32) * deviation + mean) * 255.0
        if self._pixel_type == tf.uint8:
            pixels = tf.clip_by_value(tf.round(pixels), 0.0, 255.0)
        return tf.stop_gradient(self._signature(**{self._input_name: tf.cast(pixels, self._pixel_type)})["logits"])
