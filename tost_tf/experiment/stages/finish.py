"""What comes after the last epoch: test accuracy, the export, figures and `result.json`."""

from __future__ import annotations

import dataclasses
import textwrap
from typing import Any

import numpy as np

from tost_tf.compat import keras
from tost_tf.data.images import ImageData
from tost_tf.dynamic.callback import ROWS
from tost_tf.experiment.options import RunConfig
from tost_tf.experiment.run.callbacks import measured_sparsity
from tost_tf.experiment.run.checkpoints import Checkpoints
from tost_tf.experiment.run.evaluate import Evaluation, evaluate
from tost_tf.experiment.run.folder import RunDirectory
from tost_tf.experiment.run.rows import read_rows
from tost_tf.experiment.stages.export import export_trained, final_network
from tost_tf.experiment.stages.find_mask import RunMask
from tost_tf.experiment.stages.superpose import superpose
from tost_tf.files import write_json
from tost_tf.ghost.model import GhostModel
from tost_tf.graph.kernels import prunable_weights
from tost_tf.masks.sparsify import masks_of
from tost_tf.report.figures import learning_curves, sparsity_by_layer
from tost_tf.report.mask_updates import draw_mask_updates
from tost_tf.versions import versions

TITLE_WIDTH = 75


def finish(
    config: RunConfig,
    data: ImageData,
    directory: RunDirectory,
    model: GhostModel,
    checkpoints: Checkpoints,
    found: RunMask,
) -> dict[str, Any]:
    """Everything after the last epoch; killed here, it is done again from the last checkpoint."""
    last = evaluate(model, data, data.test)
    more: dict[str, Any] = {}
    if config.superpose.is_on:
        superposition = superpose(config, data, directory, model)
        final, best_epoch, more = superposition.model, config.training.epochs, superposition.report
        masks = superposition.masks
    else:
        best_epoch = checkpoints.restore_best()
        # Ghosts that are never removed are part of what was trained, and are exported with it.
        final = final_network(model)
        masks = masks_of(model.plain) if config.dynamic.is_on else None
    if masks is not None:
        masks.save(directory.final_mask)
        found = dataclasses.replace(found, masks=masks)
    best = evaluate(final, data, data.test)
    export_trained(config, data, final, best_epoch, directory.export)
    result = _result(config, data, directory, final, found, (best, last), best_epoch) | more
    _draw(config, directory, result)
    write_json(directory.result, result)
    return result


def _result(
    config: RunConfig,
    data: ImageData,
    directory: RunDirectory,
    final: keras.Model,
    found: RunMask,
    evaluations: tuple[Evaluation, Evaluation],
    best_epoch: int,
) -> dict[str, Any]:
    best, last = evaluations
    kernels = {path: weight.numpy() for path, weight in prunable_weights(final).items()}
    nonzero = {path: int(np.count_nonzero(kernel)) for path, kernel in kernels.items()}
    prunable = sum(kernel.size for kernel in kernels.values())
    parameters = final.count_params()
    seconds = sum(row["seconds"] for row in directory.read_metrics())
    images = config.training.epochs * len(data.train)
    return {
        "test_accuracy": best.accuracy,
        "test_accuracy_last": last.accuracy,
        "test_loss": best.loss,
        "best_epoch": best_epoch,
        "sparsity": measured_sparsity(final),
        "layer_sparsity": {path: 1 - nonzero[path] / kernels[path].size for path in kernels},
        "parameters": parameters,
        "nonzero_parameters": parameters - prunable + sum(nonzero.values()),
        "recipe": config.recipe_label,
        "mask": config.mask_label,
        "model": config.model.model,
        "dataset": config.data.dataset,
        "epochs": config.training.epochs,
        "seed": config.training.seed,
        "train_seconds": round(seconds, 3),
        "mask_seconds": round(found.seconds, 3),
        "images_per_second": round(images / seconds, 1) if seconds else 0.0,
        "collapsed_layers": found.collapsed_layers,
        "versions": versions(),
    }


def _draw(config: RunConfig, directory: RunDirectory, result: dict[str, Any]) -> None:
    description = f"{result['model']} on {result['dataset']}, {result['mask']} mask, {result['recipe']} recipe"
    title = textwrap.fill(description, TITLE_WIDTH)
    ghost_epochs = config.training.epochs if config.recipe.keeps_ghosts else config.recipe.passing_ghost_epochs
    learning_curves(directory.read_metrics(), ghost_epochs, directory.figures / "learning_curves.png", title)
    updates = read_rows(directory.path, ROWS)
    if updates:
        draw_mask_updates(updates, directory.figures / "mask_updates.png", title)
    sparsity_by_layer(result["layer_sparsity"], result["sparsity"], directory.figures / "sparsity_by_layer.png", title)
