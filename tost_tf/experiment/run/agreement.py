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

# What TensorFlow makes of a peer that is gone or hangs.
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
    """A function that adds a whole number over all replicas of all workers; each has to call it."""

    @tf.function
    def add(number: tf.Tensor) -> tf.Tensor:
        def in_replica(own: tf.Tensor) -> tf.Tensor:
            # Copied, so that it is on the replica's device.
            return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, tf.identity(own))

        return strategy.run(in_replica, args=(number,))

    return lambda number: int(strategy.experimental_local_results(add(tf.constant(number, tf.int64)))[0])


def starting_point(data: ImageData, model: GhostModel, done: int, progress: EpochProgress | None) -> dict[str, int]:
    """What training resumes from, as numbers that are the same in all workers; arrays by a checksum."""
    return {
        "the training images": zlib.crc32(np.ascontiguousarray(data.train.images)),
        "the labels": zlib.crc32(np.ascontiguousarray(data.train.labels)),
        "the epochs done": done,
        "the steps done": progress.step if progress else 0,
        "the weights and masks": zlib.crc32(b"".join(weight.tobytes() for weight in model.get_weights())),
    }


def require_same(strategy: tf.distribute.Strategy, values: dict[str, int]) -> None:
    """Raises `TostError` in a worker whose numbers are not the mean of those of all; every worker has to call it."""
    total = summed(strategy)
    for name, value in values.items():
        if total(value) != value * strategy.num_replicas_in_sync:
            raise TostError(
                f"the workers do not agree on {name}, which is {value} here: they must see the same run directory and "
                "data; launch all of them again"
            )


def asked_to_stop(
    strategy: tf.distribute.Strategy, workers: Workers, requested: Callable[[], int | None]
) -> Callable[[], int | None]:
    """As `requested`, which gives the signal that came to this process, but for all workers: one stops, all stop.

    Several workers ask each other after every step, by the sum of one number over them.
    """
    if not workers.several:
        return requested

    total = summed(strategy)

    def ask() -> int | None:
        own = requested()
        return (own or signal.SIGTERM) if total(own is not None) else None

    return ask


@contextlib.contextmanager
def explain_lost_worker(workers: Workers) -> Iterator[None]:
    """Raises `TostError` that names the worker in place of TensorFlow's error about a collective operation."""
    try:
        yield
    except LOST as error:
        if not workers.several:
            raise
        raise TostError(
            f"{workers.lost(str(error))} is gone or does not answer, so {workers.name(workers.index)} stops too: "
            "launch all workers again, and the run resumes from its last checkpoint"
        ) from error
