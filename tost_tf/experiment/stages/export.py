"""The export of a run: at its end, and by `tost-export`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tost_tf.compaction.compact import compact
from tost_tf.compat import keras
from tost_tf.data.images import ImageData
from tost_tf.errors import TostError
from tost_tf.experiment.export_options import ExportOptions
from tost_tf.experiment.options import RunConfig
from tost_tf.experiment.stages.load_run import LoadedRun, load_run
from tost_tf.export.manifest import Exported, export_network, require_formats
from tost_tf.ghost.model import GhostModel
from tost_tf.masks.sparsify import strip, without_wrappers
from tost_tf.versions import versions


def export_run(run_dir: str | Path, options: ExportOptions) -> dict[str, Any]:
    """Exports the run's best weights, checks each file, and adds it to `manifest.json`.

    Args:
      run_dir: the run's folder.
      options: formats, precisions, the folder, the images for int8, whether the network is compacted before.

    Returns:
      The manifest.

    Raises:
      TostError: as for `export_network`; or the network is to be compacted and its ghosts are still in it.
    """
    names = options.names()
    require_formats(names)
    run = load_run(run_dir)
    network = final_network(run.model)
    written, compaction = _compacted(run, network) if options.compact else (network, None)
    facts = described(run.config, run.epoch, run.model.ghosts_active) | {"compaction": compaction}
    exported = Exported(network, written, run.data, facts, options.calibration_examples)
    return export_network(exported, names, options.folder(run_dir), _print)


def export_trained(config: RunConfig, data: ImageData, final: keras.Model, epoch: int, folder: Path) -> None:
    """Exports the network a run ends with, as a SavedModel.

    Raises:
      TostError: as for `export_network`.
    """
    facts = described(config, epoch, config.recipe.keeps_ghosts) | {"compaction": None}
    export_network(Exported(final, final, data, facts), ("saved_model",), folder, _print)


def final_network(model: GhostModel) -> keras.Model:
    """The view in use without pruning wrappers: with ghosts that are never removed, they are part of the network."""
    return without_wrappers(model.ghosted) if model.ghosts_active else strip(model)


def described(config: RunConfig, epoch: int, has_ghosts: bool) -> Mapping[str, Any]:
    """What the manifest says of a run."""
    return {
        "has_ghosts": has_ghosts,
        "mask": config.mask_label,
        "recipe": config.recipe_label,
        "epoch": epoch,
        "versions": versions(),
    }


def _compacted(run: LoadedRun, network: keras.Model) -> tuple[keras.Model, dict[str, Any]]:
    if run.model.ghosts_active:
        raise TostError(
            f"the network of the run {str(run.directory.path)!r} still has its ghosts in it: --compact needs a network "
            "without them, so train the run to its --ghost_end_epoch first, or leave --compact out"
        )
    smaller, report = compact(network)
    _print(f"{'compact':16} {report.summary()}")
    return smaller, report.as_dict()


def _print(line: str) -> None:
    print(line, flush=True)
