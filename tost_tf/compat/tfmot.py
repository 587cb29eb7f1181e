"""The pruning wrapper of tensorflow-model-optimization."""

from __future__ import annotations

import contextlib
import functools
import importlib
import sys
from collections.abc import Iterator

from tost_tf.compat import keras

TFMOT = "tensorflow_model_optimization.python.core.sparsity.keras"


@functools.cache
def pruning_wrapper() -> type[keras.layers.Wrapper]:
    """The class of tensorflow-model-optimization's pruning wrapper."""
    with _without_keras3():
        return importlib.import_module(f"{TFMOT}.pruning_wrapper").PruneLowMagnitude


@contextlib.contextmanager
def _without_keras3() -> Iterator[None]:
    """Inside the block, the package `keras` cannot be imported, unless it is imported already.

    tensorflow-model-optimization tries to import a private module of it that Keras 3 does not have, and works without.
    The attempt imports all of Keras 3, scikit-learn and matplotlib, which takes more than a second.
    """
    if "keras" in sys.modules:
        yield
        return
    sys.modules["keras"] = None  # makes Python's import raise
    try:
        yield
    finally:
        del sys.modules["keras"]


def is_pruning_wrapper(layer: object) -> bool:
    """Whether `layer` is a pruning wrapper, of this project or of tensorflow-model-optimization."""
    return isinstance(layer, pruning_wrapper())
