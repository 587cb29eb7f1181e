"""What a step costs by optimizer: times of training steps, side by side in one process, as ratios to SGD.

    python benchmarks/optimizers.py [--model resnet18] [--precision none] [--steps 10]

Images of CIFAR's size, batch 128, a random mask. The optimizers take turns, one step each, so that a machine whose
speed drifts slows all of them; medians are compared.
"""

import argparse
import json
import os
import platform
import statistics
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tost_tf as tost
from tost_tf.compat import tf
from tost_tf.graph.precision import in_precision
from tost_tf.registry import OPTIMIZERS
from tost_tf.training.losses import cross_entropy

SPARSITY, BATCH = 0.95, 128


def one_step(model: str, precision: str, optimizer: str):
    """A function that makes one training step on the same batch."""
    dense = tost.models.build(model, (32, 32, 3), 10)
    sparse = tost.sparsify(in_precision(dense, precision), tost.masks.random(dense, sparsity=SPARSITY))
    images = tf.random.stateless_normal((BATCH, 32, 32, 3), (1, 2))
    labels = tf.one_hot(tf.random.stateless_uniform((BATCH,), (3, 4), 0, 10, tf.int32), 10)
    data = iter(tf.data.Dataset.from_tensors((images, labels)).repeat())
    method = OPTIMIZERS[optimizer]
    sparse.compile(method.make(0.1 * method.learning_rate, 0.9, 2e-4), cross_entropy())
    step = sparse.make_train_function()
    return lambda: step(data)["loss"].numpy()


def measure(model: str, precision: str, steps: int) -> dict[str, float]:
    """Median seconds of a step by optimizer."""
    functions = {name: one_step(model, precision, name) for name in OPTIMIZERS}
    times = {name: [] for name in functions}
    for _ in range(steps + 2):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(taken[2:]) for name, taken in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--precision", default="none")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/optimizers.json"))
    arguments = parser.parse_args()
    seconds = measure(arguments.model, arguments.precision, arguments.steps)
    results = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    results[f"{arguments.model}, precision {arguments.precision}"] = {
        "command": f"python benchmarks/optimizers.py --model {arguments.model} --precision {arguments.precision} "
        f"--steps {arguments.steps}",
        "machine": f"{os.cpu_count()} CPU cores, {platform.machine()}, TensorFlow {tf.__version__}",
        "ratios to sgd": {name: round(taken / seconds["sgd"], 3) for name, taken in seconds.items()},
        "seconds": {name: round(taken, 4) for name, taken in seconds.items()},
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(results, indent=2) + "\n")
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
