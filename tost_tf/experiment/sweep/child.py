"""`python -m tost_tf.experiment.sweep.child PARENT COMMAND ...`: a command that is stopped when its parent ends."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

from tost_tf.__main__ import main

PR_SET_PDEATHSIG = 1  # in Linux: sets the signal a process gets when its parent ends


def follow(parent: int) -> None:
    """Makes this process get SIGTERM when its parent ends, so it stops with a checkpoint."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # the parent has ended already
        sys.exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    follow(int(sys.argv.pop(1)))
    main()
