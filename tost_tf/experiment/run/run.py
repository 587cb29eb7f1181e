"""A run, as this process sees it."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Callable, Iterator

from tost_tf.compat import tf
from tost_tf.data.images import ImageData
from tost_tf.data.pipeline import steps_per_epoch
from tost_tf.errors import TostError
from tost_tf.experiment.options import RunConfig
from tost_tf.experiment.recipe import TRAIN_TEACHER
from tost_tf.experiment.run.agreement import requested_by_any_worker
from tost_tf.experiment.run.folder import RunDirectory
from tost_tf.experiment.run.stop import StopSignals
from tost_tf.experiment.run.teacher_folder import teacher_folder
from tost_tf.experiment.run.workers import Workers
from tost_tf.training.teacher import Teacher


@dataclasses.dataclass(frozen=True)
class Run:
    """What every stage of a run needs.

    Attributes:
      config: its options.
      data: its images.
      directory: its folder.
      strategy: the devices it trains on.
      workers: the processes that train it together.
      stop: the signals that stop it.

    Raises:
      TostError: the last batch of an epoch has fewer images than there are devices.
    """

    config: RunConfig
    data: ImageData
    directory: RunDirectory
    strategy: tf.distribute.Strategy = dataclasses.field(default_factory=lambda: tf.distribute.get_strategy())
    workers: Workers = dataclasses.field(default_factory=Workers)
    stop: StopSignals = dataclasses.field(default_factory=StopSignals)

    def __post_init__(self):
        examples, batch_size = len(self.data.train), self.config.training.batch_size
        last = examples % batch_size or min(batch_size, examples)
        if last < self.replicas:
            raise TostError(
                f"the last batch of an epoch has {last} of the {examples} training images for {self.replicas} devices: "
                "choose another --batch_size or --train_examples"
            )

    @property
    def writes(self) -> bool:
        """Whether this process writes the run's folder; the others read it."""
        return self.workers.is_chief

    @property
    def replicas(self) -> int:
        """How many devices a batch is split over."""
        return self.strategy.num_replicas_in_sync

    @property
    def steps_per_epoch(self) -> int:
        return steps_per_epoch(len(self.data.train), self.config.training.batch_size)

    def teacher(self) -> Teacher | None:
        """The network that gives soft labels, `None` without one. It is loaded at each call, since its variables are on
        the devices of the strategy in whose scope it is loaded.
        """
        teacher = self.config.recipe.teacher
        if not teacher:
            return None
        return Teacher(teacher_folder(self.directory.teacher if teacher == TRAIN_TEACHER else teacher), self.data)

    def stop_requested(self) -> Callable[[], int | None]:
        """A function that returns the signal by which any worker was stopped, or `None`."""
        return requested_by_any_worker(self.strategy, self.workers, lambda: self.stop.requested)

    @contextlib.contextmanager
    def output_folder(self) -> Iterator[RunDirectory]:
        """The folder this process writes to during training: the run's for the chief, a temporary one for others.

        All workers must run the same steps: reading the statistics of BatchNormalization needs all of them.
        """
        if self.writes:
            yield self.directory
            return
        with tempfile.TemporaryDirectory(prefix="tost_worker_") as scratch:
            yield RunDirectory(scratch)
