"""A full disk, explained in one sentence."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator

from tost_tf.compat import tf
from tost_tf.errors import TostError
from tost_tf.experiment.run.checkpoints import last_checkpoint
from tost_tf.experiment.run.folder import RunDirectory

# An exceeded quota counts as well.
ERRORS = {
    errno.ENOSPC: "No space left on device",
    errno.EDQUOT: "Disk quota exceeded",
    errno.EFBIG: "File too large",  # a limit of the process (`ulimit -f`)
}


@contextlib.contextmanager
def explain_full_disk(directory: RunDirectory) -> Iterator[None]:
    """Replaces the many errors that mean a full disk by a `TostError`; other errors pass.

    The file that was being written is gone, or has a temporary name and the next launch removes it. Files that were
    complete before stay.
    """
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        full = getattr(error, "errno", None) in ERRORS or any(words in str(error) for words in ERRORS.values())
        if not full:
            raise
        last = last_checkpoint(directory.checkpoints)
        kept = f"the last good checkpoint is {str(last)!r}" if last else "there was no checkpoint yet"
        raise TostError(
            f"the disk of the run directory {str(directory.path)!r} is full, or a quota is exceeded: {kept}; free some "
            "space, then the same command resumes from there"
        ) from error
