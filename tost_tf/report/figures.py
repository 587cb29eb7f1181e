"""Figures of a run, drawn from the numbers it has saved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tost_tf.drawing import BLUE, GREEN, GREY, ORANGE, save

# End of the name of a parameter tensor -> colour and marker; "" is for all others.
KINDS_OF_TENSORS = {
    "kernel": (BLUE, "o"),
    "gamma": (ORANGE, "s"),
    "beta": (GREEN, "^"),
    "bias": (GREY, "v"),
    "": ("black", "x"),
}


def learning_curves(rows: Sequence[Mapping[str, float]], ghost_epochs: int, path: Path, title: str) -> None:
    """Draws loss, accuracy, and α and β over the epochs; the epochs with ghosts are shaded.

    Args:
      rows: those of `metrics.csv`.
      ghost_epochs: how many epochs had ghosts, 0 for none.
      path: the PNG file.
      title: above the figure.
    """
    figure = Figure(figsize=(8, 9), layout="constrained")
    loss, accuracy, ghosts = figure.subplots(3, 1, sharex=True)
    figure.suptitle(title, parse_math=False)
    epochs = [row["epoch"] for row in rows]
    marker = "o" if len(rows) == 1 else None  # a line through one point is invisible
    _lines(loss, epochs, rows, {"loss": ("training", BLUE, "-"), "val_loss": ("validation", ORANGE, "--")}, marker)
    without = [row for row in rows if row.get("plain_loss") is not None]
    if without:
        names = {"plain_loss": ("validation, without the ghosts", GREEN, ":")}
        _lines(loss, [row["epoch"] for row in without], without, names, "o" if len(without) == 1 else None)
    loss.set_ylabel("loss")
    loss.set_yscale("log")  # the first epochs can be a hundred times worse than the rest
    names = {"accuracy": ("training", BLUE, "-"), "val_accuracy": ("validation", ORANGE, "--")}
    _lines(accuracy, epochs, rows, names, marker)
    accuracy.set_ylabel("accuracy")
    _lines(ghosts, epochs, rows, {"alpha": ("α (skips, left)", GREEN, "-")}, marker)
    ghosts.set_ylabel("α")
    ghosts.set_ylim(-0.05, 1.05)
    beta = ghosts.twinx()
    _lines(beta, epochs, rows, {"beta": ("β (neurons, right)", ORANGE, "--")}, marker)
    beta.set_ylabel("β (no line: ReLU)")
    ghosts.legend(handles=[*ghosts.get_lines(), *beta.get_lines()], loc="center right")
    ghosts.set_xlabel("epoch")
    ghosts.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axes in (loss, accuracy, ghosts):
        if ghost_epochs:
            axes.axvspan(0.5, ghost_epochs + 0.5, color=GREY, alpha=0.2, lw=0, label="ghosts")
        axes.set_xlim(0.5, max(1, len(rows)) + 0.5)
        axes.grid(alpha=0.3)
    for axes in (loss, accuracy):
        axes.legend()
    save(figure, path)


def sparsity_by_layer(layer_sparsity: Mapping[str, float], overall: float, path: Path, title: str) -> None:
    """Draws a bar for each layer: the fraction of its weights that are zero; 1 is a collapsed layer."""
    figure = Figure(figsize=(8, 1.5 + 0.22 * len(layer_sparsity)), layout="constrained")
    axes = figure.subplots()
    names = [name.rpartition("/")[0] for name in layer_sparsity]
    values = list(layer_sparsity.values())
    colours = [ORANGE if value == 1 else BLUE for value in values]
    bars = axes.barh(range(len(values)), values, color=colours)
    axes.bar_label(bars, [f"{value:.3f}" for value in values], padding=3, fontsize=8)
    axes.axvline(overall, color="black", lw=1, ls="--", label=f"all layers: {overall:.4f}")
    axes.set_yticks(range(len(values)), names, fontsize=8)
    axes.set_ylim(len(values) - 0.4, -0.6)
    axes.set_xlim(0, 1.1)
    axes.set_xlabel("sparsity (fraction of weights that are zero)")
    axes.set_title(title, parse_math=False)
    figure.legend(loc="outside lower left")  # inside, it would cover a layer
    axes.grid(alpha=0.3, axis="x")
    save(figure, path)


def scales_by_tensor(scales: Mapping[str, float], path: Path, title: str) -> None:
    """Draws the scales of the rescaled initialisation: a point for each parameter tensor, in the network's order.

    Args:
      scales: path of the tensor ("stage1_block1_bn1/gamma") -> scale.
      path: the PNG file.
      title: above the figure.
    """
    figure = Figure(figsize=(8, 2 + 0.16 * len(scales)), layout="constrained")
    axes = figure.subplots()
    places = {name: place for place, name in enumerate(scales)}
    left = dict(scales)
    for kind, (colour, marker) in KINDS_OF_TENSORS.items():
        of_kind = {name: left.pop(name) for name in list(left) if name.partition(" #")[0].endswith(kind)}
        if of_kind:
            drawn = (list(of_kind.values()), [places[name] for name in of_kind])
            axes.plot(*drawn, color=colour, marker=marker, ls="", ms=4, label=kind or "other")
    axes.axvline(1, color="black", lw=1, ls="--")
    axes.set_yticks(range(len(scales)), list(scales), fontsize=6)
    axes.set_ylim(len(scales) - 0.4, -0.6)
    axes.set_xlabel("scale (1: as initialised)")
    axes.set_title(title, parse_math=False)
    figure.legend(loc="outside lower left", ncols=len(KINDS_OF_TENSORS))
    axes.grid(alpha=0.3)
    save(figure, path)


def _lines(axes, epochs, rows, names: Mapping[str, tuple[str, str, str]], marker: str | None) -> None:
    for name, (label, colour, style) in names.items():
        axes.plot(epochs, [row[name] for row in rows], color=colour, ls=style, marker=marker, label=label)
