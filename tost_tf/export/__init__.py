"""Writes a trained model to files that can be used without this project."""

from __future__ import annotations

from tost_tf.export.to_keras3_file import keras3
from tost_tf.export.to_saved_model import saved_model
from tost_tf.export.to_tflite import tflite
from tost_tf.masks.sparsify import strip

__all__ = ["keras3", "saved_model", "strip", "tflite"]
