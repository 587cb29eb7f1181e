"""The options of `tost-export`."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from tost_tf.errors import TostError, unknown_name
from tost_tf.options import option
from tost_tf.registry import FORMATS

NOT_CALIBRATED = frozenset({"saved_model", "keras3", "tflite float32", "tflite float16"})  # a user's format may be


def kinds() -> tuple[str, ...]:
    """The formats without precisions: the first words of the names."""
    return tuple(dict.fromkeys(name.partition(" ")[0] for name in FORMATS))


def precisions() -> tuple[str, ...]:
    """The precisions: the second words of the names that have one."""
    return tuple(dict.fromkeys(name.partition(" ")[2] for name in FORMATS if " " in name))


@dataclasses.dataclass(frozen=True)
class ExportOptions:
    """What is exported, and in which formats."""

    run_dir: str = option("", "folder of the run")
    formats: str = option("saved_model,keras3,tflite", f"separated by commas: {', '.join(kinds())}")
    precisions: str = option(
        "float32,float16,int8", f"of .tflite files, separated by commas: {', '.join(precisions())}"
    )
    out: str = option("", "folder of the files (by default export/ of the run)")
    compact: bool = option(False, "first remove channels that the mask makes useless; files go into compact/ of --out")
    latency: bool = option(
        False,
        "measure milliseconds of each format in fresh processes, of the network without zeros, as it is and compacted",
    )
    calibration_examples: int = option(200, "training images for measuring the ranges of int8", minimum=1)

    def folder(self, run_dir: str | os.PathLike) -> Path:
        """The folder of a run's files; compacted networks have the subfolder `compact`."""
        folder = Path(self.out or Path(run_dir) / "export")
        return folder / "compact" if self.compact else folder

    def names(self) -> tuple[str, ...]:
        """The names of the requested formats.

        Raises:
          TostError: a format or precision is unknown.
        """
        requested = {"--formats": self.formats.split(","), "--precisions": self.precisions.split(",")}
        for (flag, given), known in zip(requested.items(), (kinds(), precisions()), strict=True):
            for name in given:
                if name not in known:
                    raise unknown_name(flag, name, known)
        precise = [kind for kind in kinds() if kind not in FORMATS]
        if self.precisions != type(self)().precisions and not set(precise) & set(requested["--formats"]):
            raise TostError(
                f"--precisions={self.precisions} is for {', '.join(precise)}, which --formats={self.formats} leaves out"
            )
        named = [(name, *name.partition(" ")[::2]) for name in FORMATS]
        names = tuple(
            name
            for name, kind, precision in named
            if kind in requested["--formats"] and (not precision or precision in requested["--precisions"])
        )
        if self.calibration_examples != type(self)().calibration_examples and NOT_CALIBRATED.issuperset(names):
            raise TostError(
                f"--calibration_examples={self.calibration_examples} is for int8, which --formats={self.formats} and "
                f"--precisions={self.precisions} leave out"
            )
        return names
