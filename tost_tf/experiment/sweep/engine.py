"""Jobs on a Dask cluster: one on this machine, or any that has an address."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator, Sequence

from tost_tf.errors import TostError
from tost_tf.experiment.sweep.job import FAILED, Job, Outcome, run_job

CONNECT_SECONDS = 10


def require_dask() -> None:
    """Raises `TostError` if `distributed` is not installed."""
    try:
        import distributed  # noqa: F401
    except ImportError:
        raise TostError("tost-sweep needs dask.distributed: pip install tost_tf[sweep]") from None


def run_all(jobs: Sequence[Job], scheduler: str, workers: int, threads: int) -> Iterator[Outcome]:
    """Runs jobs in their order, as many at a time as there are workers, and yields the outcome of each as it ends.

    Args:
      jobs: each after the jobs it needs.
      scheduler: the address of a Dask scheduler; "" for a temporary cluster of `workers` workers on this machine.
      workers: the number of jobs at a time on this machine.
      threads: CPU threads of each job; 0 divides this machine's cores among `workers`, or on another cluster leaves the
        number to TensorFlow.

    Raises:
      TostError: the scheduler cannot be reached, or is gone.
    """
    from distributed import as_completed

    logging.getLogger("distributed").setLevel(logging.ERROR)  # workers come and go; how jobs end is reported
    if not scheduler:
        threads = threads or max(1, len(os.sched_getaffinity(0)) // workers)
    with _cluster(scheduler, workers) as address, _client(address) as client:
        if scheduler:
            print(f"dashboard: {client.dashboard_link}", flush=True)
        futures = {}
        for place, job in enumerate(jobs):
            needed = [futures[name] for name in job.needs]
            # pure=False gives each sweep new keys: the same command tries a failed job again.
            futures[job.name] = client.submit(run_job, job, threads, *needed, pure=False, priority=-place)
        names = {future.key: name for name, future in futures.items()}
        for future in as_completed(futures.values()):
            yield _outcome(names[future.key], future, scheduler)


def _outcome(name: str, future: object, scheduler: str) -> Outcome:
    from distributed import KilledWorker

    if future.status in ("cancelled", "lost"):
        raise TostError(
            f"the Dask scheduler {scheduler or 'here'} is gone; the same command continues with what is not finished"
        )
    try:
        return future.result()
    except KilledWorker as error:
        return Outcome(name, FAILED, f"its worker died again and again: {error}"[:400])
    except Exception as error:  # for example, if a worker has another version of this project
        return Outcome(name, FAILED, f"{type(error).__name__} on its worker: {error}"[:400])


@contextlib.contextmanager
def _cluster(scheduler: str, workers: int) -> Iterator[str]:
    """The address of the given cluster, or of one that is started here and ends with the block."""
    if scheduler:
        yield scheduler
        return
    from distributed import LocalCluster

    # A job is a separate process: a memory limit of its worker would not limit it.
    options = {"threads_per_worker": 1, "memory_limit": 0, "dashboard_address": ":0", "silence_logs": logging.ERROR}
    with LocalCluster(n_workers=workers, processes=True, **options) as cluster:
        yield cluster.scheduler_address


@contextlib.contextmanager
def _client(address: str) -> Iterator[object]:
    from distributed import Client

    try:
        client = Client(address, timeout=CONNECT_SECONDS)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise TostError(f"--scheduler={address} cannot be reached: {reason}") from None
    try:
        yield client
    finally:
        client.close(timeout=CONNECT_SECONDS)
