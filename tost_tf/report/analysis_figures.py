"""Pictures of analyses, each from saved rows alone: of one run, or of several in one figure.

A function takes label -> rows (as `tost_tf.analysis` gives them), the PNG file and a title.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tost_tf.analysis.activations import by_stage
from tost_tf.report.figures import BLUE, GREEN, GREY, ORANGE, save

Results = Mapping[str, list[dict]]
COLOURS = (BLUE, ORANGE, GREEN, GREY)


def draw_activations(results: Results, path: Path, title: str) -> None:
    """Bars: the share of zero (and, lighter, of nearly zero) activations by stage."""
    stages = {label: by_stage(rows) for label, rows in results.items()}
    names = list(dict.fromkeys(row["stage"] for rows in stages.values() for row in rows))
    figure, axes = _axes(title, 1.5 + 0.5 * len(names))
    width = 0.8 / len(stages)
    for number, (label, rows) in enumerate(stages.items()):
        places = [names.index(row["stage"]) + width * (number - (len(stages) - 1) / 2) for row in rows]
        colour = COLOURS[number % len(COLOURS)]
        axes.barh(places, [row["near_zero"] for row in rows], width, color=colour, alpha=0.35, label=f"{label}: near 0")
        axes.barh(places, [row["zero"] for row in rows], width, color=colour, label=f"{label}: exactly 0")
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel("share of activations on the test images")
    axes.legend()
    save(figure, path)


def draw_hessian(results: Results, path: Path, title: str) -> None:
    """Points: the largest eigenvalues."""
    figure, axes = _axes(title)
    for number, (label, rows) in enumerate(results.items()):
        values = [row["eigenvalue"] for row in rows]
        axes.plot([row["index"] for row in rows], values, "os^v"[number % 4], color=COLOURS[number % 4], label=label)
    axes.set_xlabel("place of the eigenvalue")
    axes.set_xticks(sorted({row["index"] for rows in results.values() for row in rows}))
    axes.set_ylabel("eigenvalue of the Hessian, kept weights")
    axes.legend()
    save(figure, path)


def draw_trajectory(results: Results, path: Path, title: str) -> None:
    """Lines: the largest eigenvalue over the epochs (Figures 2 and 9a of the paper)."""
    figure, axes = _axes(title)
    for number, (label, rows) in enumerate(results.items()):
        first = [row for row in rows if row["index"] == 1]
        epochs, values = ([row[key] for row in first] for key in ("epoch", "eigenvalue"))
        axes.plot(epochs, values, _style(number), color=COLOURS[number % 4], label=label, marker=".")
    axes.set_yscale("symlog")
    axes.set_xlabel("epoch")
    axes.set_ylabel("largest eigenvalue of the Hessian, kept weights")
    axes.legend()
    save(figure, path)


def draw_gradient_flow(results: Results, path: Path, title: str) -> None:
    """Lines: the average gradient flow over the steps (Figure 9b of the paper)."""
    figure, axes = _axes(title)
    for number, (label, rows) in enumerate(results.items()):
        steps, flows = ([row[key] for row in rows] for key in ("step", "flow"))
        axes.plot(steps, flows, _style(number), color=COLOURS[number % 4], label=label, lw=1)
    axes.set_yscale("log")
    axes.set_xlabel("step")
    axes.set_ylabel("mean over layers of ‖gradient of kept weights‖")
    axes.legend()
    save(figure, path)


def draw_eigenvector(results: Results, path: Path, title: str) -> None:
    """Lines: the test loss along the top eigenvector (Figure 8 of the paper)."""
    figure, axes = _axes(title)
    for number, (label, rows) in enumerate(results.items()):
        places, losses = ([row[key] for row in rows] for key in ("distance", "loss"))
        axes.plot(places, losses, _style(number), color=COLOURS[number % 4], label=label)
    axes.set_xlabel("distance along the top eigenvector (unit vector of kept weights)")
    axes.set_ylabel("test loss")
    axes.legend()
    save(figure, path)


def draw_weight_landscape(results: Results, path: Path, title: str) -> None:
    """Contours side by side, with one scale: the loss around the weights (Figure 10 of the paper)."""
    _contours(results, path, title, "filter-normalised direction")


def draw_input_landscape(results: Results, path: Path, title: str) -> None:
    """Contours side by side, with one scale: the loss around test images (Figure 10 of the paper)."""
    _contours(results, path, title, "normalised pixels along direction")


def draw_mask(results: Results, path: Path, title: str) -> None:
    """Points by layer: density, effective density, and dead output channels."""
    layers = list(dict.fromkeys(row["layer"] for rows in results.values() for row in rows))
    figure = Figure(figsize=(4.2 * max(2, len(results)), 1.5 + 0.22 * len(layers)), layout="constrained")
    figure.suptitle(title, parse_math=False)
    shown = {"density": (BLUE, "o"), "effective_density": (GREEN, "^"), "dead_outputs": (ORANGE, "x")}
    panels = figure.subplots(1, len(results), squeeze=False, sharey=True)[0]
    for axes, (label, rows) in zip(panels, results.items(), strict=True):
        places = [layers.index(row["layer"]) for row in rows]
        for key, (colour, marker) in shown.items():
            name = key.replace("_", " ").replace("dead outputs", "dead output channels")
            axes.plot([row[key] for row in rows], places, marker, color=colour, ms=5, label=name)
        axes.set_yticks(range(len(layers)), layers, fontsize=8)
        axes.set_ylim(len(layers) - 0.4, -0.6)
        axes.set_xlim(-0.03, 1.03)
        axes.set_xlabel("share of weights, or of channels")
        axes.set_title(label, fontsize=10, parse_math=False)
        axes.grid(alpha=0.3)
    panels[0].legend(fontsize=8)
    save(figure, path)


def draw_overlap(rows: list[dict], path: Path, title: str) -> None:
    """Bars by layer: the share of weights two masks have in common, and what chance would give."""
    figure, axes = _axes(title, 1.5 + 0.22 * len(rows))
    places = range(len(rows))
    axes.barh(places, [row["overlap"] for row in rows], color=BLUE, label="kept in both / kept in one of them")
    axes.plot([row["by_chance"] for row in rows], places, "|", color=ORANGE, ms=10, mew=2, label="by chance")
    axes.set_yticks(places, [row["layer"] for row in rows], fontsize=8)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0, 1)
    axes.set_xlabel("overlap of the two masks")
    axes.legend()
    save(figure, path)


def _contours(results: Results, path: Path, title: str, axis: str) -> None:
    figure = Figure(figsize=(5.2 * len(results) + 0.8, 4.8), layout="constrained")
    figure.suptitle(title, parse_math=False)
    logs = [np.log10(max(row["loss"], 1e-8)) for rows in results.values() for row in rows if np.isfinite(row["loss"])]
    levels = np.linspace(min(logs), max(max(logs), min(logs) + 1e-6), 21)
    panels = figure.subplots(1, len(results), squeeze=False)[0]
    for axes, (label, rows) in zip(panels, results.items(), strict=True):
        x, y = (sorted({row[key] for row in rows}) for key in ("x", "y"))
        by_place = {(row["x"], row["y"]): np.log10(max(row["loss"], 1e-8)) for row in rows}
        grid = np.ma.masked_invalid([[by_place[a, b] for a in x] for b in y])
        drawn = axes.contourf(x, y, grid, levels, cmap="cividis")
        axes.plot(0, 0, "w+", ms=10)
        axes.set_xlabel(f"{axis} 1")
        axes.set_ylabel(f"{axis} 2")
        axes.set_title(label, fontsize=10, parse_math=False)
    figure.colorbar(drawn, ax=list(panels), label="log₁₀ of the test loss (+: the trained network)", format="%.2f")
    save(figure, path)


def _axes(title: str, height: float = 4.5) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(8, height), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, parse_math=False)
    axes.grid(alpha=0.3)
    return figure, axes


def _style(number: int) -> str:
    return ("-", "--", ":", "-.")[number % 4]
