"""A figure of how masks changed while a network trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from tost_tf.drawing import BLUE, GREEN, ORANGE, save


def draw_mask_updates(rows: Sequence[Mapping[str, float]], path: Path, title: str) -> None:
    """Draws the weights that each update replaced, the fraction of the initial mask that is left, and the sparsity.

    Args:
      rows: those of `mask_updates.json`.
      path: the PNG file.
      title: above the figure.
    """
    figure = Figure(figsize=(8, 5.5), layout="constrained")
    changes, fractions = figure.subplots(2, 1, sharex=True)
    figure.suptitle(title, parse_math=False)
    steps = [row["step"] for row in rows]
    marker = "o" if len(rows) < 3 else None
    for name, colour, style in (("grown", BLUE, "-"), ("dropped", ORANGE, "--")):
        changes.plot(steps, [row[name] for row in rows], color=colour, ls=style, marker=marker, label=name)
    changes.set_ylabel("weights per update")
    changes.set_ylim(bottom=0)
    kept = "fraction of the initial mask still kept"
    fractions.plot(steps, [row["initial"] for row in rows], color=GREEN, marker=marker, label=kept)
    fractions.plot(steps, [row["sparsity"] for row in rows], color=ORANGE, ls="--", marker=marker, label="sparsity")
    fractions.set_ylim(-0.03, 1.03)
    fractions.set_xlabel("step")
    for axes in (changes, fractions):
        axes.legend()
        axes.grid(alpha=0.3)
    save(figure, path)
