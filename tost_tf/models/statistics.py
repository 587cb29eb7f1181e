"""What a forward pass in training mode changes beside the weights."""

import contextlib
from collections.abc import Iterator

from tost_tf.compat import keras


@contextlib.contextmanager
def statistics_kept(model: keras.Model) -> Iterator[None]:
    """Puts the non-trainable variables of `model` (BatchNormalization's statistics) back at the end of the block."""
    before = [(variable, variable.numpy()) for variable in model.non_trainable_variables]
    try:
        yield
    finally:
        for variable, value in before:
            variable.assign(value)
