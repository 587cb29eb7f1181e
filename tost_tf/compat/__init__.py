"""The package that uses private parts of Keras, TensorFlow and tfmot, alone; here is the choice of a Keras.

tensorflow-model-optimization 0.8.1 works only with Keras 2 (the package `tf_keras`) and reads `TF_USE_LEGACY_KERAS`
when TensorFlow first creates `tf.keras`. So the variable is set before TensorFlow is imported, and all other files of
the project take `tf` and `keras` from here. Both are imported at first use, so options can be checked without waiting
for TensorFlow.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import re
import sys
import tempfile
import types
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tost_tf.errors import TostError

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
# Hides TensorFlow's notes about the machine at import; set it to 0 to see them.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


NOTE = re.compile(rb"I\d{4} |WARNING: All log messages before absl::InitializeLog")


class LazyModule(types.ModuleType):
    """A module that is imported at the first use of one of its attributes."""

    def __getattr__(self, name: str) -> Any:
        return getattr(_imported(self.__name__), name)

    def __dir__(self) -> list[str]:
        return dir(_imported(self.__name__))


@functools.cache  # so that AutoGraph does not look into it
def _imported(name: str) -> types.ModuleType:
    with _without_notes():
        return importlib.import_module(name)


@contextlib.contextmanager
def _without_notes() -> Iterator[None]:
    """Inside the block, TensorFlow's notes about the machine are not printed; other output is printed after it.

    TensorFlow writes these notes before it reads the log level. Where there is no standard error, as in a service,
    nothing is held back; a log level of 0 (`TF_CPP_MIN_LOG_LEVEL`) shows everything as it comes, also what an import
    writes that ends the process.
    """
    try:
        original = os.dup(2)
    except OSError:
        original = None
    if original is None or os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "0":
        yield
        return
    if sys.stderr is not None:
        sys.stderr.flush()
    with tempfile.TemporaryFile() as written, os.fdopen(original, "wb") as errors:
        os.dup2(written.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(original, 2)
            written.seek(0)
            errors.writelines(line for line in written if not NOTE.match(line))


if TYPE_CHECKING:
    import tensorflow as tf
    import tf_keras as keras
else:
    tf, keras = LazyModule("tensorflow"), LazyModule("tf_keras")


def keras3() -> types.ModuleType:
    """Keras 3, the package `keras`, imported at first use: only conversions need it.

    Raises:
      TostError: it is not installed, or an older version is.
    """
    try:
        package = importlib.import_module("keras")
    except ImportError as error:
        raise TostError(f"Keras 3 is needed for this and cannot be imported ({error}): pip install keras") from None
    if int(package.__version__.split(".")[0]) < 3:
        raise TostError(f"Keras 3 is needed for this, the package `keras` is {package.__version__}")
    return package
