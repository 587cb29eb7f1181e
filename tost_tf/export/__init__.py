"""From a trained model to files that know nothing of this project."""

from tost_tf.export.strip import strip
from tost_tf.export.to_saved_model import saved_model

__all__ = ["saved_model", "strip"]
