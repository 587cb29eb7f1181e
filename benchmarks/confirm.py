"""Collects the finished runs of the confirmation (confirm.md), a row for each.

    python benchmarks/confirm.py [RUNS...]    # by default runs/confirm98 runs/confirm95

Adds what is missing to benchmarks/results/confirm.csv, and prints only which runs these are: test accuracies are to be
read when all seeds of a cell and its pair are finished. The cells that are, are drawn (docs/figures/confirmation.png)
and in a table on the documentation's page of results.
"""

import argparse
import csv
import json
import statistics
from pathlib import Path

from matplotlib.figure import Figure

from tost_tf.drawing import COLOURS, save
from tost_tf.files import write_text

RESULTS, FIGURE = Path("benchmarks/results/confirm.csv"), Path("docs/figures/confirmation.png")
SEEDS = {"0", "1", "2"}
CELL = ("network", "mask", "sparsity")
HEAD = (*CELL, "method", "seed", "training accuracy", "validation accuracy", "test accuracy", "seconds")


def row_of(folder: Path) -> dict[str, str]:
    """The numbers of a run, after its last epoch; its folder is NETWORK_MASK_METHOD_seedN in confirmNN."""
    network, mask, rest = folder.name.split("_", 2)
    method, _, seed = rest.rpartition("_seed")
    result = json.loads((folder / "result.json").read_text())
    with (folder / "metrics.csv").open() as file:
        last = list(csv.DictReader(file))[-1]
    accuracies = (last["accuracy"], last["val_accuracy"], result["test_accuracy_last"])
    numbers = [f"{100 * float(accuracy):.2f}" for accuracy in accuracies]
    sparsity = f"0.{folder.parent.name.removeprefix('confirm')}"
    return dict(
        zip(HEAD, (network, mask, sparsity, method, seed, *numbers, f"{result['train_seconds']:.0f}"), strict=True)
    )


def saved() -> list[dict[str, str]]:
    if not RESULTS.exists():
        return []
    with RESULTS.open() as file:
        return list(csv.DictReader(file))


def complete_cells(rows: list[dict[str, str]]) -> dict[str, dict[str, dict[str, dict[str, str]]]]:
    """Cell -> method -> seed -> row, of the cells in which `default` and another method have all seeds."""
    cells: dict[str, dict[str, dict[str, dict[str, str]]]] = {}
    for row in rows:
        cell = f"{row['network']}, {row['mask']} {100 * float(row['sparsity']):g}%"
        cells.setdefault(cell, {}).setdefault(row["method"], {})[row["seed"]] = row
    finished = {
        cell: {method: own for method, own in methods.items() if own.keys() == SEEDS} for cell, methods in cells.items()
    }
    return {cell: methods for cell, methods in finished.items() if "default" in methods and len(methods) > 1}


def draw(rows: list[dict[str, str]]) -> None:
    """Test accuracies of all seeds with their means, and the paired differences to `default` with standard errors."""
    cells = complete_cells(rows)
    methods = list(dict.fromkeys(method for own in cells.values() for method in own))
    places = {
        (cell, method): (1 + len(methods)) * number + methods.index(method)
        for number, (cell, own) in enumerate(cells.items())
        for method in own
    }
    figure = Figure(figsize=(9, 1.2 + 0.34 * len(places)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for (cell, method), place in places.items():
        colour = COLOURS[methods.index(method) % len(COLOURS)]
        own, base = (
            {seed: float(row["test accuracy"]) for seed, row in cells[cell][name].items()}
            for name in (method, "default")
        )
        left.plot(list(own.values()), [place] * len(own), "o", color=colour, alpha=0.5)
        left.plot(statistics.mean(own.values()), place, "|", color=colour, ms=18, mew=2)
        pairs = [own[seed] - base[seed] for seed in own]
        right.errorbar(
            statistics.mean(pairs), place, xerr=statistics.stdev(pairs) / len(pairs) ** 0.5, fmt="o", color=colour
        )
    left.set_yticks(list(places.values()), [f"{cell}: {method}" for cell, method in places], fontsize=8)
    left.margins(y=0.25)
    left.invert_yaxis()
    left.set_xlabel("test accuracy, %: each seed, and the mean")
    right.axvline(0, color="black", lw=0.8)
    right.set_xlabel("difference to default, points ± standard error")
    for axes in (left, right):
        axes.grid(alpha=0.3)
    save(figure, FIGURE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="*", type=Path, default=[Path("runs/confirm98"), Path("runs/confirm95")])
    arguments = parser.parse_args()
    rows = saved()
    known = {tuple(row[key] for key in HEAD[:5]) for row in rows}
    for path in sorted(path for folder in arguments.runs for path in folder.glob("*/result.json")):
        row = row_of(path.parent)
        if tuple(row[key] for key in HEAD[:5]) not in known:
            rows.append(row)
            print("added", path.parent)
    lines = [",".join(HEAD), *(",".join(row[key] for key in HEAD) for row in rows)]
    write_text(RESULTS, "\n".join([*lines, ""]))
    if complete_cells(rows):
        draw(rows)


if __name__ == "__main__":
    main()
