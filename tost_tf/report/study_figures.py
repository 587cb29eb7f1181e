"""Figures about many runs, drawn from the numbers of their tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from tost_tf.report.figures import BLUE, GREEN, GREY, ORANGE, save
from tost_tf.report.table_text import quantity

COLOURS = (BLUE, ORANGE, GREEN, "#CC79A7", "#56B4E9", "#E69F00", "black", GREY)
MARKERS = "os^vD*xP"
MOST_PANELS = 4  # beside one another


def accuracy_by_sparsity(table: pd.DataFrame, lines: Sequence[str], path: Path, title: str, panels: str = "") -> None:
    """Draws means over sparsity, a line for each combination of `lines`, with bars of one standard deviation.

    Args:
      table: from `report.tables.cells`, of one value, with the column "sparsity".
      lines: keys that together name a line.
      path: the PNG file.
      title: above the figure.
      panels: a key with a panel for each of its values; empty for a single panel.
    """
    names = list(dict.fromkeys(table[panels])) if panels else [""]
    figure = Figure(figsize=(7.0 * len(names), 4.5), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        own = table[table[panels] == name] if panels else table
        for number, (line, points) in enumerate(own.groupby(list(lines), sort=False)):
            points = points.dropna(subset=["mean"]).sort_values("sparsity")
            _points(axes, points, _label(line), number)
        axes.set_xlabel("sparsity")
        axes.set_ylabel(_axis(table["value"].iloc[0]))
        axes.set_title(str(name), parse_math=False)
        axes.grid(alpha=0.3)
        axes.legend()
    figure.suptitle(title, parse_math=False)
    save(figure, path)


def breakdown(table: pd.DataFrame, rows: Sequence[str], columns: Sequence[str], path: Path, title: str) -> None:
    """Draws the paired gains as bars, grouped by column, with error bars of one standard error.

    Args:
      table: from `report.tables.cells`, of one value, with a baseline.
      rows: keys that together name a bar.
      columns: keys that together name a group of bars; may be empty.
      path: the PNG file.
      title: above the figure.
    """
    gains = table.dropna(subset=["difference"])
    bars = list(dict.fromkeys(map(tuple, gains[list(rows)].to_numpy().tolist())))
    groups = list(dict.fromkeys(map(tuple, gains[list(columns)].to_numpy().tolist()))) if columns else [()]
    figure = Figure(figsize=(max(6.0, 1.2 + 0.3 * len(bars) * len(groups)), 4.5), layout="constrained")
    axes = figure.subplots()
    scale, width = quantity(table["value"].iloc[0]).scale, 0.8 / max(1, len(bars))
    for number, bar in enumerate(bars):
        own = gains[(gains[list(rows)] == list(bar)).all(axis=1)]
        places = [groups.index(tuple(row)) for row in own[list(columns)].to_numpy().tolist()] if columns else [0]
        left = np.array(places) + (number - (len(bars) - 1) / 2) * width
        errors = scale * own["standard_error"].fillna(0)
        style = {"color": COLOURS[number % len(COLOURS)], "capsize": 2, "label": _label(bar)}
        axes.bar(left, scale * own["difference"], width, yerr=errors, **style)
    axes.axhline(0, color="black", lw=0.8)
    axes.set_xticks(range(len(groups)), [_label(group) or "all" for group in groups])
    axes.set_ylabel(f"gain in {_axis(table['value'].iloc[0])}, ± standard error")
    axes.set_title(title, parse_math=False)
    axes.grid(alpha=0.3, axis="y")
    if bars:
        figure.legend(loc="outside lower left", ncols=3)
    save(figure, path)


def curves(table: pd.DataFrame, lines: Sequence[str], path: Path, title: str) -> None:
    """Draws the validation accuracy over the epochs: a line for each name, with a band of one standard deviation.

    Args:
      table: from `mean_curves`.
      lines: keys that together name a line.
      path: the PNG file.
      title: above the figure.
    """
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for number, (line, points) in enumerate(table.groupby(list(lines), sort=False)):
        colour, style = COLOURS[number % len(COLOURS)], ("-", "--", ":")[number // len(COLOURS) % 3]
        mean, std = points["mean"], points["std"].fillna(0)
        axes.plot(points["epoch"], mean, color=colour, ls=style, label=f"{_label(line)} (n = {points['seeds'].max()})")
        axes.fill_between(points["epoch"], mean - std, mean + std, color=colour, alpha=0.15, lw=0)
    axes.set_xlabel("epoch")
    axes.set_ylabel("validation accuracy, mean ± standard deviation")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title(title, parse_math=False)
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower left", ncols=2)
    save(figure, path)


def accuracy_by_latency(table: pd.DataFrame, lines: Sequence[str], path: Path, title: str) -> None:
    """Draws means over milliseconds, a panel for each batch, by one thread, in the first format all have in common.

    A filled marker is the compacted network, a hollow one as high the dense network of its architecture; the line
    between them is the time that is gained.

    Args:
      table: from `mean_latencies`, of one value.
      lines: keys that together name a network.
      path: the PNG file.
      title: above the figure.
    """
    networks = table.groupby(list(lines), sort=False).ngroups
    shared = [name for name, own in table.groupby("format", sort=False) if own.groupby(list(lines)).ngroups == networks]
    name = shared[0] if shared else table["format"].iloc[0]
    table = table[(table["format"] == name) & (table["threads"] == 1)]
    batches = sorted(table["batch"].unique())
    figure = Figure(figsize=(6.0 * len(batches), 4.5), layout="constrained")
    scale = quantity(table["value"].iloc[0]).scale
    for axes, batch in zip(figure.subplots(1, len(batches), squeeze=False)[0], batches, strict=True):
        for number, (line, points) in enumerate(table[table["batch"] == batch].groupby(list(lines), sort=False)):
            own = points.set_index("network")
            height, error = scale * own["mean"].iloc[0], scale * own["std"].fillna(0).iloc[0]
            style = {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)]}
            small, dense = own["milliseconds"]["compacted"], own["milliseconds"]["dense"]
            axes.errorbar(small, height, error, label=_label(line), capsize=3, ls="", **style)
            axes.plot([small, dense], [height, height], lw=0.8, markevery=[1], markerfacecolor="none", **style)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda milliseconds, place: f"{milliseconds:g}"))
        axes.set_xlabel(f"milliseconds for a batch of {batch}")
        axes.set_ylabel(_axis(table["value"].iloc[0]))
        axes.set_title(f"{name}, one thread", parse_math=False)
        axes.grid(alpha=0.3, which="both")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower left", ncols=2)
    figure.suptitle(title, parse_math=False)
    save(figure, path)


def accuracy_by_seconds(
    table: pd.DataFrame, lines: Sequence[str], panels: Sequence[str], path: Path, title: str
) -> None:
    """Draws means over the seconds of training, with bars of one standard deviation of both.

    Args:
      table: from `mean_seconds`, of one value.
      lines: keys that together name a point of a panel.
      panels: keys with a panel for each combination of their values; may be empty.
      path: the PNG file.
      title: above the figure.
    """
    names = list(dict.fromkeys(map(_label, table[list(lines)].to_numpy().tolist())))
    parts = list(table.groupby(list(panels), sort=False)) if panels else [((), table)]
    columns = min(len(parts), MOST_PANELS)
    rows = -(-len(parts) // columns)
    figure = Figure(figsize=(max(5.0, 3.2 * columns), 0.8 + 3.2 * rows), layout="constrained")
    places = figure.subplots(rows, columns, squeeze=False).ravel()
    scale = quantity(table["value"].iloc[0]).scale
    for axes, (name, own) in zip(places, parts, strict=False):
        for point in own.to_dict("records"):
            label = _label([point[key] for key in lines])
            number = names.index(label)
            style = {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)], "capsize": 3}
            spread = {"xerr": np.nan_to_num(point["seconds_std"]), "yerr": scale * np.nan_to_num(point["std"])}
            axes.errorbar(point["seconds"], scale * point["mean"], label=label, ls="", **spread, **style)
        named = [f"{key}={_label([value])}" for key, value in zip(panels, name, strict=True)]
        axes.set_title("\n".join(named), parse_math=False)
        axes.set_xlabel("seconds of training")
        axes.set_ylabel(_axis(table["value"].iloc[0]))
        axes.grid(alpha=0.3)
    for axes in places[len(parts) :]:
        axes.remove()
    shown = {
        text: handle for axes in figure.axes for handle, text in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend([shown[name] for name in names], names, loc="outside lower left", ncols=2)
    figure.suptitle(title, parse_math=False)
    save(figure, path)


def mean_seconds(rows: Sequence[Mapping[str, object]], keys: Sequence[str]) -> pd.DataFrame:
    """Means and standard deviations of accuracy and seconds, and the number of runs, by `keys`.

    Args:
      rows: one for each run: the keys, "accuracy" and "seconds".
      keys: that together name a cell.
    """
    grouped = pd.DataFrame(rows).groupby(list(keys), sort=False)
    accuracy = grouped["accuracy"].agg(mean="mean", std="std", seeds="count")
    return accuracy.join(grouped["seconds"].agg(seconds="mean", seconds_std="std")).reset_index()


def mean_latencies(rows: Sequence[Mapping[str, object]], lines: Sequence[str]) -> pd.DataFrame:
    """Mean milliseconds, and mean, deviation and number of accuracies, by line, format, threads, batch and network.

    Args:
      rows: one for each run and measurement: the keys of `lines`, "format", "threads", "batch", "network",
        "milliseconds" and "accuracy".
      lines: keys that together name a network.
    """
    grouped = pd.DataFrame(rows).groupby([*lines, "format", "threads", "batch", "network"], sort=False)
    accuracy = grouped["accuracy"].agg(mean="mean", std="std", seeds="count")
    return accuracy.assign(milliseconds=grouped["milliseconds"].mean()).reset_index()


def mean_curves(rows: Sequence[Mapping[str, object]], lines: Sequence[str]) -> pd.DataFrame:
    """Mean, standard deviation and number of runs by line and epoch.

    Args:
      rows: one for each run and epoch: the keys of `lines`, "epoch" and "val_accuracy".
      lines: keys that together name a line.
    """
    grouped = pd.DataFrame(rows).groupby([*lines, "epoch"], sort=False)["val_accuracy"]
    return grouped.agg(mean="mean", std="std", seeds="count").reset_index()


def _points(axes: Axes, points: pd.DataFrame, label: str, number: int) -> None:
    scale = quantity(points["value"].iloc[0]).scale if len(points) else 1
    style = {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)], "capsize": 3}
    axes.errorbar(points["sparsity"], scale * points["mean"], scale * points["std"].fillna(0), label=label, **style)


def _axis(value: str) -> str:
    unit = quantity(value).unit
    return f"{value.replace('_', ' ')}{f' in {unit}' if unit else ''}"


def _label(names: object) -> str:
    return ", ".join(f"{name:g}" if isinstance(name, float) else str(name) for name in names)
