"""The stage that exports the final network of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tost_tf.compat import keras
from tost_tf.experiment.options import RunConfig
from tost_tf.experiment.run.run import Run
from tost_tf.experiment.stages.stage import RunNetwork, Stage
from tost_tf.export.manifest import Exported, export_network
from tost_tf.ghost.model import GhostModel
from tost_tf.masks.sparsify import strip, without_wrappers
from tost_tf.versions import versions


def compute(run: Run, network: RunNetwork) -> None:
    """Exports the final network of a run as a SavedModel.

    Raises:
      TostError: as for `export_network`.
    """
    final = final_network(network.model)
    facts = described(run.config, network.epoch, network.model.ghosts_active) | {"compaction": None}
    export_network(Exported(final, final, run.data, facts), ("saved_model",), run.directory.export, print_line)


STAGE = Stage("the export", is_done=lambda run: run.directory.has_export(), compute=compute)


def final_network(model: GhostModel) -> keras.Model:
    """The view in use without pruning wrappers. Ghosts that are never removed are part of the network."""
    return without_wrappers(model.ghosted) if model.ghosts_active else strip(model)


def described(config: RunConfig, epoch: int, has_ghosts: bool) -> Mapping[str, Any]:
    """The facts about a run in the manifest."""
    return {
        "has_ghosts": has_ghosts,
        "mask": config.mask_label,
        "recipe": config.recipe_label,
        "epoch": epoch,
        "versions": versions(),
    }


def print_line(line: str) -> None:
    print(line, flush=True)
