"""Resizing of images."""

from __future__ import annotations

from tost_tf.compat import tf


def resized(images: tf.Tensor, size: int) -> tf.Tensor:
    """uint8 images [..., height, width, channels] resized to `size` × `size` pixels, with antialiasing."""
    scaled = tf.image.resize(images, (size, size), antialias=True)
    return tf.cast(tf.round(tf.clip_by_value(scaled, 0, 255)), tf.uint8)
