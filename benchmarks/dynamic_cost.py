"""What dynamic sparse training costs: the gradients the optimizer keeps, and the updates of the masks.

    python benchmarks/dynamic_cost.py [--steps 30] [--out benchmarks/results/dynamic_cost.json]

ResNet-32 on images of CIFAR's size, batch 128, ERK mask at 95%. Two models take turns, a step each: one whose optimizer
keeps the dense gradient of each step, for growing, and one whose does not. What an update costs is spread over the 100
steps between two. As a share of a step, it is the share of an epoch.
"""

import argparse
import json
import os
import platform
import statistics
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from overhead import BATCH, seconds

import tost_tf as tost
from tost_tf.compat import keras, tf
from tost_tf.dynamic.growth import GRADIENT
from tost_tf.dynamic.options import DynamicConfig
from tost_tf.dynamic.update import MaskUpdater
from tost_tf.masks.sparsify import with_dense_gradients
from tost_tf.training.losses import cross_entropy
from tost_tf.training.optimizer import CoupledSGD

UPDATES = 5


def trainer(keep_gradients: bool) -> tuple[keras.Model, object]:
    """A sparse model and a function that makes one training step of it."""
    dense = tost.models.build("resnet32", (32, 32, 3), 10)
    model = tost.sparsify(dense, tost.masks.erk(dense, sparsity=0.95))
    images = tf.random.stateless_normal((BATCH, 32, 32, 3), (1, 2))
    labels = tf.one_hot(tf.random.stateless_uniform((BATCH,), (3, 4), 0, 10, tf.int32), 10)
    data = iter(tf.data.Dataset.from_tensors((images, labels)).repeat())
    optimizer = CoupledSGD(0.01, 0.9, 2e-4)
    if keep_gradients:
        optimizer.keep_gradients(with_dense_gradients(model))
    model.compile(optimizer, cross_entropy())
    step = model.make_train_function()
    return model, lambda: step(data)["loss"].numpy()


def measure(steps: int) -> dict[str, float]:
    """Median seconds of a step without and with kept gradients, and of an update."""
    (_, without), (model, keeping) = trainer(False), trainer(True)
    times = {"step": [], "step that keeps gradients": []}
    for _ in range(steps + 2):
        times["step"].append(seconds(without))
        times["step that keeps gradients"].append(seconds(keeping))
    updater = MaskUpdater(model, model.optimizer)
    updates = [seconds(lambda n=n: updater.update(GRADIENT, 0.3, n)) for n in range(UPDATES)]
    return {name: statistics.median(values[2:]) for name, values in times.items()} | {
        "update": statistics.median(updates)
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/dynamic_cost.json"))
    arguments = parser.parse_args()
    times = measure(arguments.steps)
    every = DynamicConfig().update_every
    gradients = times["step that keeps gradients"] / times["step"] - 1
    updates = times["update"] / every / times["step"]
    result = {
        "command": f"python benchmarks/dynamic_cost.py --steps {arguments.steps}",
        "machine": f"{os.cpu_count()} CPU cores, {platform.machine()}, TensorFlow {tf.__version__}",
        "percent of an epoch": {
            "keeping gradients": round(100 * gradients, 2),
            f"an update every {every} steps": round(100 * updates, 2),
            "both": round(100 * (gradients + updates), 2),
        },
        "seconds": {name: round(value, 4) for name, value in times.items()},
    }
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
