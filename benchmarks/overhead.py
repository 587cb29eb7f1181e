"""What masks and ghosts cost: times of training steps, side by side in one process, as ratios.

    python benchmarks/overhead.py [--steps 20] [--precision mixed_bfloat16] [--out benchmarks/results/overhead.json]

ResNet-32 on images of CIFAR's size, batch 128, SGD with momentum. The models take turns, one step each, so that a
machine whose speed drifts slows all of them; medians are compared. A first step includes tracing.
"""

import argparse
import json
import os
import platform
import statistics
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow_model_optimization as tfmot

import tost_tf as tost
from tost_tf.compat import keras, tf
from tost_tf.training.losses import cross_entropy
from tost_tf.training.optimizer import CoupledSGD

SPARSITY, BATCH = 0.98, 128


def candidates() -> dict[str, keras.Model]:
    """The models to compare: the same network, dense, masked in two ways, and with ghosts."""

    def sparse() -> keras.Model:
        model = dense()
        return tost.sparsify(model, tost.masks.random(model, sparsity=SPARSITY))

    def dense() -> keras.Model:
        return tost.models.build("resnet32", (32, 32, 3), 10)

    schedule = tfmot.sparsity.keras.ConstantSparsity(SPARSITY, begin_step=0)
    gone = tost.GhostModel(sparse())
    gone.remove_ghosts()
    return {
        "dense": dense(),
        "masked": sparse(),
        "stock tfmot": tfmot.sparsity.keras.prune_low_magnitude(dense(), schedule),
        "ghosts gone": gone,
        "ghost neurons": tost.GhostModel(sparse(), "pswish", "none"),
        "ghost identity": tost.GhostModel(sparse(), "pswish", "identity"),
        "ghost projection": tost.GhostModel(sparse(), "pswish", "projection"),
    }


def one_step(model: keras.Model):
    """A function that makes one training step of the compiled model on the same batch."""
    images = tf.random.stateless_normal((BATCH, 32, 32, 3), (1, 2))
    labels = tf.one_hot(tf.random.stateless_uniform((BATCH,), (3, 4), 0, 10, tf.int32), 10)
    data = iter(tf.data.Dataset.from_tensors((images, labels)).repeat())
    model.compile(CoupledSGD(0.01, 0.9, 2e-4), cross_entropy())
    step = model.make_train_function()
    update = tfmot.sparsity.keras.UpdatePruningStep()
    update.set_model(model)
    update.on_train_begin()  # for the stock wrapper; does nothing for the others
    return lambda: step(data)["loss"].numpy()


def seconds(function) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def measure(steps: int) -> dict[str, dict[str, float]]:
    """First and median step time by model, in seconds."""
    warm = keras.Sequential([keras.layers.Conv2D(4, 3, input_shape=(32, 32, 3)), keras.layers.Flatten()])
    warm.add(keras.layers.Dense(10))
    seconds(one_step(warm))  # what TensorFlow does once in a process
    functions = {name: one_step(model) for name, model in candidates().items()}
    first = {name: seconds(function) for name, function in functions.items()}
    times = {name: [] for name in functions}
    for _ in range(steps + 2):
        for name, function in functions.items():
            times[name].append(seconds(function))
    return {name: {"first": first[name], "step": statistics.median(times[name][2:])} for name in functions}


def ratios(times: dict[str, dict[str, float]]) -> dict[str, float]:
    """The numbers the project promises."""
    step = {name: entry["step"] for name, entry in times.items()}
    first = {name: entry["first"] for name, entry in times.items()}
    return {
        "masked step / dense step": step["masked"] / step["dense"],
        "stock tfmot step / dense step": step["stock tfmot"] / step["dense"],
        "masked first step / dense first step": first["masked"] / first["dense"],
        "stock tfmot first step / dense first step": first["stock tfmot"] / first["dense"],
        "ghosts gone step / masked step": step["ghosts gone"] / step["masked"],
        "ghost neurons step / masked step": step["ghost neurons"] / step["masked"],
        "ghost identity step / masked step": step["ghost identity"] / step["masked"],
        "ghost projection step / masked step": step["ghost projection"] / step["masked"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--precision", default="float32", help="the policy of Keras")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/overhead.json"))
    arguments = parser.parse_args()
    keras.mixed_precision.set_global_policy(arguments.precision)
    times = measure(arguments.steps)
    result = {
        "command": f"python benchmarks/overhead.py --steps {arguments.steps} --precision {arguments.precision}",
        "machine": f"{os.cpu_count()} CPU cores, {platform.machine()}, TensorFlow {tf.__version__}",
        "ratios": {name: round(ratio, 3) for name, ratio in ratios(times).items()},
        "seconds": {name: {key: round(value, 4) for key, value in entry.items()} for name, entry in times.items()},
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
