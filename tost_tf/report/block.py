"""A picture of one block of a network: before, during and after the phase with ghosts."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tost_tf.compat import keras
from tost_tf.compat.graphs import graph_nodes
from tost_tf.drawing import BLUE, GREY, ORANGE
from tost_tf.errors import TostError
from tost_tf.files import replaced_file
from tost_tf.ghost.branches import GhostBranches
from tost_tf.ghost.model import GhostModel
from tost_tf.ghost.neuron_layer import GhostNeuron
from tost_tf.ghost.skip import GhostSkip
from tost_tf.graph.copy import unwrapped_layer

GHOST, PLAIN, INPUT = "#fde0c5", "#d6e4f0", "#eeeeee"


def block_graph(model: keras.Model, prefix: str) -> dict[str, list[str]]:
    """The layers of `model` whose names start with `prefix`, in order, each with the layers it reads.

    Layers outside the block are called "input".

    Raises:
      TostError: no layer has such a name.
    """
    made_by, graph = {}, {}
    for node in graph_nodes(model):
        name = unwrapped_layer(node.layer).name
        made_by |= dict.fromkeys(node.flat_output_ids, name)
        if name.startswith(prefix):
            graph[name] = [made_by.get(key, "input") for key in node.flat_input_ids]
    if not graph:
        raise TostError(f"{model.name} has no layer whose name starts with {prefix!r}")
    return {name: [read if read in graph else "input" for read in reads] for name, reads in graph.items()}


def draw_block(
    model: GhostModel, prefix: str, path: str | os.PathLike, rows: Sequence[Mapping[str, float]] = ()
) -> None:
    """Draws a block of `model`, the layers whose names start with `prefix`, in three panels, as a PNG.

    Args:
      model: has the block, with ghosts and without.
      prefix: of the names of the block's layers.
      path: the file.
      rows: those of a run's `metrics.csv`; if given, a fourth panel shows its accuracy while α falls.

    Raises:
      TostError: no layer has such a name.
    """
    panels = {
        "before: the sparse network": model.plain,
        "with ghosts: α falls from 1 to 0, β rises": model.ghosted,
        "after: the sparse network again": model.plain,
    }
    ghosts = {
        layer.name for layer in model.ghosted.layers if isinstance(layer, GhostNeuron | GhostBranches | GhostSkip)
    }
    figure = Figure(figsize=(15 if rows else 11, 7), layout="constrained")
    every = figure.subplots(1, 4 if rows else 3, width_ratios=[1, 1, 1, 1.4] if rows else None)
    for axes, (title, view) in zip(every, panels.items(), strict=False):
        _draw(axes, block_graph(view, prefix), prefix, ghosts)
        axes.set_title(title, fontsize=11, parse_math=False)
    if rows:
        _draw_run(every[-1], rows)
    with replaced_file(path) as temporary:
        figure.savefig(temporary, dpi=110)


def _draw_run(axes: Axes, rows: Sequence[Mapping[str, float]]) -> None:
    """Accuracy on validation, and α, over the epochs; those with ghosts are shaded."""
    epochs = [row["epoch"] for row in rows]
    axes.plot(epochs, [row["val_accuracy"] for row in rows], color=BLUE, label="validation accuracy")
    axes.plot(epochs, [row["alpha"] for row in rows], "--", color=ORANGE, label="α: how much of the ghosts is left")
    axes.axvspan(0.5, 0.5 + sum(row["alpha"] > 0 for row in rows), color=GREY, alpha=0.2, lw=0, label="ghosts")
    axes.set_xlim(0.5, len(rows) + 0.5)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel("epoch")
    axes.set_title("a run", fontsize=11)
    axes.grid(alpha=0.3)
    axes.legend(loc="center right")


def _draw(axes: Axes, graph: Mapping[str, list[str]], prefix: str, ghosts: set[str]) -> None:
    """Draws the longest path from top to bottom, and the other layers in a second column."""
    places = _places(graph)
    for name, (column, row) in places.items():
        colour = GHOST if name in ghosts else INPUT if name == "input" else PLAIN
        style = "dashed" if name in ghosts else "solid"
        box = {"boxstyle": "round,pad=0.35", "facecolor": colour, "edgecolor": "black", "linestyle": style}
        label = name.removeprefix(prefix).strip("_") or name
        axes.text(column, -row, label, ha="center", va="center", fontsize=9, bbox=box)
    for name, reads in graph.items():
        for read in reads:
            (column, row), (from_column, from_row) = places[name], places[read]
            around = column == from_column and row - from_row > 1
            bend = 0.5 if around else -0.3 if column < from_column else 0
            ghostly = around and name in ghosts
            arrow = {
                "arrowstyle": "->",
                "connectionstyle": f"arc3,rad={bend}",
                "linestyle": "dashed" if ghostly else "solid",
                "color": ORANGE if ghostly else "black",
                "shrinkA": 12,
                "shrinkB": 12,
            }
            axes.annotate("", xy=(column, -row), xytext=(from_column, -from_row), arrowprops=arrow)
    axes.set_xlim(-1.2, 1.6)
    axes.set_ylim(-max(row for _, row in places.values()) - 0.6, 0.6)
    axes.axis("off")


def _places(graph: Mapping[str, list[str]]) -> dict[str, tuple[int, int]]:
    """Column and row of each layer: the row is its longest distance from the input."""
    rows = {"input": 0}
    for name, reads in graph.items():
        rows[name] = 1 + max(rows[read] for read in reads)
    path, name = set(), max(rows, key=rows.get)
    while name != "input":
        path.add(name)
        name = max(graph[name], key=rows.get)
    return {name: (0 if name in path or name == "input" else 1, row) for name, row in rows.items()}
