"""Each tweak of the paper alone and all together, against the default recipe, on real runs.

    python benchmarks/tweaks.py --jobs=2        # the digits table: 90 runs, over an hour on two CPU cores
    python benchmarks/tweaks.py --data=cifar10  # one pair on real CIFAR-10, about half an hour

A tweak is a flagfile of flags/ablations/. Runs of one mask, sparsity and seed share the initialisation and the mask, so
that differences to the default recipe are taken pairwise. Runs are kept, and resumed when the command is given again.
Hyper-parameters are the paper's, but for the number of epochs: nothing was chosen on the test images.
"""

import argparse
import contextlib
import csv
import multiprocessing
import shlex
import statistics
from pathlib import Path

from tqdm import tqdm

TWEAKS = ("default", "ghost_skips", "ghost_neurons", "rescale_init", "label_smoothing", "tost")
STUDIES = {
    # Ghosts are gone after a third, so that most epochs train the network that is tested.
    "digits": {
        "flags": "--dataset=digits --model=resnet20 --epochs=90 --ghost_end_epoch=30 --dense_layers=^logits$",
        "masks": (("random", 0.95), ("random", 0.98), ("snip", 0.95), ("snip", 0.98), ("erk", 0.98)),
        "seeds": (0, 1, 2),
        "tweaks": TWEAKS,
    },
    "cifar10": {
        "flags": "--dataset=cifar10 --model=resnet20 --epochs=16 --ghost_end_epoch=6 --train_examples=10000 "
        "--dense_layers=^logits$",
        "masks": (("random", 0.98),),
        "seeds": (0,),
        "tweaks": ("default", "tost"),
    },
}


def run(task: tuple[tuple, list[str], Path]) -> tuple[tuple, float]:
    """Test accuracy in percent of one run, trained now or found finished."""
    from tost_tf.compat import keras
    from tost_tf.config.flags import parse
    from tost_tf.job.train import launch

    cell, arguments, folder = task
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{folder}.log", "a") as log, contextlib.redirect_stdout(log):
        result = launch(parse([*arguments, f"--run_dir={folder}"]))
    keras.backend.clear_session()
    return cell, 100 * result["test_accuracy"]


def run_all(study: dict, runs: Path, jobs: int) -> dict[tuple, float]:
    """Accuracy by (mask, sparsity, tweak, seed), whole seeds first."""
    cells = [
        (mask, sparsity, tweak, seed)
        for seed in study["seeds"]
        for mask, sparsity in study["masks"]
        for tweak in study["tweaks"]
    ]
    tasks = [(cell, _arguments(study, *cell), runs / "_".join(map(str, cell))) for cell in cells]
    # Fresh processes now and then: a process that has trained many networks grows.
    with multiprocessing.get_context("spawn").Pool(jobs, maxtasksperchild=6) as pool:
        return dict(tqdm(pool.imap_unordered(run, tasks), total=len(tasks), unit="run"))


def _arguments(study: dict, mask: str, sparsity: float, tweak: str, seed: int) -> list[str]:
    tweak_flags = [f"--flagfile=flags/ablations/{tweak}.flags", f"--mask={mask}", f"--sparsity={sparsity}"]
    return [*shlex.split(study["flags"]), *tweak_flags, f"--seed={seed}"]


def table(study: dict, accuracy: dict[tuple, float]) -> list[dict]:
    """A row for each mask, sparsity and tweak; the paired difference's standard error needs two seeds or more."""
    rows = []
    for mask, sparsity in study["masks"]:
        default = [accuracy[mask, sparsity, "default", seed] for seed in study["seeds"]]
        for tweak in study["tweaks"]:
            own = [accuracy[mask, sparsity, tweak, seed] for seed in study["seeds"]]
            differences = [a - b for a, b in zip(own, default, strict=True)]
            several = len(own) > 1
            rows.append(
                {
                    "mask": mask,
                    "sparsity": sparsity,
                    "tweak": tweak,
                    "mean": f"{statistics.mean(own):.2f}",
                    "std": f"{statistics.stdev(own):.2f}" if several else "",
                    "difference": f"{statistics.mean(differences):+.2f}",
                    "standard_error": f"{statistics.stdev(differences) / len(own) ** 0.5:.2f}" if several else "",
                    "accuracies": " ".join(f"{value:.2f}" for value in own),
                }
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", choices=STUDIES, default="digits")
    parser.add_argument("--jobs", type=int, default=1, help="how many runs at once")
    parser.add_argument("--runs", type=Path, help="where runs are kept (runs/tweaks_DATA)")
    parser.add_argument("--out", type=Path, help="the table (benchmarks/results/tweaks_DATA.csv)")
    arguments = parser.parse_args()
    study = STUDIES[arguments.data]
    runs = arguments.runs or Path(f"runs/tweaks_{arguments.data}")
    rows = table(study, run_all(study, runs, arguments.jobs))
    out = arguments.out or Path(f"benchmarks/results/tweaks_{arguments.data}.csv")
    with open(out, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(out.read_text())


if __name__ == "__main__":
    main()
