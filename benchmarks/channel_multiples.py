"""What masks of whole channels gain by multiples: compacted networks of the same sparsity, side by side.

    python benchmarks/channel_multiples.py [--rounds 9]    # two minutes; results/channel_multiples.csv

Masks by magnitude at initialisation, every layer alike, on images of CIFAR's size, batch 64, one core. The networks of
a row take turns; medians of inference and of a training step with SGD. Compare channel_blocks.py: a single convolution.
"""

import argparse
import csv
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")

import tost_tf as tost
from tost_tf.compaction.report import multiply_adds
from tost_tf.compat import keras, tf
from tost_tf.progress import progress

RESULTS = Path("benchmarks/results/channel_multiples.csv")
CELLS = (("resnet18", 0.6), ("resnet18", 0.75), ("mobilenet", 0.6))
PATTERNS = ("channels", "channels:8", "channels:16")
HEAD = ("model", "sparsity", "pattern", "sparsity of the mask", "MACs", "inference, ms", "training step, ms")


def compacted(name: str, sparsity: float, pattern: str) -> tuple[keras.Model, float]:
    """A network without the channels that its mask removes, and the mask's sparsity."""
    keras.utils.set_random_seed(0)
    model = tost.models.build(name, (32, 32, 3), 10)
    masks = tost.masks.magnitude(model, sparsity=sparsity, pattern=pattern, scope="layer")
    small, _ = tost.compact(tost.strip(tost.sparsify(model, masks)))
    small.compile(keras.optimizers.SGD(0.01), keras.losses.CategoricalCrossentropy(from_logits=True))
    return small, masks.sparsity


def functions(model: keras.Model) -> tuple[Callable[[], object], Callable[[], object]]:
    """Inference and a training step, on the same batch."""
    images = tf.random.stateless_normal((64, 32, 32, 3), (1, 2))
    labels = tf.one_hot(tf.random.stateless_uniform((64,), (3, 4), 0, 10, tf.int32), 10)
    infer, train = tf.function(lambda: model(images, training=False)), model.make_train_function()
    data = iter(tf.data.Dataset.from_tensors((images, labels)).repeat())
    return lambda: infer().numpy(), lambda: train(data)["loss"].numpy()


def cell(name: str, sparsity: float, rounds: int) -> list[tuple[object, ...]]:
    """The rows of a network at a sparsity."""
    networks = {pattern: compacted(name, sparsity, pattern) for pattern in PATTERNS}
    work = {pattern: functions(model) for pattern, (model, _) in networks.items()}
    times: dict[str, tuple[list[float], list[float]]] = {pattern: ([], []) for pattern in PATTERNS}
    for number in progress(range(rounds + 1), name):
        for pattern, both in work.items():
            for function, taken in zip(both, times[pattern], strict=True):
                start = time.perf_counter()
                function()
                if number:  # the first is traced
                    taken.append(1e3 * (time.perf_counter() - start))
    return [
        (name, sparsity, pattern, f"{reached:.4f}", multiply_adds(model)[0], *milliseconds(times[pattern]))
        for pattern, (model, reached) in networks.items()
    ]


def milliseconds(times: tuple[list[float], list[float]]) -> tuple[str, ...]:
    return tuple(f"{statistics.median(taken):.1f}" for taken in times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    rows = [row for name, sparsity in CELLS for row in cell(name, sparsity, rounds)]
    with RESULTS.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEAD)
        writer.writerows(rows)


if __name__ == "__main__":
    main()
