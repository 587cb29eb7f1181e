"""What tests leave behind in memory."""

import ctypes
import gc
import resource
from pathlib import Path

from tost_tf.compat import keras

STATM = Path("/proc/self/statm")  # sizes of this process in pages; Linux has it


def resident_gib() -> float:
    """Memory of this process now; where the system does not say, the most it ever had."""
    if STATM.exists():
        return int(STATM.read_text().split()[1]) * resource.getpagesize() / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def forget() -> None:
    """Drops what Keras keeps of models nobody has any more, and gives free memory back to the system."""
    keras.backend.clear_session()
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of the C library of Linux
    if trim:
        trim(0)
