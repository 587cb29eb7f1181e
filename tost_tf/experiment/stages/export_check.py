"""What an exported file has to do to pass, and how it did."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np

from tost_tf.compat import keras
from tost_tf.data.images import ImageData
from tost_tf.data.pipeline import first_examples
from tost_tf.errors import TostError
from tost_tf.export.verify import (
    LARGEST_DIFFERENCE,
    Elsewhere,
    allowed_difference,
    complaints,
    largest_difference,
    run_elsewhere,
)
from tost_tf.export.zeros_in_file import zeros_in_file
from tost_tf.graph.kernels import prunable_weights


@dataclasses.dataclass(frozen=True)
class Tolerance:
    """How far a file may be from the network in memory.

    Attributes:
      accuracy: of the accuracy on the test set, as a share; one image is always allowed.
      logits: the largest difference, times the largest |logit|; `None`: any, as where a few images leave the ranges
        that int8 was measured on.
      logits_root_mean_square: that of the differences, times that of the logits; `None`: not looked at.
    """

    accuracy: float
    logits: float | None
    logits_root_mean_square: float | None = None


EXACT = Tolerance(1e-3, LARGEST_DIFFERENCE)  # times the largest |logit| or 1, if that is more
TOLERANCES = {"tflite float16": Tolerance(0.005, 1e-2), "tflite int8": Tolerance(0.03, None, 0.5)}


def check_file(
    name: str, kind: str, path: Path, network: keras.Model, written: keras.Model, data: ImageData
) -> dict[str, Any]:
    """Logits, accuracy and zeros of a file in a fresh process, on the whole test set, for the manifest.

    Args:
      name: what the file is called in the manifest.
      kind: "saved_model", "keras3" or "tflite".
      path: the file.
      network: what the file is compared with.
      written: what the file was made of: `network` or a smaller one that computes the same.
      data: of the run.

    Returns:
      What was found, and where that is not good enough `failed`, which says why.
    """
    tolerance = TOLERANCES.get(name, EXACT)
    stated = {"tolerance": dataclasses.asdict(tolerance)}
    inputs, labels = first_examples(data, data.test, len(data.test))
    expected = network.predict(inputs, batch_size=500, verbose=0)
    try:
        found = run_elsewhere(kind, path, inputs if kind == "keras3" else data.test.images)
    except TostError as error:
        return stated | {"failed": str(error)}
    accuracy, in_memory = (float(np.mean(logits.argmax(1) == labels.argmax(1))) for logits in (found.logits, expected))
    zeros, problems = _zeros(kind, path, written, found)
    wrong = [*_wrong_logits(tolerance, kind, path, found, expected), *problems]
    allowed = max(tolerance.accuracy, 1 / len(labels))
    if abs(accuracy - in_memory) > allowed + 1e-9:
        wrong.append(
            f"{path} is right on {accuracy:.2%}, the network on {in_memory:.2%}: more than {allowed:.2%} apart"
        )
    numbers = {
        "test_accuracy": accuracy,
        "accuracy_in_memory": in_memory,
        "largest_difference": _finite(largest_difference(found, expected)),
        "zeros": int(found.zeros.sum()),
        "weights": int(found.sizes.sum()),
    }
    return stated | numbers | zeros | ({"failed": "; ".join(wrong)} if wrong else {})


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None  # JSON knows no NaN


def _wrong_logits(tolerance: Tolerance, kind: str, path: Path, found: Elsewhere, expected: np.ndarray) -> list[str]:
    allowed = None if tolerance.logits is None else tolerance.logits * float(np.max(np.abs(expected)))
    wrong = complaints(kind, path, found, expected, allowed_difference(expected) if tolerance is EXACT else allowed)
    difference, share = _root_mean_square(found.logits - expected), tolerance.logits_root_mean_square
    if share is not None and not difference <= share * _root_mean_square(expected):
        wrong.append(
            f"{path} gives other logits than the network in memory: they differ by {difference:g} (root mean square), "
            f"more than {share:g} of the {_root_mean_square(expected):g} they have there"
        )
    return wrong


def _root_mean_square(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))


def _zeros(kind: str, path: Path, written: keras.Model, found: Elsewhere) -> tuple[dict[str, Any], list[str]]:
    """The sparsity of the file, by layer and in all, and what is wrong with it: pruned weights that are back."""
    kernels = {name: weight.numpy() for name, weight in prunable_weights(written).items()}
    expected = {name: kernel.size - int(np.count_nonzero(kernel)) for name, kernel in kernels.items()}
    zeros = zeros_in_file(kind, written, found)
    known = {name: count for name, count in zeros.items() if count is not None}
    wrong = [
        f"{path} has {count} zeros in {name}, the network in memory has {expected[name]}"
        for name, count in known.items()
        # Quantisation makes more zeros.
        if (count < expected[name] if kind == "tflite" else count != expected[name])
    ]
    if len(known) < len(zeros) and int(found.zeros.sum()) < sum(expected.values()):
        wrong.append(f"{path} has {int(found.zeros.sum())} zeros, fewer than the {sum(expected.values())} in memory")
    size = sum(kernels[name].size for name in known)
    return {
        "sparsity": sum(known.values()) / size if size else None,
        "layer_sparsity": {n: None if count is None else count / kernels[n].size for n, count in zeros.items()},
    }, wrong
