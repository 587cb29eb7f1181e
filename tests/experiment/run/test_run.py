"""What a run knows of itself in one process."""

import dataclasses

import numpy as np
import pytest

from tost_tf.data.images import ImageData, LabelledImages
from tost_tf.errors import TostError
from tost_tf.experiment.options import RunConfig
from tost_tf.experiment.run.folder import RunDirectory
from tost_tf.experiment.run.run import Run
from tost_tf.experiment.run.workers import Workers


def images(count: int) -> LabelledImages:
    return LabelledImages(np.zeros((count, 4, 4, 1), np.uint8), np.zeros(count, np.int32))


def run_of(examples: int, folder, *more) -> Run:
    data = ImageData(images(examples), images(3), images(3), 2, (0.0,), (1.0,))
    return Run(RunConfig.make(batch_size=48, recipe="default"), data, RunDirectory(folder), *more)


def test_last_batch_must_reach_every_replica(tmp_path, two_replicas):
    assert run_of(100, tmp_path, two_replicas).steps_per_epoch == 3
    assert run_of(96, tmp_path, two_replicas).steps_per_epoch == 2
    with pytest.raises(TostError, match="has 1 of the 97 training images for 2 devices"):
        run_of(97, tmp_path, two_replicas)
    assert run_of(97, tmp_path).steps_per_epoch == 3


def test_only_the_chief_writes_the_runs_folder(tmp_path):
    run = run_of(9, tmp_path)
    for workers in (Workers(), Workers(("one:1", "two:2"), 0)):
        with dataclasses.replace(run, workers=workers).output_folder() as output:
            assert output is run.directory
    other = dataclasses.replace(run, workers=Workers(("one:1", "two:2"), 1))
    assert run.writes and not other.writes
    with other.output_folder() as output:
        output.write_metrics([])
        assert output.metrics.exists() and tmp_path not in output.metrics.parents
    assert not output.path.exists() and not list(tmp_path.iterdir())
