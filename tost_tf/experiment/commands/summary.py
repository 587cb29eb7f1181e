"""The final report of a run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tost_tf.data.options import DataConfig
from tost_tf.experiment.run.folder import RunDirectory
from tost_tf.files import read_json
from tost_tf.progress import duration_text

MOST_CHANNELS = 4


def summary(result: dict[str, Any], directory: RunDirectory, seconds: float | None = None) -> str:
    """The most important facts about a finished run: accuracy, sparsity, time, and its files.

    Args:
      result: the content of `result.json`.
      directory: of the run.
      seconds: the duration of this launch, with everything besides training; `None` leaves it out.
    """
    layers = result["collapsed_layers"]
    tickets = len(result.get("tickets", ()))
    chosen = f"{tickets} tickets superposed" if tickets else f"epoch {result['best_epoch']}, best on validation"
    lines = [
        "",
        f"test accuracy  {100 * result['test_accuracy']:.2f}% ({chosen}; "
        f"last epoch {100 * result['test_accuracy_last']:.2f}%)",
        f"sparsity       {100 * result['sparsity']:.2f}%: {result['nonzero_parameters']:,} of "
        f"{result['parameters']:,} parameters are left",
        f"training       {result['train_seconds']:.0f} s, {result['images_per_second']:.0f} images per second"
        + (f"; {duration_text(seconds)} from launch to end" if seconds else ""),
        *_end_of_ghosts(directory.read_metrics()),
        f"SavedModel     {directory.export / 'saved_model'}",
        *_input(directory),
        *(
            f"{'' if place else 'figures':14} {figure}"
            for place, figure in enumerate(sorted(directory.figures.glob("*.png")))
        ),
        f"numbers        {directory.result}, {directory.metrics}",
    ]
    if layers:
        lines.insert(3, f"collapsed      no weight is left in {', '.join(layers)}")
    if not result.get("logits_depend_on_input", True):
        lines.insert(3, "disconnected   no path of kept weights leads from the input to the logits, which are constant")
    return "\n".join(lines)


def underfitting(rows: Sequence[Mapping[str, float]], data: DataConfig) -> str:
    """What may help if the network fits cropped training images less than the validation images; else nothing.

    At 98% sparsity a ResNet-20 gained 3 points without crops, and 0.5 without any augmentation (docs/results.md).
    """
    crops = data.augment and data.crop_padding != 0 and not data.adaptive_crops
    if not crops or not rows or rows[-1]["accuracy"] >= rows[-1]["val_accuracy"]:
        return ""
    training, validation = (100 * rows[-1][name] for name in ("accuracy", "val_accuracy"))
    return (
        f"\nThe training accuracy, {training:.1f}%, is below that of validation, {validation:.1f}%: the network cannot "
        "fit\nimages that are cropped as well. Compare with flips only, by --crop_padding=0\n"
    )


def _input(directory: RunDirectory) -> list[str]:
    """A line about the input of the SavedModel, and how it is fed to the network."""
    entry = read_json(directory.export / "manifest.json").get("saved_model", {})
    if "input" not in entry:
        return []
    mean, deviation = entry["mean"], entry["deviation"]
    if mean is None:
        fed = "fed unchanged"
    elif len(mean) > MOST_CHANNELS:
        fed = f"each of {len(mean)} features to mean 0 and deviation 1"
    else:
        numbers = [", ".join(f"{number:.4g}" for number in values) for values in (mean, deviation)]
        fed = f"fed as (pixel / 255 - mean) / deviation, mean {numbers[0]}, deviation {numbers[1]}"
    return [f"input          {entry['input']}; {fed}"]


def _end_of_ghosts(rows: list[dict[str, float]]) -> list[str]:
    """A line about the validation accuracy before and after the ghosts ended, if they did."""
    with_ghosts = [row for row in rows if row["alpha"] > 0 or math.isfinite(row["beta"])]
    if not with_ghosts or len(with_ghosts) == len(rows):
        return []
    last = with_ghosts[-1]
    following = next((row for row in rows if row["epoch"] == last["epoch"] + 1), None)
    if following is None:
        return []
    before, after = (100 * row["val_accuracy"] for row in (last, following))
    return [
        f"ghosts         until epoch {last['epoch']}: validation {before:.1f}% with them, {after:.1f}% an epoch later"
    ]
