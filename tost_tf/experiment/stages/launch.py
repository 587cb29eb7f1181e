"""The main job: from a config to a trained, exported and reported sparse network."""

from __future__ import annotations

from typing import Any

from tost_tf.compat import keras
from tost_tf.data.images import ImageData
from tost_tf.data.load import load
from tost_tf.errors import TostError
from tost_tf.experiment.options import RunConfig
from tost_tf.experiment.run.agreement import asked_to_stop, explain_lost_worker, require_same, starting_point
from tost_tf.experiment.run.checkpoints import Checkpoints
from tost_tf.experiment.run.devices import distribution_strategy, split_cpu
from tost_tf.experiment.run.disk_full import explain_full_disk
from tost_tf.experiment.run.folder import RunDirectory, written_folder
from tost_tf.experiment.run.network import add_ghosts_and_compile, build_model, in_full_precision
from tost_tf.experiment.run.stop import StopSignals
from tost_tf.experiment.run.workers import Workers
from tost_tf.experiment.stages.find_mask import find_mask
from tost_tf.experiment.stages.finish import finish
from tost_tf.experiment.stages.fit import Training
from tost_tf.experiment.stages.rescale import rescale
from tost_tf.experiment.stages.start import require_before_data, require_end
from tost_tf.ghost.model import GhostModel
from tost_tf.masks.masks import Masks
from tost_tf.training.teacher import Teacher


def launch(config: RunConfig) -> dict[str, Any]:
    """Trains the network of `config` in its run directory and exports it, or resumes the run found there.

    Returns:
      The content of `result.json`.

    Raises:
      TostError: the run directory cannot be used, the data is not there, the mask does not fit, the loss is no longer
        finite, or the export fails its check. What was written before stays.
      Stopped: SIGTERM or Ctrl-C came; the same launch goes on.
    """
    split_cpu(config.machine.virtual_devices)
    several = config.machine.distribution == "multi_worker"
    workers = Workers.of_environment(config.machine.worker_timeout) if several else Workers()
    directory = RunDirectory(config.machine.run_dir)
    with StopSignals() as stop, explain_full_disk(directory), explain_lost_worker(workers):
        if workers.is_chief:
            directory.claim(config)
        try:
            result = directory.read_result()
            if result is None:
                workers.meet()
            if not workers.is_chief:
                directory.require_options(config)
            return result if result is not None else _run(config, directory, stop, workers)
        finally:
            directory.release()


def _run(config: RunConfig, directory: RunDirectory, stop: StopSignals, workers: Workers) -> dict[str, Any]:
    strategy = distribution_strategy(config.machine)
    stop.listen()
    replicas = strategy.num_replicas_in_sync
    require_before_data(config)
    data = load(config.data)
    _require_full_replicas(len(data.train), config.training.batch_size, replicas)
    teacher = _teacher(config, data)
    dense = build_model(config, data)
    require_end(config, data, dense, teacher, directory)
    if not workers.is_chief:  # it reads what the chief computes
        _wait_for_the_start(config, directory, workers)
    found = find_mask(config, dense, data, directory)
    rescale(config, dense, found.masks, data, directory, teacher)
    if replicas > 1:
        print(f"training on {replicas} devices, batches of {config.training.batch_size} split over them", flush=True)
    with strategy.scope(), written_folder(directory, workers) as own:
        # Loaded again: its variables must be on every replica.
        model = add_ghosts_and_compile(config, dense, found.masks, _teacher(config, data))
        checkpoints = Checkpoints(own.checkpoints, model, model.optimizer)
        done = checkpoints.restore_latest(directory.checkpoints)
        if done < config.training.epochs:
            progress = checkpoints.restore_within(done, directory.checkpoints)
            if workers.several:
                require_same(strategy, starting_point(data, model, done, progress))
            asked = asked_to_stop(strategy, workers, lambda: stop.requested)
            with stop.noted():
                Training(config, data, own, model, found.masks, checkpoints, done, progress, asked).fit()
        if not config.recipe.keeps_ghosts:
            model.remove_ghosts()
    if not workers.is_chief:
        return workers.wait_for("result.json", directory.read_result)
    if replicas > 1 or config.machine.mixed_precision != "none":
        model, checkpoints = _on_one_device(config, dense, found.masks, directory)
    return finish(config, data, directory, model, checkpoints, found)


def _wait_for_the_start(config: RunConfig, directory: RunDirectory, workers: Workers) -> None:
    if config.mask.mask != "none":
        workers.wait_for("the mask", directory.mask.exists)
    if config.recipe.rescale_init:
        workers.wait_for("the rescaled initialisation", directory.scales.exists)


def _on_one_device(
    config: RunConfig, dense: keras.Model, masks: Masks | None, directory: RunDirectory
) -> tuple[GhostModel, Checkpoints]:
    """The trained network again, of one device and in float32: what is scored and exported."""
    model = add_ghosts_and_compile(in_full_precision(config), dense, masks)
    checkpoints = Checkpoints(directory.checkpoints, model, model.optimizer)
    checkpoints.restore_latest()
    if not config.recipe.keeps_ghosts:
        model.remove_ghosts()
    return model, checkpoints


def _teacher(config: RunConfig, data: ImageData) -> Teacher | None:
    return Teacher(config.recipe.teacher, data) if config.recipe.teacher else None


def _require_full_replicas(examples: int, batch_size: int, replicas: int) -> None:
    last = examples % batch_size or min(batch_size, examples)
    if last < replicas:
        raise TostError(
            f"the last batch of an epoch has {last} of the {examples} training images for {replicas} devices: "
            "choose another --batch_size or --train_examples"
        )
