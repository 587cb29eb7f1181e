"""The stages of a run, in their order."""

from __future__ import annotations

from tost_tf.experiment.run.run import Run
from tost_tf.experiment.stages import evaluate, export, find_mask, fit, rescale, superpose
from tost_tf.experiment.stages.stage import RunNetwork, Stage

# All workers take part until the end of training; the chief does the rest.
UNTIL_TRAINED: tuple[Stage, ...] = (find_mask.STAGE, rescale.STAGE, fit.STAGE)
AFTER_TRAINING: tuple[Stage, ...] = (superpose.STAGE, export.STAGE, evaluate.STAGE)


def run_stages(run: Run, network: RunNetwork) -> None:
    """Computes the results that are not yet in the run's folder and reads the others. Workers wait for the chief.

    Raises:
      TostError: raised by a stage, or the chief did not write something in time.
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
    """Reads the network of a run that has at least one checkpoint."""
    for stage in _wanted(run, (find_mask.STAGE, fit.STAGE, superpose.STAGE)):
        if stage is fit.STAGE or stage.is_done(run):
            stage.read(run, network)


def _wanted(run: Run, stages: tuple[Stage, ...]) -> list[Stage]:
    return [stage for stage in stages if stage.is_wanted(run.config)]
