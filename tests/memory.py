"""What tests leave behind in memory."""

import ctypes
import gc

from tost_tf.compat import keras


def forget() -> None:
    """Drops what Keras keeps of models nobody has any more, and gives free memory back to the system.

    The garbage collector does not look again at what is left, which is little else than caches. Should something of it
    become garbage later, it stays in memory, as far as it refers to itself.
    """
    keras.backend.clear_session()
    gc.collect()
    gc.freeze()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of the C library of Linux
    if trim:
        trim(0)
