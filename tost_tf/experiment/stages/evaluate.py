"""The stage that ends a run: test accuracy, figures and `result.json`."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np

from tost_tf.compaction.graph import Graph
from tost_tf.compaction.report import multiply_adds, uncounted_layers
from tost_tf.compat import keras
from tost_tf.dynamic.callback import ROWS
from tost_tf.experiment.options import RunConfig
from tost_tf.experiment.recipe import TRAIN_TEACHER
from tost_tf.experiment.run.callbacks import measured_sparsity
from tost_tf.experiment.run.evaluate import Evaluation, evaluate
from tost_tf.experiment.run.folder import RunDirectory
from tost_tf.experiment.run.rows import read_rows
from tost_tf.experiment.run.run import Run
from tost_tf.experiment.stages.export import final_network
from tost_tf.experiment.stages.find_mask import DEPENDS
from tost_tf.experiment.stages.stage import RunNetwork, Stage
from tost_tf.files import read_json, write_json
from tost_tf.graph.kernels import prunable_weights
from tost_tf.graph.left_dense import left_dense
from tost_tf.masks.connection import depends_on_input
from tost_tf.masks.patterns.pattern import UNSTRUCTURED, found_pattern
from tost_tf.masks.sparsify import masks_of_zeros
from tost_tf.report.figures import learning_curves, sparsity_by_layer
from tost_tf.report.mask_updates import draw_mask_updates
from tost_tf.versions import versions

TITLE_WIDTH = 75


def compute(run: Run, network: RunNetwork) -> None:
    """Evaluates the best and the last weights on the test images, draws the figures and writes `result.json`."""
    config, data, directory = run.config, run.data, run.directory
    more = read_json(directory.superposition) if config.superpose.is_on else {}
    if config.superpose.is_on or config.dynamic.is_on:
        network.masks.save(directory.final_mask)
    final = final_network(network.model)
    best = evaluate(final, data, data.test)
    network.checkpoints.restore_last_weights()
    last = evaluate(network.fitted, data, data.test)
    if config.recipe.teacher == TRAIN_TEACHER:
        more |= {"teacher_seconds": read_json(directory.teacher / "result.json")["train_seconds"]}
    result = _result(run, network, final, (best, last)) | more
    _draw(config, directory, result)
    write_json(directory.result, result)


STAGE = Stage("result.json", is_done=lambda run: run.directory.read_result() is not None, compute=compute)


def _result(
    run: Run, network: RunNetwork, final: keras.Model, evaluations: tuple[Evaluation, Evaluation]
) -> dict[str, Any]:
    config, data, directory = run.config, run.data, run.directory
    best, last = evaluations
    kernels = {path: weight.numpy() for path, weight in prunable_weights(final).items()}
    nonzero = {path: int(np.count_nonzero(kernel)) for path, kernel in kernels.items()}
    pruned = sum(kernel.size - nonzero[path] for path, kernel in kernels.items())
    # Counted as in papers: without the statistics of BatchNormalization.
    counted = {id(weight): weight for weight in (*final.trainable_weights, *prunable_weights(final).values())}
    parameters = sum(weight.shape.num_elements() for weight in counted.values())
    seconds = sum(row["seconds"] for row in directory.read_metrics())
    images = config.training.epochs * len(data.train)
    macs, nonzero_macs = multiply_adds(final)
    left = left_dense(final, config.mask.dense_layers)
    return {
        "test_accuracy": best.accuracy,
        "validation_accuracy": evaluate(final, data, data.validation).accuracy,
        "test_accuracy_last": last.accuracy,
        "test_loss": best.loss,
        "best_epoch": network.epoch,
        "sparsity": measured_sparsity(final),
        "sparsity_of_all_kernels": left.sparsity(pruned),
        "left_dense": left.shares,
        "layer_sparsity": {path: 1 - nonzero[path] / kernels[path].size for path in kernels},
        "parameters": parameters,
        "nonzero_parameters": parameters - pruned,
        "macs": macs,
        "nonzero_macs": nonzero_macs,
        "layers_without_macs": list(uncounted_layers(Graph(final))),  # recurrent, attention, in other layers
        "recipe": config.recipe_label,
        "mask": config.mask_label,
        "mask_pattern": found_pattern(network.masks, final).text if network.masks is not None else UNSTRUCTURED,
        "model": config.model.model,
        "dataset": config.data.dataset,
        "epochs": config.training.epochs,
        "seed": config.training.seed,
        "train_seconds": round(seconds, 3),
        "mask_seconds": round(directory.read_mask_seconds(), 3),
        "images_per_second": round(images / seconds, 1) if seconds else 0.0,
        "collapsed_layers": network.masks.collapsed_layers if network.masks is not None else [],
        DEPENDS: not kernels or depends_on_input(final, masks_of_zeros(final)),
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
