"""Processes that have imported TensorFlow already, for what a run checks in a fresh process, and for commands.

Each is forked from one that has imported TensorFlow and nothing of this project, whose import is most of what a check
takes. Fresh processes from the start are in the tests of `export`, of the commands and of the notebooks.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

PROGRAMS = ("fresh_process_program.py", "latency_program.py")


CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tensorflow"])


def work(arguments: list[str], environment: dict[str, str], output: str, errors: str) -> None:
    """What the forked process does: the program as it is, what it writes into files."""
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None  # it is in the environment
    for number, path in ((1, output), (2, errors)):
        with open(path, "w") as file:
            os.dup2(file.fileno(), number)
    sys.argv = arguments
    with warm_processes():
        runpy.run_path(arguments[0], run_name="__main__")


class WarmProcess:
    """A command run by such a process: what tests use of `subprocess.Popen`, with text."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self.command = command
        self._files = [tempfile.NamedTemporaryFile("r") for _ in range(2)]  # noqa: SIM115, gone with the process
        self._process = CONTEXT.Process(target=work, args=(command, environment, *(file.name for file in self._files)))
        with without_legacy_keras():  # the first process starts the one that all are forked from
            self._process.start()

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self._process.pid, number)

    def kill(self) -> None:
        self._process.kill()

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        self._process.join(timeout)
        if self.poll() is None:
            raise subprocess.TimeoutExpired(self.command, timeout)
        output, errors = (Path(file.name).read_text() for file in self._files)
        return output, errors


@contextlib.contextmanager
def warm_processes() -> Iterator[None]:
    """In this block `subprocess.run` has the programs that check and measure exports run by such a process."""
    original = subprocess.run

    def run(command, *others, **options):
        if len(command) < 3 or command[1] != "-I" or Path(command[2]).name not in PROGRAMS:
            return original(command, *others, **options)
        process = WarmProcess(command[2:], options["env"])
        output, errors = process.communicate()
        return subprocess.CompletedProcess(command, process.returncode, output, errors)

    subprocess.run = run
    try:
        yield
    finally:
        subprocess.run = original


@contextlib.contextmanager
def without_legacy_keras() -> Iterator[None]:
    before = os.environ.pop("TF_USE_LEGACY_KERAS", None)
    try:
        yield
    finally:
        if before is not None:
            os.environ["TF_USE_LEGACY_KERAS"] = before
