"""Finds the teacher that --teacher names."""

from __future__ import annotations

import os
from pathlib import Path

from tost_tf.errors import TostError


def teacher_folder(path: str | os.PathLike) -> Path:
    """The folder of the SavedModel at `path`: `path` itself, or the export in a finished run's folder.

    Raises:
      TostError: there is no SavedModel.
    """
    path = Path(path).expanduser()
    for folder in (path, path / "export" / "saved_model"):
        if (folder / "saved_model.pb").is_file():
            return folder
    if (path / "config.flags").is_file():
        raise TostError(f"the teacher {str(path)!r} is a run that is not finished: launch it again first")
    raise TostError(f"the teacher {str(path)!r} is neither a SavedModel nor the folder of a finished run")
