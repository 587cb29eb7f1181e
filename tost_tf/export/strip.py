"""Back to the original architecture."""

from tost_tf.compat import keras
from tost_tf.ghost.model import GhostModel
from tost_tf.sparsity.sparsify import unwrapped


def strip(model: keras.Model) -> keras.Model:
    """The plain tf_keras model that is left: the original's layers, names and config, weights exactly masked.

    Args:
      model: a `GhostModel`, whose ghosts are forgotten, or a model made by `sparsify`.

    Raises:
      TostError: `model` is neither, nor a functional or Sequential model.
    """
    return unwrapped(model.plain if isinstance(model, GhostModel) else model)
