"""The export of a run in several formats, by `tost-export`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tost_tf.compaction.compact import compact
from tost_tf.compat import keras
from tost_tf.errors import TostError
from tost_tf.experiment.export_options import ExportOptions
from tost_tf.experiment.stages.export import described, final_network, print_line
from tost_tf.experiment.stages.load_run import LoadedRun, load_run
from tost_tf.export.manifest import Exported, export_network, require_formats


def export_run(run_dir: str | Path, options: ExportOptions) -> dict[str, Any]:
    """Exports the run's best weights, checks each file, and adds it to `manifest.json`.

    Args:
      run_dir: the run's folder.
      options: formats, precisions, the folder, the images for int8, and whether the network is compacted first.

    Returns:
      The manifest.

    Raises:
      TostError: as for `export_network`; or the network should be compacted but still has ghosts.
    """
    names = options.names()
    require_formats(names)
    run = load_run(run_dir)
    network = final_network(run.model)
    written, compaction = _compacted(run, network) if options.compact else (network, None)
    facts = described(run.config, run.epoch, run.model.ghosts_active) | {"compaction": compaction}
    exported = Exported(network, written, run.data, facts, options.calibration_examples)
    return export_network(exported, names, options.folder(run_dir), print_line)


def _compacted(run: LoadedRun, network: keras.Model) -> tuple[keras.Model, dict[str, Any]]:
    if run.model.ghosts_active:
        raise TostError(
            f"the network of the run {str(run.directory.path)!r} still has its ghosts: --compact needs a network "
            "without them, so train the run to its --ghost_end_epoch first, or leave --compact out"
        )
    smaller, report = compact(network)
    print_line(f"{'compact':16} {report.summary()}")
    return smaller, report.as_dict()
