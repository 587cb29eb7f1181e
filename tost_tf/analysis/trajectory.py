"""The largest eigenvalue during training (ToST, Figures 2 and 9a), recorded while a network trains."""

from __future__ import annotations

from pathlib import Path

from tost_tf.analysis.analysis import Analysis, Results
from tost_tf.drawing import COLOURS, line_style, save, titled_axes


def draw_trajectory(results: Results, path: Path, title: str) -> None:
    """Lines: the largest eigenvalue over the epochs (Figures 2 and 9a of the paper)."""
    figure, axes = titled_axes(title)
    for number, (label, rows) in enumerate(results.items()):
        first = [row for row in rows if row["index"] == 1]
        epochs, values = ([row[key] for row in first] for key in ("epoch", "eigenvalue"))
        axes.plot(epochs, values, line_style(number), color=COLOURS[number % 4], label=label, marker=".")
    axes.set_yscale("symlog")
    axes.set_xlabel("epoch")
    axes.set_ylabel("largest eigenvalue of the Hessian, kept weights")
    axes.legend()
    save(figure, path)


ANALYSIS = Analysis(draw_trajectory, "largest eigenvalue during training", recorded_by="hessian_every=1")
