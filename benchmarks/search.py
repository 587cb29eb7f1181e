"""Collects the finished runs of the search (flags/sweeps/search_long.flags, search_length.flags), a row for each.

    python benchmarks/search.py [RUNS...]    # by default runs/search_long runs/search_length

Adds to benchmarks/results/search.csv what is not in it yet: the flags beside those of flags/search/base.flags, the
accuracies after the last epoch, on validation and in training, and the seconds. Nothing is read of the test part.
"""

import argparse
import csv
import io
from pathlib import Path

from tost_tf.experiment.flags import parse, read_flagfile
from tost_tf.files import write_text

RESULTS, BASE = Path("benchmarks/results/search.csv"), "flags/search/base.flags"
# In the order in which they are written; the mask, the network and the data are those of the base.
SHOWN = (
    *("optimizer", "optimizer_tweak", "schedule", "learning_rate", "momentum", "weight_decay", "batch_size"),
    *("mask", "weight_average", "teacher", "distill_weight", "ghost_neurons", "ghost_branches"),
    *("crop_padding", "adaptive_crops", "train_examples", "epochs", "sparsity", "mixed_precision"),
)
OF_EACH_RUN = ("run_dir", "seed", "lr_drop_epochs", "ghost_end_epoch")  # the last two follow from the others


def flags_of(folder: Path) -> str:
    """The flags by which a run differs from the base with the same recipe."""
    config = read_flagfile(folder / "config.flags")
    base = parse([f"--flagfile={BASE}", f"--recipe={config.recipe_name}", *_teacher(config)])
    expected = base.options()
    changed = {name: value for name, value in config.options().items() if value != expected[name]}
    changed["learning_rate"] = config.training.learning_rate  # also where it is the default
    changed |= {"teacher": "DENSE"} if config.recipe.teacher else {}
    other = changed.keys() - {*SHOWN, *OF_EACH_RUN}
    if other:
        raise SystemExit(f"{folder} differs from {BASE} in {', '.join(sorted(other))}, for which there is no column")
    named = (f"--{name}={changed[name]}" for name in SHOWN if name in changed)
    return " ".join([f"--recipe={config.recipe_name}", *named])


def _teacher(config) -> list[str]:
    return [f"--teacher={config.recipe.teacher}"] if config.recipe.teacher else []


def row_of(folder: Path) -> list[str]:
    """The row of a finished run: flags, seed, and numbers."""
    with (folder / "metrics.csv").open() as file:
        epochs = list(csv.DictReader(file))
    accuracies = (f"{100 * float(epochs[-1][name]):.2f}" for name in ("val_accuracy", "accuracy"))
    seconds = sum(float(epoch["seconds"]) for epoch in epochs)
    seed = read_flagfile(folder / "config.flags").training.seed
    return [flags_of(folder), str(seed), *accuracies, f"{seconds:.0f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="*", type=Path, default=[Path("runs/search_long"), Path("runs/search_length")])
    with RESULTS.open() as file:
        rows = list(csv.reader(file))
    known = {tuple(row[:2]) for row in rows}
    for result in sorted(path for runs in parser.parse_args().runs for path in runs.glob("*/result.json")):
        row = row_of(result.parent)
        if tuple(row[:2]) not in known:
            rows.append(row)
            print("added", *row)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    write_text(RESULTS, text.getvalue())


if __name__ == "__main__":
    main()
