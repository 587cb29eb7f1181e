"""Checking an export where it will be used: in a fresh process that has never heard of this project."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from tost_tf.compat import keras
from tost_tf.errors import TostError

LARGEST_DIFFERENCE = 1e-5
SEARCH_PATH = "TOST_SEARCH_PATH"  # load_elsewhere.py, which imports nothing of this project, reads it
NAMES = {"saved_model": "SavedModel", "keras3": "Keras 3 file", "tflite": "TensorFlow Lite file"}


@dataclasses.dataclass(frozen=True)
class Elsewhere:
    """What a fresh process found in an export.

    Attributes:
      logits: of all images.
      names, sizes, axes, zeros: by variable its name, how many weights and axes it has, and how many weights are zero.
      logits_of_bytes: what a SavedModel's signature for bytes gives for the first images; `None` for other formats.
    """

    logits: np.ndarray
    names: np.ndarray
    sizes: np.ndarray
    axes: np.ndarray
    zeros: np.ndarray
    logits_of_bytes: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Check:
    """What a fresh process found: the largest |difference| of logits, and how many weights are zero of how many.

    Logits may differ by 1e-5, times the largest |logit| where that is above 1.
    """

    largest_difference: float
    zeros: int
    size: int


def run_elsewhere(kind: str, path: str | os.PathLike, images: np.ndarray) -> Elsewhere:
    """Runs an export on images in a fresh process.

    Args:
      kind: "saved_model", "keras3" or "tflite".
      path: the export.
      images: as it takes them.

    Raises:
      TostError: it does not load or run there.
    """
    with tempfile.TemporaryDirectory() as scratch:
        inputs, outputs = Path(scratch, "images.npz"), Path(scratch, "outputs.npz")
        np.savez(inputs, images=images)
        program = Path(__file__).with_name("load_elsewhere.py")
        # -I: neither this folder, nor PYTHONPATH, nor anything loaded here reaches that process.
        command = [sys.executable, "-I", str(program), kind, str(path), str(inputs), str(outputs)]
        environment = {name: value for name, value in os.environ.items() if name != "TF_USE_LEGACY_KERAS"}
        # Packages may be where only the user's settings lead to, which -I ignores: they are looked for there last.
        environment[SEARCH_PATH] = os.pathsep.join(path for path in sys.path if os.path.isabs(path))
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        if done.returncode:
            last_words = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise TostError(f"the {NAMES[kind]} {str(path)!r} does not load in a fresh process: {last_words}")
        with np.load(outputs, allow_pickle=False) as answer:
            return Elsewhere(**{name: answer[name] for name in answer.files})


def largest_difference(found: Elsewhere, expected: np.ndarray) -> float:
    """The largest |difference| of logits, those of bytes too; NaN or infinite if some are not finite."""
    difference = np.max(np.abs(found.logits - expected))
    if found.logits_of_bytes is not None:
        of_bytes = found.logits_of_bytes
        difference = np.maximum(difference, np.max(np.abs(of_bytes - expected[: len(of_bytes)])))
    return float(difference)


def complaints(
    kind: str, path: str | os.PathLike, found: Elsewhere, expected: np.ndarray, allowed: float | None
) -> list[str]:
    """What is wrong with the logits: that some are not finite, or differ by more than allowed (`None`: by anything).

    Args:
      expected: the logits of the model, [images, classes].
    """
    wrong = []
    infinite = int(np.sum(~np.isfinite(found.logits)))
    if infinite:
        wrong.append(f"the {NAMES[kind]} {str(path)!r} gives {infinite} logits that are not finite")
    difference = largest_difference(found, expected)
    if allowed is not None and not difference <= allowed:
        wrong.append(
            f"the {NAMES[kind]} {str(path)!r} gives other logits than the model: they differ by {difference:g}, "
            f"more than {allowed:g}"
        )
    return wrong


def allowed_difference(expected: np.ndarray) -> float:
    """What logits may differ by where the file computes in single precision as the model does: see `Check`."""
    return LARGEST_DIFFERENCE * max(1.0, float(np.max(np.abs(expected))))


def check_saved_model(
    path: str | os.PathLike, model: keras.Model, images: np.ndarray, network_inputs: np.ndarray
) -> Check:
    """Loads the SavedModel in a fresh process and compares it with the model in memory.

    Args:
      path: the SavedModel.
      model: what was exported.
      images: raw images, pixels 0 to 255, [batch, height, width, channels].
      network_inputs: the same images as the network takes them.

    Raises:
      TostError: it does not load, its logits differ by more than `LARGEST_DIFFERENCE` (of the largest |logit|, where
        that is above 1), or it has other zeros than the model.
    """
    found = run_elsewhere("saved_model", path, images)
    expected = model(network_inputs, training=False).numpy()
    wrong = complaints("saved_model", path, found, expected, allowed_difference(expected))
    if wrong:
        raise TostError("; ".join(wrong))
    values = [variable.numpy() for variable in model.variables]
    if found.zeros.tolist() != [value.size - np.count_nonzero(value) for value in values]:
        raise TostError(f"the SavedModel {str(path)!r} has other zeros than the model it was made from")
    return Check(largest_difference(found, expected), int(found.zeros.sum()), int(found.sizes.sum()))
