"""What tests leave behind in memory."""

import ctypes
import gc

from tost_tf.compat import keras


def forget() -> None:
    """Drops what Keras keeps of models nobody has any more, and gives free memory back to the system.

    What is left is kept by TensorFlow, for good: the garbage collector need not look at its millions of objects again.
    """
    keras.backend.clear_session()
    gc.collect()
    gc.freeze()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of the C library of Linux
    if trim:
        trim(0)
