"""A full disk, explained in one sentence."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator

from tost_tf.compat import tf
from tost_tf.errors import TostError
from tost_tf.experiment.run.checkpoints import last_checkpoint
from tost_tf.experiment.run.folder import RunDirectory

# A quota that is used up counts as well.
ERRORS = {errno.ENOSPC: "No space left on device", errno.EDQUOT: "Disk quota exceeded"}


@contextlib.contextmanager
def explain_full_disk(directory: RunDirectory) -> Iterator[None]:
    """Raises `TostError` in place of the many errors that mean a full disk; any other passes.

    Whatever was being written is gone, or left under a temporary name that the next launch removes; what was whole
    before stays.
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
            f"the disk of the run directory {str(directory.path)!r} is full, or a quota used up: {kept}; free some "
            "space, then the same command resumes from there"
        ) from error
