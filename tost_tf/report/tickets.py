"""A figure of cheap tickets and their superpositions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tost_tf.drawing import BLUE, ORANGE, save


def draw_tickets(
    tickets: Sequence[Mapping[str, float]], superpositions: Sequence[Mapping[str, float]], path: Path, title: str
) -> None:
    """Draws validation and test accuracy of each ticket, and of its superposition with the tickets before it.

    Args:
      tickets: rows of `epoch`, `val_accuracy` and `test_accuracy`.
      superpositions: rows with the same keys, one for each ticket.
      path: the PNG file.
      title: above the figure.
    """
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    kinds = ((tickets, BLUE, "o", "cheap ticket"), (superpositions, ORANGE, "s", "superposition"))
    for rows, colour, marker, label in kinds:
        numbers = range(1, len(rows) + 1)
        for part, style in (("test_accuracy", "-"), ("val_accuracy", ":")):
            accuracies = [100 * row[part] for row in rows]
            name = f"{label}, {'test' if part == 'test_accuracy' else 'validation'}"
            axes.plot(numbers, accuracies, color=colour, marker=marker, ls=style, label=name)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("tickets (1: the end of ordinary training)")
    axes.set_ylabel("accuracy in %")
    axes.set_title(title, parse_math=False)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    save(figure, path)
