"""The main job: from a config to a trained, exported and reported sparse network."""

import platform
import sys
from importlib import metadata
from typing import Any

import numpy as np

from tost_tf.compat import keras, tf
from tost_tf.config.run_config import RunConfig
from tost_tf.data.images import ImageData
from tost_tf.data.load import load
from tost_tf.data.pipeline import evaluation_batches, normalise, steps_per_epoch, training_batches
from tost_tf.errors import TostError
from tost_tf.export.strip import strip
from tost_tf.export.to_saved_model import saved_model
from tost_tf.export.verify import check_saved_model
from tost_tf.ghost.model import GhostModel
from tost_tf.ghost.schedule import GhostSchedule
from tost_tf.masks.prunable import prunable_weights
from tost_tf.report.figures import learning_curves, sparsity_by_layer
from tost_tf.train.callbacks import EpochTable, NonFiniteLoss, SaveCheckpoints, StopOnNonFiniteLoss
from tost_tf.train.checkpoints import Checkpoints
from tost_tf.train.evaluate import Evaluation, evaluate
from tost_tf.train.network import FoundMask, build_model, find_mask, haunt_and_compile, warn_of_collapse
from tost_tf.train.run_directory import RunDirectory, write_json
from tost_tf.train.strategy import distribution_strategy

CHECKED_IMAGES = 64
PACKAGES = ("tost_tf", "tensorflow", "tf_keras", "tensorflow-model-optimization", "tensorflow-datasets", "numpy")


def train(config: RunConfig) -> dict[str, Any]:
    """Trains the network of `config` in its run directory and exports it, or goes on with the run found there.

    Returns:
      The content of `result.json`.

    Raises:
      TostError: the run directory cannot be used, the data is not there, the mask does not fit, the loss is no longer
        finite, or the export fails its check. What was written before stays.
    """
    directory = RunDirectory(config.machine.run_dir)
    directory.claim(config)
    try:
        result = directory.read_result()
        return result if result is not None else _run(config, directory)
    finally:
        directory.release()


def _run(config: RunConfig, directory: RunDirectory) -> dict[str, Any]:
    if config.training.deterministic:
        tf.config.experimental.enable_op_determinism()
    data = load(config.data)
    with distribution_strategy(config.machine.distribution).scope():
        dense = build_model(config, data)
        found = find_mask(config, dense, data, directory)
        warn_of_collapse(found)
        model = haunt_and_compile(config, dense, found.masks)
        checkpoints = Checkpoints(directory.checkpoints, model, model.optimizer)
        done = checkpoints.restore_latest()
        _fit(config, data, directory, model, checkpoints, done)
        return _finish(config, data, directory, model, checkpoints, found)


def _fit(
    config: RunConfig,
    data: ImageData,
    directory: RunDirectory,
    model: GhostModel,
    checkpoints: Checkpoints,
    done: int,
) -> None:
    training, recipe = config.training, config.recipe
    if done == training.epochs:
        _leave_ghosts(config, model)
        return
    if done:
        print(f"going on after epoch {done} of {training.epochs}", flush=True)
    steps = steps_per_epoch(len(data.train), training.batch_size)
    schedule = GhostSchedule(recipe.ghost_end_epoch, steps, recipe.ghost_schedule, recipe.beta_start, recipe.beta_end)
    drops = np.array(training.lr_drop_epochs)
    callbacks = [
        keras.callbacks.LearningRateScheduler(
            lambda epoch, _: training.learning_rate * training.lr_drop_factor ** int((drops <= epoch).sum())
        ),
        schedule,
        StopOnNonFiniteLoss(),
        EpochTable(directory, model.plain, training.epochs),
        SaveCheckpoints(checkpoints, lambda epoch: epoch > _ghost_epochs(config)),
        keras.callbacks.TensorBoard(str(directory.tensorboard), write_graph=False, profile_batch=0),
    ]
    try:
        model.fit(
            training_batches(data, training.batch_size, training.seed, training.epochs, done, config.data.augment),
            epochs=training.epochs,
            initial_epoch=done,
            steps_per_epoch=steps,
            validation_data=evaluation_batches(data, data.validation),
            callbacks=callbacks,
            verbose=1 if sys.stdout.isatty() else 2,
        )
    except NonFiniteLoss as error:
        last = (
            f"the last good checkpoint is {checkpoints.path(error.epoch - 1)}"
            if error.epoch > 1
            else "there is no checkpoint yet"
        )
        raise TostError(f"training stopped, {error}: {last}; a lower --learning_rate may help") from None
    _leave_ghosts(config, model)


def _ghost_epochs(config: RunConfig) -> int:
    """How many epochs are trained with ghosts that are removed later."""
    return config.recipe.ghost_end_epoch if config.recipe.has_ghosts and not config.recipe.keeps_ghosts else 0


def _leave_ghosts(config: RunConfig, model: GhostModel) -> None:
    if not config.recipe.keeps_ghosts:
        model.remove_ghosts()


def _finish(
    config: RunConfig,
    data: ImageData,
    directory: RunDirectory,
    model: GhostModel,
    checkpoints: Checkpoints,
    found: FoundMask,
) -> dict[str, Any]:
    """Everything after the last epoch; killed here, it is done again from the last checkpoint."""
    last = evaluate(model, data, data.test)
    best_epoch = checkpoints.restore_best()
    # Ghosts that are never removed are part of what was trained, and are exported with it.
    final = model.haunted if config.recipe.keeps_ghosts else strip(model)
    best = evaluate(final, data, data.test)
    _export(config, data, directory, final, best)
    result = _result(config, data, directory, final, found, (best, last), best_epoch)
    _draw(config, directory, result)
    write_json(directory.result, result)
    return result


def _export(config: RunConfig, data: ImageData, directory: RunDirectory, final: keras.Model, best: Evaluation) -> None:
    path = directory.export / "saved_model"
    saved_model(final, path, data.mean, data.deviation)
    images = data.test.images[:CHECKED_IMAGES]
    check = check_saved_model(path, final, images, normalise(images, data).numpy())
    kernels = [weight.numpy() for weight in prunable_weights(final).values()]
    exported = {
        "format": "SavedModel",
        "bytes": sum(file.stat().st_size for file in path.rglob("*") if file.is_file()),
        "sparsity": 1 - sum(map(np.count_nonzero, kernels)) / sum(kernel.size for kernel in kernels),
        "test_accuracy": best.accuracy,
        "largest_difference": check.largest_difference,
        "zeros": check.zeros,
        "weights": check.size,
        "has_ghosts": config.recipe.keeps_ghosts,
        "input": "image: float32 [batch, height, width, channels], pixels 0 to 255",
        "mean": data.mean,
        "deviation": data.deviation,
        "mask": _mask_name(config),
        "recipe": config.recipe_name,
        "versions": _versions(),
    }
    write_json(directory.export / "manifest.json", {"saved_model": exported})


def _result(
    config: RunConfig,
    data: ImageData,
    directory: RunDirectory,
    final: keras.Model,
    found: FoundMask,
    evaluations: tuple[Evaluation, Evaluation],
    best_epoch: int,
) -> dict[str, Any]:
    best, last = evaluations
    kernels = {path: weight.numpy() for path, weight in prunable_weights(final).items()}
    nonzero = {path: int(np.count_nonzero(kernel)) for path, kernel in kernels.items()}
    prunable = sum(kernel.size for kernel in kernels.values())
    parameters = final.count_params()
    seconds = sum(row["seconds"] for row in directory.read_metrics())
    return {
        "test_accuracy": best.accuracy,
        "test_accuracy_last": last.accuracy,
        "test_loss": best.loss,
        "best_epoch": best_epoch,
        "sparsity": 1 - sum(nonzero.values()) / prunable,
        "layer_sparsity": {path: 1 - nonzero[path] / kernels[path].size for path in kernels},
        "parameters": parameters,
        "nonzero_parameters": parameters - prunable + sum(nonzero.values()),
        "recipe": config.recipe_name,
        "mask": _mask_name(config),
        "model": config.model.model,
        "dataset": config.data.dataset,
        "epochs": config.training.epochs,
        "seed": config.training.seed,
        "train_seconds": round(seconds, 3),
        "mask_seconds": round(found.seconds, 3),
        "images_per_second": round(config.training.epochs * len(data.train) / seconds, 1),
        "collapsed_layers": found.collapsed_layers,
        "versions": _versions(),
    }


def _draw(config: RunConfig, directory: RunDirectory, result: dict[str, Any]) -> None:
    title = f"{result['model']} on {result['dataset']}, {result['mask']} mask, {result['recipe']} recipe"
    ghost_epochs = config.training.epochs if config.recipe.keeps_ghosts else _ghost_epochs(config)
    learning_curves(directory.read_metrics(), ghost_epochs, directory.figures / "learning_curves.png", title)
    sparsity_by_layer(result["layer_sparsity"], result["sparsity"], directory.figures / "sparsity_by_layer.png", title)


def _mask_name(config: RunConfig) -> str:
    return config.mask.mask_file or config.mask.mask


def _versions() -> dict[str, str]:
    return {"python": platform.python_version()} | {name: metadata.version(name) for name in PACKAGES}
