"""The main job: from a config to a trained and exported sparse network with a report."""

from __future__ import annotations

import logging
from typing import Any

from tost_tf.data.load import load
from tost_tf.experiment.flags import read_config
from tost_tf.experiment.options import RunConfig
from tost_tf.experiment.run.agreement import explain_lost_worker
from tost_tf.experiment.run.devices import distribution_strategy, split_cpu
from tost_tf.experiment.run.disk_full import explain_full_disk
from tost_tf.experiment.run.folder import RunDirectory
from tost_tf.experiment.run.network import build_model
from tost_tf.experiment.run.run import Run
from tost_tf.experiment.run.same_data import require_same_data
from tost_tf.experiment.run.stop import StopSignals
from tost_tf.experiment.run.workers import Workers
from tost_tf.experiment.stages.stage import RunNetwork
from tost_tf.experiment.stages.stages import run_stages
from tost_tf.experiment.stages.start import require_before_data, require_end
from tost_tf.experiment.stages.train_teacher import train_teacher


def launch(config: RunConfig) -> dict[str, Any]:
    """Trains the network of `config` in its run directory and exports it, or resumes the run in that directory.

    Returns:
      The content of `result.json`.

    Raises:
      TostError: the run directory cannot be used, the data is missing, the mask does not fit, the loss is no longer
        finite, or the export fails its check. Files written before stay.
      Stopped: SIGTERM or Ctrl-C stopped the run; the same launch resumes it.

    Examples:
      >>> config = tost.RunConfig.make(
      ...     dataset="digits", train_examples=64, model="resnet8", width_multiplier=0.25, mask="random", sparsity=0.9,
      ...     recipe="default", epochs=1, run_dir=str(folder / "run"))
      >>> result = tost.launch(config)
      1/1 - ...
      >>> round(result["sparsity"], 2)
      0.9
    """
    split_cpu(config.machine.virtual_devices)
    several = config.machine.distribution == "multi_worker"
    workers = Workers.of_environment(config.machine.worker_timeout) if several else Workers()
    directory = RunDirectory(config.machine.run_dir)
    with StopSignals() as stop, explain_full_disk(directory), explain_lost_worker(workers):
        if workers.is_chief:
            directory.claim(config)
        try:
            finished = directory.read_result()
            if finished is None:
                workers.meet()
            elif workers.is_chief:
                _name_unrecorded(config, directory)
            if not workers.is_chief:
                directory.require_options(config)
            return finished if finished is not None else _run(config, directory, stop, workers)
        finally:
            directory.release()


def _name_unrecorded(config: RunConfig, directory: RunDirectory) -> None:
    """Logs that a finished run is not trained again for what should have been measured in its training."""
    asked, recorded = config.record, read_config(directory.config).record
    for name in ("gradient_flow_every", "hessian_every"):
        value = getattr(asked, name)
        if value and value != getattr(recorded, name):
            logging.warning(
                "the run in %s is finished, so --%s=%d measures nothing: choose another --run_dir",
                directory.path,
                name,
                value,
            )


def _run(config: RunConfig, directory: RunDirectory, stop: StopSignals, workers: Workers) -> dict[str, Any]:
    strategy = distribution_strategy(config.machine)
    stop.listen()
    require_before_data(config)
    train_teacher(config, launch)
    run = Run(config, load(config.data), directory, strategy, workers, stop)
    require_same_data(run)
    network = RunNetwork(build_model(config, run.data))
    require_end(run, network.dense)
    run_stages(run, network)
    result = directory.read_result()
    assert result is not None  # the last stage has written it
    return result
