"""Processes that have imported TensorFlow already, for what a run checks in a fresh process.

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


def work(arguments: list[str], environment: dict[str, str], errors: str) -> None:
    """What the forked process does: the program as it is, its errors into a file."""
    os.environ.clear()
    os.environ.update(environment)
    with open(errors, "w") as file:
        os.dup2(file.fileno(), 2)
    sys.argv = arguments
    runpy.run_path(arguments[0], run_name="__main__")


@contextlib.contextmanager
def warm_processes() -> Iterator[None]:
    """In this block `subprocess.run` has the programs that check and measure exports run by such a process."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tensorflow"])
    original = subprocess.run

    def run(command, *others, **options):
        if len(command) < 3 or command[1] != "-I" or Path(command[2]).name not in PROGRAMS:
            return original(command, *others, **options)
        with tempfile.NamedTemporaryFile("r") as errors:
            process = context.Process(target=work, args=(command[2:], options["env"], errors.name))
            with without_legacy_keras():  # the first process starts the one that all are forked from
                process.start()
            process.join()
            return subprocess.CompletedProcess(command, process.exitcode, "", errors.read())

    subprocess.run = run
    try:
        yield
    finally:
        subprocess.run = original


@contextlib.contextmanager
def without_legacy_keras() -> Iterator[None]:
    before = os.environ.pop("TF_USE_LEGACY_KERAS")
    try:
        yield
    finally:
        os.environ["TF_USE_LEGACY_KERAS"] = before
