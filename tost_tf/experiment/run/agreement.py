"""What the workers of a run must agree on."""

from __future__ import annotations

import contextlib
import signal
import zlib
from collections.abc import Callable, Iterator

import numpy as np

from tost_tf.compat import tf
from tost_tf.data.images import ImageData
from tost_tf.errors import TostError
from tost_tf.experiment.run.epoch_progress import EpochProgress
from tost_tf.experiment.run.workers import Workers
from tost_tf.ghost.model import GhostModel

# The errors TensorFlow raises when another worker is gone or hangs.
LOST = (
    tf.errors.UnavailableError,
    tf.errors.DeadlineExceededError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
    tf.errors.UnknownError,
)


def summed(strategy: tf.distribute.Strategy) -> Callable[[int], int]:
    """A function that sums an integer over all replicas of all workers; every worker must call it."""

    @tf.function
    def add(number: tf.Tensor) -> tf.Tensor:
        def in_replica(value: tf.Tensor) -> tf.Tensor:
            # Copied, so that it is on the replica's device.
            return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, tf.identity(value))

        return strategy.run(in_replica, args=(number,))

    return lambda number: int(strategy.experimental_local_results(add(tf.constant(number, tf.int64)))[0])


def checksum(array: np.ndarray) -> int:
    """A number that is another for nearly any other array."""
    return zlib.crc32(np.ascontiguousarray(array))


def starting_point(data: ImageData, model: GhostModel, done: int, progress: EpochProgress | None) -> dict[str, int]:
    """The state from which training resumes, as numbers that must be the same in all workers; arrays as checksums."""
    return {
        "the training images": checksum(data.train.images),
        "the labels": checksum(data.train.labels),
        "the epochs done": done,
        "the steps done": progress.step if progress else 0,
        "the weights and masks": zlib.crc32(b"".join(weight.tobytes() for weight in model.get_weights())),
    }


def require_same(strategy: tf.distribute.Strategy, values: dict[str, int]) -> None:
    """Raises `TostError` in a worker whose numbers differ from the mean over all; every worker must call it."""
    total = summed(strategy)
    for name, value in values.items():
        if total(value) != value * strategy.num_replicas_in_sync:
            raise TostError(
                f"the workers do not agree on {name}, which is {value} here: they must see the same run directory and "
                "data; launch all of them again"
            )


def requested_by_any_worker(
    strategy: tf.distribute.Strategy, workers: Workers, requested: Callable[[], int | None]
) -> Callable[[], int | None]:
    """Extends `requested`, which returns the stop signal of this process, to all workers: if one stops, all stop.

    Several workers share this information after every step, by summing one number over all of them.
    """
    if not workers.several:
        return requested

    total = summed(strategy)

    def requested_anywhere() -> int | None:
        here = requested()
        return (here or signal.SIGTERM) if total(here is not None) else None

    return requested_anywhere


@contextlib.contextmanager
def explain_lost_worker(workers: Workers) -> Iterator[None]:
    """Replaces TensorFlow's error about a collective operation by a `TostError` that names the lost worker."""
    try:
        yield
    except LOST as error:
        if not workers.several:
            raise
        raise TostError(
            f"{workers.lost(str(error))} is gone or does not answer, so {workers.name(workers.index)} stops too: "
            "launch all workers again, and the run resumes from its last checkpoint"
        ) from error
