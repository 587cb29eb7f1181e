"""Runs an export as it will be used: in a fresh process that cannot import this project."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tost_tf.errors import TostError
from tost_tf.export.format import Format

# Packages an export must not need. Most need no Keras either, which takes half the time of importing TensorFlow.
FOREIGN = ("tost_tf", "tf_keras", "tensorflow_model_optimization")
SEARCH_PATH = "TOST_SEARCH_PATH"  # the programs, which import nothing of this project, read it


@dataclasses.dataclass(frozen=True)
class FreshProcessResult:
    """What a fresh process found in an export.

    Attributes:
      logits: of all images.
      names, sizes, axes, zeros: for each variable its name, number of weights, number of axes, and number of zeros.
      logits_of_bytes: of the first images, from a SavedModel's signature for bytes; `None` for other formats.
    """

    logits: np.ndarray
    names: np.ndarray
    sizes: np.ndarray
    axes: np.ndarray
    zeros: np.ndarray
    logits_of_bytes: np.ndarray | None = None


def run_in_fresh_process(kind: Format, path: str | os.PathLike, images: np.ndarray) -> FreshProcessResult:
    """Runs an export on images in a fresh process.

    Args:
      kind: the file's format.
      path: the file.
      images: in the form the file takes.

    Raises:
      TostError: the file does not load or run there.
    """
    with tempfile.TemporaryDirectory() as scratch:
        inputs, outputs = (Path(scratch, name) for name in ("images.npz", "outputs.npz"))
        np.savez(inputs, images=images)
        problem = run_program("fresh_process_program.py", kind, kind.load, (path, inputs, outputs))
        if problem:
            raise TostError(f"the {kind.label} {str(path)!r} does not load in a fresh process: {problem}")
        with np.load(outputs, allow_pickle=False) as answer:
            return FreshProcessResult(**{name: answer[name] for name in answer.files})


def run_program(
    program: str,
    kind: Format,
    function: Callable[..., Any],
    arguments: tuple[str | os.PathLike, ...],
    environment: Mapping[str, str] | None = None,
) -> str:
    """Runs a program of this folder, which gets a function of a format as source code, in a fresh process.

    Args:
      program: the name of its file.
      kind: the format.
      function: of the format.
      arguments: of the program, after the file and the name of the function; hidden packages follow them.
      environment: variables that are set for it.

    Returns:
      The last line of its errors if it fails, else nothing.
    """
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch, "function.py")
        source.write_text(_source(kind, function))
        hidden = FOREIGN if kind.needs_keras else (*FOREIGN, "keras")
        # -I: neither this folder, nor PYTHONPATH, nor anything loaded here reaches that process.
        given = map(str, (source, function.__name__, *arguments, *hidden))
        command = [sys.executable, "-I", str(Path(__file__).with_name(program)), *given]
        variables = {name: value for name, value in os.environ.items() if name != "TF_USE_LEGACY_KERAS"}
        # Packages may be in folders that only the user's settings name, which -I ignores: these are searched last.
        variables[SEARCH_PATH] = os.pathsep.join(path for path in sys.path if os.path.isabs(path))
        variables |= environment or {}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=variables)
    return (done.stderr.strip().splitlines() or ["no reason given"])[-1] if done.returncode else ""


def _source(kind: Format, function: Callable[..., Any]) -> str:
    if function not in kind.sources:
        raise TostError(
            f"the code of the function that loads a {kind.label} cannot be read: write it with `def`, in a file or "
            "a notebook"
        )
    return f"from __future__ import annotations\n\n{kind.sources[function]}"
