"""The check of an exported file: what it must fulfil, and what was measured."""

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
from tost_tf.export.format import Format
from tost_tf.export.fresh_process import FreshProcessResult, run_in_fresh_process
from tost_tf.export.kernels_in_file import zeros_by_kernel
from tost_tf.graph.kernels import prunable_weights


def check_file(kind: Format, path: Path, network: keras.Model, written: keras.Model, data: ImageData) -> dict[str, Any]:
    """Checks logits, accuracy and zeros of a file in a fresh process, on the whole test set.

    Args:
      kind: its format.
      path: the file.
      network: the model the file is compared with.
      written: the model the file was made from: `network`, or a smaller one that computes the same.
      data: its test images are used.

    Returns:
      The measurements, for the manifest. If they are not good enough, `failed` gives the reason.
    """
    stated = {"tolerance": dataclasses.asdict(kind.tolerance)}
    inputs, labels = first_examples(data, data.test, len(data.test))
    expected = network.predict(inputs, batch_size=500, verbose=0)
    try:
        found = run_in_fresh_process(kind, path, data.test.images if kind.takes_pixels else inputs)
    except TostError as error:
        return stated | {"failed": str(error)}
    accuracy, in_memory = (float(np.mean(logits.argmax(1) == labels.argmax(1))) for logits in (found.logits, expected))
    zeros, wrong_zeros = _zeros(kind, path, written, found)
    wrong = [*_wrong_logits(kind, path, found, expected), *wrong_zeros]
    allowed = max(kind.tolerance.accuracy, 1 / len(labels))
    if abs(accuracy - in_memory) > allowed + 1e-9:
        wrong.append(
            f"{path} has accuracy {accuracy:.2%}, the network in memory {in_memory:.2%}: more than {allowed:.2%} apart"
        )
    numbers = {
        "test_accuracy": accuracy,
        "accuracy_in_memory": in_memory,
        "largest_difference": _finite(_largest_difference(found, expected)),
        "zeros": int(found.zeros.sum()),
        "weights": int(found.sizes.sum()),
    }
    return stated | numbers | zeros | ({"failed": "; ".join(wrong)} if wrong else {})


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None  # JSON knows no NaN


def _wrong_logits(kind: Format, path: Path, found: FreshProcessResult, expected: np.ndarray) -> list[str]:
    """What is wrong with the logits: some are not finite, or differ by more than the format allows."""
    tolerance, wrong = kind.tolerance, []
    infinite = int(np.sum(~np.isfinite(found.logits)))
    if infinite:
        wrong.append(f"the {kind.label} {str(path)!r} gives {infinite} logits that are not finite")
    if tolerance.logits is not None:
        difference = _largest_difference(found, expected)
        allowed = tolerance.logits * max(1.0, float(np.max(np.abs(expected))))
        if not difference <= allowed:
            wrong.append(
                f"the {kind.label} {str(path)!r} gives other logits than the model: they differ by {difference:g}, "
                f"more than {allowed:g}"
            )
    difference, fraction = _root_mean_square(found.logits - expected), tolerance.logits_root_mean_square
    if fraction is not None and not difference <= fraction * _root_mean_square(expected):
        wrong.append(
            f"{path} gives other logits than the network in memory: they differ by {difference:g} (root mean square), "
            f"more than {fraction:g} of their size of {_root_mean_square(expected):g}"
        )
    return wrong


def _largest_difference(found: FreshProcessResult, expected: np.ndarray) -> float:
    """The largest |difference| of logits, also of those computed from bytes; not finite if some logits are not."""
    difference = np.max(np.abs(found.logits - expected))
    if found.logits_of_bytes is not None:
        of_bytes = found.logits_of_bytes
        difference = np.maximum(difference, np.max(np.abs(of_bytes - expected[: len(of_bytes)])))
    return float(difference)


def _root_mean_square(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))


def _zeros(
    kind: Format, path: Path, written: keras.Model, found: FreshProcessResult
) -> tuple[dict[str, Any], list[str]]:
    """The sparsity of the file, by layer and overall, and what is wrong with it: too few zeros, or too many."""
    kernels = {name: weight.numpy() for name, weight in prunable_weights(written).items()}
    expected = {name: kernel.size - int(np.count_nonzero(kernel)) for name, kernel in kernels.items()}
    zeros = zeros_by_kernel(kind, written, found)
    known = {name: count for name, count in zeros.items() if count is not None}
    wrong = [
        f"{path} has {count} zeros in {name}, the network in memory has {expected[name]}"
        for name, count in known.items()
        if count < expected[name] or (count > expected[name] and not kind.tolerance.more_zeros)
    ]
    if len(known) < len(zeros) and int(found.zeros.sum()) < sum(expected.values()):
        wrong.append(f"{path} has {int(found.zeros.sum())} zeros, fewer than the {sum(expected.values())} in memory")
    size = sum(kernels[name].size for name in known)
    return {
        "sparsity": sum(known.values()) / size if size else None,
        "layer_sparsity": {n: None if count is None else count / kernels[n].size for n, count in zeros.items()},
    }, wrong
