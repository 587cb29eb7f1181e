"""The six masks of the paper's Table 2 on one network and dataset: found, trained for a few epochs, compared.

    python benchmarks/six_masks.py [--flags ...]

By default ResNet-32 on real CIFAR-10 at 98%, the default recipe: 3,000 training images, 3 epochs, the lottery ticket
with one epoch a round; a size for two CPU cores, which says that all masks train and how they spread their weights,
and nothing about which is best. Runs are resumed when the command is given again. Writes a table of layer densities.
"""

import argparse
import csv
import json
import shlex
import subprocess
from pathlib import Path

MASKS = ("random", "erk", "magnitude", "snip", "grasp", "synflow", "lottery")
FLAGS = (
    "--dataset=cifar10 --model=resnet32 --sparsity=0.98 --recipe=default --train_examples=3000 --epochs=3 "
    "--dense_layers=^logits$"
)
LOTTERY = ("--lottery_epochs=1",)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flags", default=FLAGS)
    parser.add_argument("--runs", type=Path, default=Path("runs/six_masks"))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/six_masks.csv"))
    arguments = parser.parse_args()
    results = {}
    for mask in MASKS:
        folder = arguments.runs / mask
        command = ["tost-train", *shlex.split(arguments.flags), f"--mask={mask}", f"--run_dir={folder}"]
        command += LOTTERY if mask == "lottery" else ()
        subprocess.run(command, check=True)
        results[mask] = json.loads((folder / "result.json").read_text())
    with open(arguments.out, "w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["density of", *MASKS])
        for path in results["random"]["layer_sparsity"]:
            table.writerow([path, *(f"{1 - results[mask]['layer_sparsity'][path]:.4f}" for mask in MASKS)])
        for name in ("sparsity", "test_accuracy", "mask_seconds"):
            table.writerow([name, *(f"{results[mask][name]:.4f}" for mask in MASKS)])
        table.writerow(["collapsed layers", *(len(results[mask]["collapsed_layers"]) for mask in MASKS)])
    print(arguments.out.read_text())


if __name__ == "__main__":
    main()
