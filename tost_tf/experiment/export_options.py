"""The options of `tost-export`."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from tost_tf.export.formats import FORMATS, PRECISIONS
from tost_tf.options import option


@dataclasses.dataclass(frozen=True)
class ExportOptions:
    """What is exported, and as what."""

    run_dir: str = option("", "folder of the run")
    formats: str = option("saved_model,tflite,keras3", f"with commas between them: {', '.join(FORMATS)}")
    precisions: str = option("float32,float16,int8", f"of .tflite files, with commas: {', '.join(PRECISIONS)}")
    out: str = option("", "folder of the files (by default export/ of the run)")
    compact: bool = option(False, "remove what the mask makes dead first; the files go into compact/ of the folder")
    calibration_examples: int = option(200, "training images that the ranges of int8 are measured on", minimum=1)

    def folder(self, run_dir: str | os.PathLike) -> Path:
        """Where the files of a run go. Compacted ones have a folder of their own, beside the others."""
        folder = Path(self.out or Path(run_dir) / "export")
        return folder / "compact" if self.compact else folder
