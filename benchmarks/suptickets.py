"""Static masks, SET and RigL on digits, each with and without Sup-tickets, and all of it with ToST.

    python benchmarks/suptickets.py --jobs=2    # 48 runs, about an hour on two CPU cores

Runs of one sparsity and seed share the initialisation and the mask they start from (ERK), and have the same number of
epochs, so that differences are taken pairwise: to the static mask, and of Sup-tickets to the same method without them.
Runs are kept, and resumed when the command is given again. Nothing was chosen on the test images: hyper-parameters are
those of the papers, but for the number of epochs, and what follows from it (an update of the mask every 20 steps, about
two epochs; three cycles of three epochs, since the paper has three).
"""

import argparse
import shlex
import statistics
from pathlib import Path

from study import compared, run_all, write_table

FLAGS = (
    "--dataset=digits --model=resnet20 --mask=erk --epochs=90 --dense_layers=^logits$ --recipe=default --deterministic"
)
SUPERPOSED = " --superpose=caa --cycle_epochs=3"
RIGL = "--dynamic=rigl --update_every=20"
SET = "--dynamic=set --update_every=20"
TOST = " --recipe=tost --ghost_end_epoch=30"
METHODS = {
    "static": "",
    "static + Sup-tickets": SUPERPOSED,
    "SET": SET,
    "SET + Sup-tickets": SET + SUPERPOSED,
    "RigL": RIGL,
    "RigL + Sup-tickets": RIGL + SUPERPOSED,
    "RigL + ToST": RIGL + TOST,
    "RigL + ToST + Sup-tickets": RIGL + SUPERPOSED + TOST,
}
SPARSITIES = (0.95, 0.98)
SEEDS = (0, 1, 2)


def table(results: dict[tuple, dict]) -> list[dict]:
    """A row for each sparsity and method, for each of two ways to take a network from a run.

    `exported` is the best epoch on validation (144 images), or the superposition; `end` the last epoch, or the
    superposition, as the paper compares them.
    """
    rows = []
    for network, sparsity in ((network, sparsity) for network in ("exported", "end") for sparsity in SPARSITIES):
        by_method = {
            method: [_accuracy(results[sparsity, method, seed], network) for seed in SEEDS] for method in METHODS
        }
        for method, own in by_method.items():
            row = {"network": network, "sparsity": sparsity, "method": method, **compared(own, by_method["static"])}
            without = compared(own, by_method[method.removesuffix(" + Sup-tickets")])
            gain = f"{without['difference']} ± {without['standard_error']}" if "Sup-tickets" in method else ""
            found = [results[sparsity, method, seed] for seed in SEEDS]
            by_number = {name: _mean_by_number(found, name) for name in ("tickets", "superpositions")}
            rows.append(row | {"difference_to_same_method": gain} | by_number)
    return rows


def _accuracy(result: dict, network: str) -> float:
    superposed = "superpositions" in result
    return 100 * result["test_accuracy" if superposed or network == "exported" else "test_accuracy_last"]


def _mean_by_number(results: list[dict], name: str) -> str:
    """Mean test accuracy over seeds of the first, second, ... ticket or superposition; nothing without Sup-tickets."""
    each = [[100 * row["test_accuracy"] for row in result.get(name, ())] for result in results]
    return " ".join(f"{statistics.mean(values):.2f}" for values in zip(*each, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=1, help="how many runs at once")
    parser.add_argument("--runs", type=Path, default=Path("runs/suptickets_digits"), help="where runs are kept")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/suptickets_digits.csv"))
    options = parser.parse_args()
    arguments = {
        (sparsity, method, seed): [*shlex.split(f"{FLAGS} {flags}"), f"--sparsity={sparsity}", f"--seed={seed}"]
        for seed in SEEDS
        for sparsity in SPARSITIES
        for method, flags in METHODS.items()
    }
    write_table(table(run_all(arguments, options.runs, options.jobs)), options.out)


if __name__ == "__main__":
    main()
