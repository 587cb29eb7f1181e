"""Puts a mask that several runs share into the folder of one of them, as if the run had found it."""

from __future__ import annotations

import shutil
from pathlib import Path

from tost_tf.experiment.options import RunConfig
from tost_tf.experiment.run.folder import RunDirectory
from tost_tf.files import replaced_file


def give_mask(config: RunConfig, folder: Path, mask: Path) -> None:
    """Copies `mask` and the files `tost-mask` wrote with it into the folder of a run, unless the run has a mask.

    Args:
      config: the run's options, with which it would find the same mask.
      folder: the run's folder.
      mask: the .npz file.

    Raises:
      TostError: the folder cannot be written, belongs to another run, or another process is training in it.
    """
    directory = RunDirectory(folder)
    directory.claim(config)
    try:
        if directory.mask.exists():
            return
        parts = {
            mask.with_suffix(".json"): directory.mask_report,
            mask.with_name(f"{mask.stem}_weights.npz"): directory.ticket_weights,
            mask: directory.mask,  # last: if it exists, everything that belongs to it exists
        }
        for source, target in parts.items():
            if source.exists():
                with replaced_file(target) as temporary:
                    shutil.copyfile(source, temporary)
    finally:
        directory.release()
