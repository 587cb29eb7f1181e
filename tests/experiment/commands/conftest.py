import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.warm_process import WarmProcess
from tost_tf.experiment.commands import mask, train
from tost_tf.experiment.commands.command import run_command

COMMAND = [str(Path(sys.executable).with_name("tost-train"))]


@pytest.fixture(scope="session")
def small_run(network) -> tuple[str, ...]:
    """Flags of a whole run on the bundled digits in a few seconds."""
    data = ("--dataset=digits", "--train_examples=120", "--batch_size=48")
    masks = ("--dense_layers=logits", "--sparsity=0.8")
    return (*data, f"--model={network}", *masks, "--rescale_init", "--rescale_steps=6", "--deterministic")


def start(*arguments: object, **variables: str) -> subprocess.Popen:
    environment = os.environ | {"PYTHONUNBUFFERED": "1"} | variables
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def start_warm(*arguments: object, **variables: str) -> WarmProcess:
    """The same in a process that has imported TensorFlow already."""
    return WarmProcess([*COMMAND, *map(str, arguments)], os.environ | {"PYTHONUNBUFFERED": "1"} | variables)


@pytest.fixture
def tost_train():
    """Runs the installed command in a process of its own: arguments to (exit code, standard output, standard error)."""

    def run(*arguments: object) -> tuple[int, str, str]:
        process = start(*arguments)
        output, errors = process.communicate(timeout=300)
        return process.returncode, output, errors

    return run


@pytest.fixture
def run_here(capfd):
    """Runs a command in this process: its name and arguments to (exit code, standard output, standard error)."""

    def run(name: str, *arguments: object) -> tuple[int, str, str]:
        capfd.readouterr()
        main = {"tost-train": train.main, "tost-mask": mask.main}[name]
        return run_command(name, main, list(map(str, arguments))), *capfd.readouterr()

    return run
