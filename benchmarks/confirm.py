"""Collects the finished runs of the confirmation (confirm.md), a row for each.

    python benchmarks/confirm.py [RUNS...]    # by default runs/confirm98 runs/confirm95

Adds what is missing to benchmarks/results/confirm.csv, and prints only which runs these are: test accuracies are to be
read when all seeds of a cell and its pair are finished. The documentation's page of results shows the cells that are.
"""

import argparse
import csv
import json
from pathlib import Path

from tost_tf.files import write_text

RESULTS = Path("benchmarks/results/confirm.csv")
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


if __name__ == "__main__":
    main()
