"""Each tweak of the paper alone and all together, against the default recipe, on real runs.

    python benchmarks/tweaks.py --jobs=2        # the digits table: 90 runs, over an hour on two CPU cores
    python benchmarks/tweaks.py --data=cifar10  # one pair on real CIFAR-10, about half an hour

A tweak is a flagfile of flags/ablations/. Runs of one mask, sparsity and seed share the initialisation and the mask, so
that differences to the default recipe are taken pairwise. Runs are kept, and resumed when the command is given again.
Hyper-parameters are the paper's, but for the number of epochs: nothing was chosen on the test images.
"""

import argparse
import shlex
from pathlib import Path

from study import compared, run_all, write_table

TWEAKS = ("default", "ghost_skips", "ghost_neurons", "rescale_init", "label_smoothing", "tost")
WITH_GHOSTS = ("ghost_skips", "ghost_neurons", "tost")
STUDIES = {
    # Ghosts are gone after a third, so that most epochs train the network that is tested.
    "digits": {
        "flags": "--dataset=digits --model=resnet20 --epochs=90 --dense_layers=^logits$",
        "ghost_end_epoch": 30,
        "masks": (("random", 0.95), ("random", 0.98), ("snip", 0.95), ("snip", 0.98), ("erk", 0.98)),
        "seeds": (0, 1, 2),
        "tweaks": TWEAKS,
    },
    "cifar10": {
        "flags": "--dataset=cifar10 --model=resnet20 --epochs=16 --train_examples=10000 --dense_layers=^logits$",
        "ghost_end_epoch": 6,
        "masks": (("random", 0.98),),
        "seeds": (0,),
        "tweaks": ("default", "tost"),
    },
}


def arguments_of(study: dict) -> dict[tuple, list[str]]:
    """The flags of each run by (mask, sparsity, tweak, seed), whole seeds first."""
    return {
        (mask, sparsity, tweak, seed): [
            *shlex.split(study["flags"]),
            f"--flagfile=flags/ablations/{tweak}.flags",
            f"--mask={mask}",
            f"--sparsity={sparsity}",
            f"--seed={seed}",
            *([f"--ghost_end_epoch={study['ghost_end_epoch']}"] if tweak in WITH_GHOSTS else []),
        ]
        for seed in study["seeds"]
        for mask, sparsity in study["masks"]
        for tweak in study["tweaks"]
    }


def table(study: dict, results: dict[tuple, dict]) -> list[dict]:
    """A row for each mask, sparsity and tweak; the paired difference's standard error needs two seeds or more."""
    accuracy = {cell: 100 * result["test_accuracy"] for cell, result in results.items()}
    rows = []
    for mask, sparsity in study["masks"]:
        default = [accuracy[mask, sparsity, "default", seed] for seed in study["seeds"]]
        for tweak in study["tweaks"]:
            own = [accuracy[mask, sparsity, tweak, seed] for seed in study["seeds"]]
            rows.append({"mask": mask, "sparsity": sparsity, "tweak": tweak, **compared(own, default)})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", choices=STUDIES, default="digits")
    parser.add_argument("--column", help="one mask and sparsity only, as random:0.95")
    parser.add_argument("--jobs", type=int, default=1, help="how many runs at once")
    parser.add_argument("--runs", type=Path, help="where runs are kept (runs/tweaks_DATA)")
    parser.add_argument("--out", type=Path, help="the table (benchmarks/results/tweaks_DATA.csv)")
    arguments = parser.parse_args()
    study = STUDIES[arguments.data]
    if arguments.column:
        mask, _, sparsity = arguments.column.partition(":")
        study = study | {"masks": ((mask, float(sparsity)),)}
    runs = arguments.runs or Path(f"runs/tweaks_{arguments.data}")
    rows = table(study, run_all(arguments_of(study), runs, arguments.jobs))
    write_table(rows, arguments.out or Path(f"benchmarks/results/tweaks_{arguments.data}.csv"))


if __name__ == "__main__":
    main()
