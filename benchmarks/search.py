"""Collects the finished runs of the long search (flags/sweeps/search_long.flags), a row for each.

    python benchmarks/search.py [RUNS]    # by default runs/search_long

Adds to benchmarks/results/search.csv what is not in it yet: the accuracies after the last epoch, on validation and in
training, and the seconds. Nothing is read of the test part.
"""

import argparse
import csv
import io
import re
from pathlib import Path

from tost_tf.files import write_text

RESULTS, SWEEP = Path("benchmarks/results/search.csv"), Path("flags/sweeps/search_long.flags")
FOLDER = re.compile(r"sparsity(?P<sparsity>0\.\d+)_(?P<images>flips|crops)_(?P<method>\w+)_seed(?P<seed>\d+)")
SHARED = "--train_examples=0 --epochs=40", "--mixed_precision=bfloat16"


def cases() -> dict[str, str]:
    """The flags of each named choice of the sweep."""
    found = re.findall(r"^--case=\w+/(\w+):[ ]?(.*)$", SWEEP.read_text(), re.MULTILINE)
    return {name: flags.replace("--teacher=runs/search_long_dense", "--teacher=DENSE") for name, flags in found}


def row_of(folder: Path) -> list[str]:
    """The row of a finished run: its flags beside those of flags/search/base.flags, seed, and numbers."""
    named = FOLDER.fullmatch(folder.name)
    sparsity = "" if named["sparsity"] == "0.95" else f"--sparsity={named['sparsity']}"
    flags = (cases()[named["method"]], cases()[named["images"]], SHARED[0], sparsity, SHARED[1])
    with (folder / "metrics.csv").open() as file:
        epochs = list(csv.DictReader(file))
    accuracies = (f"{100 * float(epochs[-1][name]):.2f}" for name in ("val_accuracy", "accuracy"))
    seconds = sum(float(epoch["seconds"]) for epoch in epochs)
    return [" ".join(filter(None, flags)), named["seed"], *accuracies, f"{seconds:.0f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="?", type=Path, default=Path("runs/search_long"))
    with RESULTS.open() as file:
        rows = list(csv.reader(file))
    known = {tuple(row[:2]) for row in rows}
    for result in sorted(parser.parse_args().runs.glob("*/result.json")):
        row = row_of(result.parent)
        if tuple(row[:2]) not in known:
            rows.append(row)
            print("added", *row)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    write_text(RESULTS, text.getvalue())


if __name__ == "__main__":
    main()
