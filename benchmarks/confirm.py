"""Collects the finished runs of the confirmation (confirm.md), a row for each.

    python benchmarks/confirm.py [RUNS...]    # by default runs/confirm98 runs/confirm95

Adds what is missing to benchmarks/results/confirm.csv, and prints only which runs these are: test accuracies are to be
read when all seeds of a cell and its pair are finished. `--show` prints the cells that are, with their paired
differences to `default`.
"""

import argparse
import csv
import json
import statistics
from pathlib import Path

from tost_tf.files import write_text

RESULTS = Path("benchmarks/results/confirm.csv")
CELL = ("network", "mask", "sparsity")
HEAD = (*CELL, "method", "seed", "training accuracy", "validation accuracy", "test accuracy", "seconds")
SEEDS = {"0", "1", "2"}


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


def show(rows: list[dict[str, str]]) -> None:
    """Prints the cells in which all seeds of a method and of `default` are finished."""
    found: dict[tuple[str, ...], dict[str, dict[str, float]]] = {}
    for row in rows:
        own = found.setdefault(tuple(row[key] for key in CELL), {})
        own.setdefault(row["method"], {})[row["seed"]] = float(row["test accuracy"])
    for cell, methods in found.items():
        base = methods.pop("default", {})
        for method, own in methods.items():
            if own.keys() == base.keys() == SEEDS:
                pairs = [own[seed] - base[seed] for seed in sorted(SEEDS)]
                error = statistics.stdev(pairs) / len(pairs) ** 0.5
                means = (statistics.mean(values.values()) for values in (base, own))
                print(*cell, method, "default {:.2f}, {:.2f}:".format(*means), end=" ")
                print(f"{statistics.mean(pairs):+.2f} ± {error:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="*", type=Path, default=[Path("runs/confirm98"), Path("runs/confirm95")])
    parser.add_argument("--show", action="store_true")
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
    if arguments.show:
        show(rows)


if __name__ == "__main__":
    main()
