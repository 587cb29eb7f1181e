"""A job of a sweep, one process on a worker: a run, or the search for a mask that several runs share."""

from __future__ import annotations

import dataclasses
import fcntl
import logging
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import BinaryIO

from tost_tf.errors import TostError
from tost_tf.experiment import flags
from tost_tf.experiment.run.folder import RunDirectory
from tost_tf.experiment.sweep.give_mask import give_mask

LOCK_SECONDS = 600.0  # how long to wait for another process that is still doing the job
FINISHED, FAILED, NOT_STARTED = "finished", "failed", "not started"


@dataclasses.dataclass(frozen=True)
class Job:
    """A command, and the folder it runs in.

    Attributes:
      name: of the run or the mask.
      command: "train" or "mask".
      arguments: of the command.
      folder: the working folder, absolute; all other paths may be relative to it.
      log: the file for the output of the process.
      target: the run's folder, or the mask's file.
      needs: names of jobs that must be finished first.
      mask: the file of the shared mask; empty if the run finds its mask itself.
    """

    name: str
    command: str
    arguments: tuple[str, ...]
    folder: str
    log: str
    target: str
    needs: tuple[str, ...] = ()
    mask: str = ""

    @property
    def path(self) -> Path:
        return Path(self.folder, self.target)

    @property
    def is_finished(self) -> bool:
        """Whether the complete result of the job exists."""
        return self.path.exists() if self.command == "mask" else RunDirectory(self.path).read_result() is not None

    @property
    def shell_command(self) -> str:
        return shlex.join([f"tost-{self.command}", *self.arguments])


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a job ended: `FINISHED`, `FAILED` or `NOT_STARTED`, and the reason if it did not finish."""

    name: str
    state: str
    error: str = ""


def run_job(job: Job, threads: int, *needed: Outcome) -> Outcome:
    """Does a job in a separate process, unless its result exists already.

    Called on a worker. A job that was stopped resumes from its last checkpoint.

    Args:
      job: the job.
      threads: CPU threads of the process; 0 leaves the number to TensorFlow.
      needed: the outcomes of the jobs that this one needs.
    """
    missing = next((outcome for outcome in needed if outcome.state != FINISHED), None)
    if missing is not None:
        return Outcome(job.name, NOT_STARTED, f"it needs {missing.name!r}, which {missing.state}")
    log = Path(job.folder, job.log)
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(log, "ab") as output:
            # The started process inherits the lock and keeps it until it ends, even if its worker ends earlier.
            _lock(output, LOCK_SECONDS)
            if job.is_finished:
                return Outcome(job.name, FINISHED)
            if job.mask:
                give_mask(flags.parse(job.arguments), job.path, Path(job.folder, job.mask))
            code = _run(job, threads, output)
    except (TostError, OSError) as error:
        return Outcome(job.name, FAILED, str(error))
    return Outcome(job.name, FINISHED) if code == 0 else Outcome(job.name, FAILED, _failure(job, code))


def _run(job: Job, threads: int, output: BinaryIO) -> int:
    """Starts the process, waits for it and returns its exit code. If this process ends, so does the other."""
    output.write(f"\n$ {job.shell_command}\n".encode())
    output.flush()
    command = [sys.executable, "-m", "tost_tf.experiment.sweep.child", str(os.getpid()), job.command, *job.arguments]
    options = {"cwd": job.folder, "env": _environment(threads), "stdin": subprocess.DEVNULL}
    process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, **options)
    try:
        return process.wait()
    finally:
        process.terminate()


def _environment(threads: int) -> dict[str, str]:
    """The worker's environment, with the number of threads for TensorFlow unless it is set there already."""
    names = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
    defaults = dict.fromkeys(names, str(threads)) if threads else {}
    return defaults | os.environ | ({"OMP_NUM_THREADS": str(threads)} if threads else {})  # Dask sets this one to 1


def _lock(file: BinaryIO, seconds: float) -> None:
    """Locks a job's log; waits while another process, such as one that is being stopped, still does the job.

    Args:
      file: the log.
      seconds: how long to wait.

    Raises:
      TostError: another process still holds the lock after that time.
    """
    end = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > end:
                raise TostError(f"another process has been doing this for {seconds:g} s: see {file.name}") from None
            time.sleep(0.2)
        except OSError:
            logging.warning("%s is on a file system without locks: make sure only one sweep runs there", file.name)
            return


def _failure(job: Job, code: int) -> str:
    """Why the process failed: the command's error message, or the last line of its output."""
    lines = Path(job.folder, job.log).read_text(errors="replace").splitlines()
    lines = [line for line in lines if line.strip()]
    lines = lines[max((place for place, line in enumerate(lines) if line.startswith("$ ")), default=-1) + 1 :]
    errors = [line.partition(": error: ")[2] for line in lines if line.startswith(f"tost-{job.command}: error: ")]
    last = (errors or lines or ["it printed nothing"])[-1]
    return last[:400] if code == 2 and errors else f"exit code {code}: {last[:400]}"
