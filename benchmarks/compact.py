"""What compaction wins: channels, MACs and latency of masked networks before and after.

    python benchmarks/compact.py [--out benchmarks/results/compact.csv]     # about ten minutes; needs CIFAR-10

ResNet-32 and ResNet-18 at CIFAR's size with masks over all weights together (SNIP on ten real images of each class).
The networks are initialised, not trained: every BatchNormalization shifts by zero, so that a dead filter is zero at its
end. `*_shifted` counts the same networks with random shifts (standard deviation 0.1) and the statistics of 128 real
images, as after a training: constants that are not zero stay where borders see them.

Latency is that of a compiled graph, in one process, on one core. Both models take turns, one call each, now the one
first and now the other; a ratio is the median of those of such pairs, which other work on the machine disturbs little.
A row that is in the file already is not measured again.
"""

import argparse
import csv
import io
import itertools
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")

import numpy as np
from tqdm import tqdm

import tost_tf as tost
from tost_tf.compat import keras, tf
from tost_tf.data.images import ImageData
from tost_tf.data.load import load
from tost_tf.data.pipeline import balanced_batches, first_examples
from tost_tf.experiment.options import RunConfig
from tost_tf.files import write_text

MODELS, MASKS, SPARSITIES = ("resnet32", "resnet18"), ("random", "snip", "synflow", "magnitude"), (0.9, 0.95, 0.98)
BATCHES = (1, 32)
FEWEST_CALLS, MOST_CALLS, SECONDS = 9, 100, 6.0


def masked_network(name: str, mask: str, sparsity: float, data: ImageData) -> keras.Model:
    """The plain network, its pruned weights zero; the same initialisation for every mask.

    The classifier stays dense: its weights start so small that masks by magnitude would leave none of them.
    """
    keras.utils.set_random_seed(0)
    model = tost.models.build(name, (32, 32, 3), 10)
    given = [balanced_batches(data, 10, 0)] if mask == "snip" else []
    masks = getattr(tost.masks, mask)(model, *given, sparsity=sparsity, dense_layers="^logits$")
    return tost.strip(tost.sparsify(model, masks))


def share_of_dead_filters(model: keras.Model) -> float:
    """The share of a convolution's or Dense layer's filters that are all zeros, the mean of all layers."""
    kernels = [layer.kernel.numpy() for layer in model.layers if hasattr(layer, "kernel")]
    return float(np.mean([1 - np.any(kernel, axis=tuple(range(kernel.ndim - 1))).mean() for kernel in kernels]))


def shift(model: keras.Model, images: np.ndarray) -> None:
    """BatchNormalization as after a training."""
    generator = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
            layer.beta.assign(generator.normal(0, 0.1, layer.beta.shape))
    model(images, training=True)


def latencies(model: keras.Model, smaller: keras.Model, batch: int) -> tuple[float, float, float]:
    """Median seconds of a call of each, and the median ratio of two calls that follow each other."""
    images = tf.random.stateless_normal((batch, 32, 32, 3), (1, 2))
    functions = [tf.function(lambda x, network=network: network(x, training=False)) for network in (model, smaller)]
    for function in functions * 2:
        seconds(function, images)
    times, start = [], time.perf_counter()
    while len(times) < FEWEST_CALLS or (len(times) < MOST_CALLS and time.perf_counter() - start < SECONDS):
        turn = 1 if len(times) % 2 else -1
        times.append([seconds(function, images) for function in functions[::turn]][::turn])
    before, after = zip(*times, strict=True)
    ratios = [new / old for old, new in times]
    return statistics.median(before), statistics.median(after), statistics.median(ratios)


def seconds(function: Callable[[tf.Tensor], tf.Tensor], images: tf.Tensor) -> float:
    start = time.perf_counter()
    function(images).numpy()
    return time.perf_counter() - start


def measure(name: str, mask: str, sparsity: float, data: ImageData) -> dict[str, str | int | float]:
    """A row of the table."""
    model = masked_network(name, mask, sparsity, data)
    smaller, report = tost.compact(model)
    images = first_examples(data, data.test, 128)[0]
    expected, found = (network(images, training=False).numpy() for network in (model, smaller))
    row = {
        "model": name,
        "mask": mask,
        "sparsity": sparsity,
        "dead_filters": f"{share_of_dead_filters(model):.4f}",
        "channels": report.channels[0],
        "channels_after": report.channels[1],
        "layers": len(report.before),
        "layers_after": len(report.after),
        "macs": report.macs[0],
        "macs_after": report.macs[1],
        "macs_ratio": f"{report.macs[1] / report.macs[0]:.4f}",
        "largest_difference": f"{np.abs(found - expected).max():.1e}",
        "largest_logit": f"{np.abs(expected).max():.1e}",
    }
    for batch in BATCHES:
        before, after, ratio = latencies(model, smaller, batch)
        row |= {
            f"ms_batch_{batch}": f"{1000 * before:.2f}",
            f"ms_after_batch_{batch}": f"{1000 * after:.2f}",
            f"latency_ratio_batch_{batch}": f"{ratio:.3f}",
        }
    shift(model, images)
    shifted = tost.compact(model)[1]
    row |= {"channels_after_shifted": shifted.channels[1], "macs_after_shifted": shifted.macs[1]}
    return row | {"summary": report.summary()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/compact.csv"))
    arguments = parser.parse_args()
    rows = []
    if arguments.out.exists():
        with open(arguments.out, newline="") as file:
            rows = list(csv.DictReader(file))
    done = {(row["model"], row["mask"], float(row["sparsity"])) for row in rows}
    cells = [cell for cell in itertools.product(MODELS, MASKS, SPARSITIES) if cell not in done]
    data = load(RunConfig.make(dataset="cifar10").data) if cells else None
    for cell in tqdm(cells, unit="network"):
        rows.append(measure(*cell, data))
        keras.backend.clear_session()
        text = io.StringIO()
        table = csv.DictWriter(text, rows[0], lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
        write_text(arguments.out, text.getvalue())
    print(arguments.out.read_text())


if __name__ == "__main__":
    main()
