"""What the rescaled initialisation is for: the loss after the first step of SGD, with it and without.

    python benchmarks/first_step.py     # about half an hour on two CPU cores; CIFAR-10 must be prepared

Real CIFAR-10, ResNet-20, a random mask at 98%, five seeds, the paper's optimizer. The step is taken on the first batch
of the run; the loss is the mean over the ten batches that follow, none of which the step has seen, with batch
statistics as in training. Each seed has one network, mask and order of images, with and without rescaling.
"""

import argparse
import csv
from pathlib import Path

from tost_tf.data.images import ImageData
from tost_tf.data.load import load
from tost_tf.data.pipeline import training_batches
from tost_tf.experiment.options import RunConfig
from tost_tf.experiment.run.network import add_ghosts_and_compile, build_model, training_loss
from tost_tf.ghost.model import GhostModel
from tost_tf.graph.batch_norm import statistics_kept
from tost_tf.masks.random import random
from tost_tf.seeds import derive_seed
from tost_tf.training.rescale import rescale_init

FRESH_BATCHES = 10
HALF_BATCH = 64


def losses(config: RunConfig, model: GhostModel, data: ImageData) -> tuple[float, float]:
    """The loss on fresh batches before and after the first step of training."""
    batches = training_batches(data, config.training.batch_size, config.training.seed, 1)
    first, fresh = next(iter(batches)), batches.skip(1).take(FRESH_BATCHES)
    loss = training_loss(config)

    def on_fresh_batches() -> float:
        with statistics_kept(model):
            values = [float(loss(labels, model(images, training=True))) for images, labels in fresh]
        return sum(values) / len(values)

    before = on_fresh_batches()
    model.train_on_batch(*first)
    return before, on_fresh_batches()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="resnet20")
    parser.add_argument("--sparsity", type=float, default=0.98)
    parser.add_argument("--recipe", default="default", help="default, or tost for the ghosts as a run starts with them")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/first_step.csv"))
    arguments = parser.parse_args()
    rows = []
    for seed in range(arguments.seeds):
        config = RunConfig.make(
            dataset="cifar10",
            model=arguments.model,
            mask="random",
            sparsity=arguments.sparsity,
            recipe=arguments.recipe,
            seed=seed,
        )
        data = load(config.data)
        dense = build_model(config, data)
        masks = random(dense, sparsity=arguments.sparsity, seed=derive_seed(seed, "mask"), dense_layers="^logits$")
        before, plain = losses(config, add_ghosts_and_compile(config, dense, masks), data)
        model = add_ghosts_and_compile(config, dense, masks)
        halves = training_batches(data, HALF_BATCH, derive_seed(seed, "rescale"), 1)
        rescale_init(model, halves, steps=config.recipe.rescale_steps, loss=training_loss(config))
        rescaled_before, rescaled = losses(config, model, data)
        rows.append(
            {
                "seed": seed,
                "before_step": f"{before:.4f}",
                "after_step": f"{plain:.4f}",
                "rescaled_before_step": f"{rescaled_before:.4f}",
                "rescaled_after_step": f"{rescaled:.4f}",
                "lower": rescaled < plain,
            }
        )
        print(rows[-1], flush=True)
    with open(arguments.out, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(f"lower with rescaling for {sum(row['lower'] for row in rows)} of {len(rows)} seeds")


if __name__ == "__main__":
    main()
