"""The order of a run: its stages, one after the other."""

from __future__ import annotations

from tost_tf.experiment.run.run import Run
from tost_tf.experiment.stages import evaluate, export, find_mask, fit, rescale, superpose
from tost_tf.experiment.stages.stage import RunNetwork, Stage

# The workers of a run take part up to the training; what comes after it is the chief's.
UNTIL_TRAINED: tuple[Stage, ...] = (find_mask.STAGE, rescale.STAGE, fit.STAGE)
AFTER_TRAINING: tuple[Stage, ...] = (superpose.STAGE, export.STAGE, evaluate.STAGE)


def run_stages(run: Run, network: RunNetwork) -> None:
    """Computes what is not in the run's folder yet and reads the rest; a worker that is not the chief waits for it.

    Raises:
      TostError: as the stages do, or the chief did not write something in time.
    """
    for stage in _wanted(run, UNTIL_TRAINED):
        if not stage.is_done(run):
            if run.writes or stage.by_all_workers:
                stage.compute(run, network)
            else:
                run.workers.wait_for(stage.makes, lambda stage=stage: stage.is_done(run))
        if run.writes or not stage.by_all_workers:
            stage.read(run, network)
    if not run.writes:
        run.workers.wait_for("result.json", run.directory.read_result)
        return
    for stage in _wanted(run, AFTER_TRAINING):
        if not stage.is_done(run):
            stage.compute(run, network)
        stage.read(run, network)


def read_trained(run: Run, network: RunNetwork) -> None:
    """Reads the network of a run that has a checkpoint at least."""
    for stage in _wanted(run, (find_mask.STAGE, fit.STAGE, superpose.STAGE)):
        if stage is fit.STAGE or stage.is_done(run):
            stage.read(run, network)


def _wanted(run: Run, stages: tuple[Stage, ...]) -> list[Stage]:
    return [stage for stage in stages if stage.is_wanted(run.config)]
