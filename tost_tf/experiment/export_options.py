"""The options of `tost-export`."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from tost_tf.errors import unknown_name
from tost_tf.options import option
from tost_tf.registry import FORMATS


def kinds() -> tuple[str, ...]:
    """The first words of the names of formats."""
    return tuple(dict.fromkeys(name.partition(" ")[0] for name in FORMATS))


def precisions() -> tuple[str, ...]:
    """The second words, of those that have one."""
    return tuple(dict.fromkeys(name.partition(" ")[2] for name in FORMATS if " " in name))


@dataclasses.dataclass(frozen=True)
class ExportOptions:
    """What is exported, and as what."""

    run_dir: str = option("", "folder of the run")
    formats: str = option("saved_model,keras3,tflite", f"with commas between them: {', '.join(kinds())}")
    precisions: str = option("float32,float16,int8", f"of .tflite files, with commas: {', '.join(precisions())}")
    out: str = option("", "folder of the files (by default export/ of the run)")
    compact: bool = option(False, "remove what the mask makes dead first; the files go into compact/ of the folder")
    calibration_examples: int = option(200, "training images that the ranges of int8 are measured on", minimum=1)

    def folder(self, run_dir: str | os.PathLike) -> Path:
        """Where the files of a run go. Compacted ones have a folder of their own, beside the others."""
        folder = Path(self.out or Path(run_dir) / "export")
        return folder / "compact" if self.compact else folder

    def names(self) -> tuple[str, ...]:
        """The names of the formats that are asked for.

        Raises:
          TostError: a format or precision is unknown.
        """
        asked = {"--formats": self.formats.split(","), "--precisions": self.precisions.split(",")}
        for (flag, given), known in zip(asked.items(), (kinds(), precisions()), strict=True):
            for name in given:
                if name not in known:
                    raise unknown_name(flag, name, known)
        named = [(name, *name.partition(" ")[::2]) for name in FORMATS]
        return tuple(
            name
            for name, kind, precision in named
            if kind in asked["--formats"] and (not precision or precision in asked["--precisions"])
        )
