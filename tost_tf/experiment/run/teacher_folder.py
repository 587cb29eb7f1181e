"""Where the teacher that --teacher names is."""

from __future__ import annotations

import os
from pathlib import Path

from tost_tf.errors import TostError


def teacher_folder(path: str | os.PathLike) -> Path:
    """The SavedModel that --teacher names: itself, or that of a finished run.

    Raises:
      TostError: there is none at `path`.
    """
    path = Path(path).expanduser()
    for folder in (path, path / "export" / "saved_model"):
        if (folder / "saved_model.pb").is_file():
            return folder
    if (path / "config.flags").is_file():
        raise TostError(f"the teacher {str(path)!r} is a run that is not finished: launch it again first")
    raise TostError(f"the teacher {str(path)!r} is neither a SavedModel nor the folder of a finished run")
