"""The final report of a run."""

from __future__ import annotations

from typing import Any

from tost_tf.experiment.run.folder import RunDirectory


def summary(result: dict[str, Any], directory: RunDirectory) -> str:
    """What a person wants to know of a finished run: how good, how sparse, where things are, what next."""
    layers = result["collapsed_layers"]
    tickets = len(result.get("tickets", ()))
    chosen = f"{tickets} tickets superposed" if tickets else f"epoch {result['best_epoch']}, best on validation"
    lines = [
        "",
        f"test accuracy  {100 * result['test_accuracy']:.2f}% ({chosen}; "
        f"last epoch {100 * result['test_accuracy_last']:.2f}%)",
        f"sparsity       {100 * result['sparsity']:.2f}%: {result['nonzero_parameters']:,} of "
        f"{result['parameters']:,} parameters are left",
        f"training       {result['train_seconds']:.0f} s, {result['images_per_second']:.0f} images a second",
        f"SavedModel     {directory.export / 'saved_model'}",
        f"figures        {directory.figures / 'learning_curves.png'}",
        f"               {directory.figures / 'sparsity_by_layer.png'}",
        f"numbers        {directory.result}, {directory.metrics}",
    ]
    if layers:
        lines.insert(3, f"collapsed      no weight is left in {', '.join(layers)}")
    return "\n".join(lines)
