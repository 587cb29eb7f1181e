"""One process of a sweep, as it is sent to a worker: a run, or a mask that several runs share."""

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

LOCK_SECONDS = 600.0  # how long a process that is being stopped may still do a job
FINISHED, FAILED, NOT_STARTED = "finished", "failed", "not started"


@dataclasses.dataclass(frozen=True)
class Job:
    """What is started, and where.

    Attributes:
      name: of the run or the mask.
      command: "train" or "mask".
      arguments: of the command.
      folder: the working folder, absolute; all other paths may be relative to it.
      log: file that the process writes to.
      target: the run's folder, or the mask's file.
      needs: names of jobs that have to be finished before.
      mask: the shared mask's file; none where the run finds its own.
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
        """Whether what the job makes is there, whole."""
        return self.path.exists() if self.command == "mask" else RunDirectory(self.path).read_result() is not None

    @property
    def shell_command(self) -> str:
        return shlex.join([f"tost-{self.command}", *self.arguments])


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a job ended: `FINISHED`, `FAILED` or `NOT_STARTED`, and why."""

    name: str
    state: str
    error: str = ""


def run_job(job: Job, threads: int, *needed: Outcome) -> Outcome:
    """Does a job in a process of its own, unless what it makes is there already.

    Called on a worker. A job that was stopped resumes from its last checkpoint.

    Args:
      job: the job.
      threads: CPU threads of the process; 0 leaves them to TensorFlow.
      needed: how the jobs ended that this one needs.
    """
    missing = next((outcome for outcome in needed if outcome.state != FINISHED), None)
    if missing is not None:
        return Outcome(job.name, NOT_STARTED, f"it needs {missing.name!r}, which {missing.state}")
    log = Path(job.folder, job.log)
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(log, "ab") as output:
            # Kept by the process that is started as long as it lives, whatever becomes of its worker.
            _lock(output, LOCK_SECONDS)
            if job.is_finished:
                return Outcome(job.name, FINISHED)
            if job.mask:
                give_mask(flags.parse(job.arguments), job.path, Path(job.folder, job.mask))
            code = _run(job, threads, output)
    except (TostError, OSError) as error:
        return Outcome(job.name, FAILED, str(error))
    return Outcome(job.name, FINISHED) if code == 0 else Outcome(job.name, FAILED, _last_words(job, code))


def _run(job: Job, threads: int, output: BinaryIO) -> int:
    """Starts the process and waits for it; its exit code. It ends with this process, however that ends."""
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
    """The worker's environment with a fraction of the cores; what is set there already counts."""
    names = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
    share = dict.fromkeys(names, str(threads)) if threads else {}
    return share | os.environ | ({"OMP_NUM_THREADS": str(threads)} if threads else {})  # Dask sets this one to 1


def _lock(file: BinaryIO, seconds: float) -> None:
    """Locks a job's log, once no process does the job any more: one that is being stopped has it for a while.

    Raises:
      TostError: another process has it for longer than that.
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
            logging.warning("%s is on a file system without locks: see that only one sweep runs there", file.name)
            return


def _last_words(job: Job, code: int) -> str:
    """The command's own sentence, else its last line."""
    lines = Path(job.folder, job.log).read_text(errors="replace").splitlines()
    own = [line for line in lines if line.strip()]
    own = own[max((place for place, line in enumerate(own) if line.startswith("$ ")), default=-1) + 1 :]
    told = [line.partition(": error: ")[2] for line in own if line.startswith(f"tost-{job.command}: error: ")]
    last = (told or own or ["it printed nothing"])[-1]
    return last[:400] if code == 2 and told else f"exit code {code}: {last[:400]}"
