"""Whether a model is plain: without masks and ghosts."""

from __future__ import annotations

from tost_tf.compat import keras
from tost_tf.compat.tfmot import is_pruning_wrapper
from tost_tf.errors import TostError


def require_stripped(model: keras.Model) -> None:
    """Raises `TostError` if a model still has masks or ghosts."""
    wrapped = any(is_pruning_wrapper(layer) for layer in getattr(model, "submodules", ()))
    if wrapped or hasattr(model, "remove_ghosts"):
        raise TostError(f"{model.name} still has its masks or ghosts: call `tost_tf.strip` first")
