"""What exported networks take: without zeros, sparse, and compacted, side by side in the formats they are exported in.

    nice -n -5 python benchmarks/latency.py [--out benchmarks/results/latency.csv]     # half an hour; needs no data

ResNet-18 and MobileNet at CIFAR's size, with masks over all weights together: whole channels by magnitude at 75%, once
more by multiples of 16 and at 75% in each layer, SynFlow at 98%, and a random mask at 90%, which leaves all channels of
ResNet-18 alive: there nothing can be gained, and nothing must be lost. The networks are initialised, not trained, since
latency does not depend on what they have learnt; normalisations have the statistics of random images, so that no
activation vanishes. The classifier stays dense.

Measured as by `tost-export --compact --latency`: each format, number of threads and batch in fresh processes, in which
the three networks take turns. `ratio` is the median over rounds of the time to that of the dense network in the same
round, which other work on the machine disturbs little; `load` is the machine's (of a minute) as the rows are written.
Bars of the compacted network: channels at 75% at most 0.30, SynFlow at 98% at most 0.40, and never more than 1.03.
Rows that are in the file already are not measured again.
"""

import argparse
import csv
import io
import os
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

import tost_tf as tost
from tost_tf.compat import keras
from tost_tf.data.images import ImageData, LabelledImages
from tost_tf.export.latency import BATCHES, Effort
from tost_tf.export.latency_of_networks import Measured, measure_networks
from tost_tf.export.manifest import Exported
from tost_tf.export.without_zeros import without_zeros
from tost_tf.files import write_text

MODELS, FORMATS = ("resnet18", "mobilenet"), ("saved_model", "tflite float32", "keras3")
# Name of a column in the documentation -> method, its options, and what the compacted network may take at most.
MASKS = {
    "channels 75%": ("magnitude", {"pattern": "channels", "sparsity": 0.75}, 0.30),
    "channels:16 75%, layers alike": (
        "magnitude",
        {"pattern": "channels:16", "scope": "layer", "sparsity": 0.75},
        0.30,
    ),
    "SynFlow 98%": ("synflow", {"sparsity": 0.98}, 0.40),
    "random 90%": ("random", {"sparsity": 0.9}, 1.03),
}
MEAN, DEVIATION = (0.49, 0.48, 0.45), (0.25, 0.24, 0.26)


def random_images(count: int) -> ImageData:
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (count, 32, 32, 3)).astype(np.uint8)
    part = LabelledImages(pixels, np.zeros(count, np.int32))
    return ImageData(part, part, part, 10, MEAN, DEVIATION)


def masked_network(name: str, mask: str, data: ImageData) -> keras.Model:
    """The plain network, its pruned weights zero; the same initialisation for every mask."""
    keras.utils.set_random_seed(0)
    model = tost.models.build(name, (32, 32, 3), 10)
    method, options, _ = MASKS[mask]
    masks = getattr(tost.masks, method)(model, dense_layers="^logits$", **options)
    final = tost.strip(tost.sparsify(model, masks))
    for layer in final.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    final(((data.train.images / 255 - MEAN) / DEVIATION).astype(np.float32), training=True)
    return final


def measured(name: str, mask: str, data: ImageData) -> Measured:
    network = masked_network(name, mask, data)
    smaller, report = tost.compact(network, fold_normalization=True)
    print(name, mask, report.summary(), flush=True)
    networks = {"dense": without_zeros(network), "sparse": network, "compacted": smaller}
    exported = Exported(network, smaller, data, {})
    with tempfile.TemporaryDirectory() as folder:
        return measure_networks(networks, exported, FORMATS, Path(folder), BATCHES, Effort(15, 100, 6.0))


def rows_of(name: str, mask: str, found: Measured) -> list[dict[str, str | int]]:
    rows = []
    for kind, latencies in found.latencies.items():
        for one in latencies:
            cost = found.costs[one.network]
            rows.append(
                {
                    "model": name,
                    "mask": mask,
                    "format": kind,
                    "threads": one.threads,
                    "batch": one.batch,
                    "network": one.network,
                    "milliseconds": f"{one.milliseconds:.3f}",
                    "first_quartile": f"{one.quartiles[0]:.3f}",
                    "third_quartile": f"{one.quartiles[1]:.3f}",
                    "ratio": f"{one.ratio:.3f}",
                    "rounds": one.rounds,
                    "macs": str(cost.macs),
                    "nonzero_macs": str(cost.nonzero_macs),
                    "bytes": cost.bytes[kind],
                    "load": f"{os.getloadavg()[0]:.1f}",
                }
            )
    return rows


def missed(row: dict[str, str]) -> bool:
    """Whether a row is above what a compacted network may take."""
    return row["network"] == "compacted" and float(row["ratio"]) > MASKS[row["mask"]][2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/latency.csv"))
    arguments = parser.parse_args()
    rows = []
    if arguments.out.exists():
        with open(arguments.out, newline="") as file:
            rows = list(csv.DictReader(file))
    data = random_images(64)
    for name in MODELS:
        for mask in MASKS:
            if any((row["model"], row["mask"]) == (name, mask) for row in rows):
                continue
            found = measured(name, mask, data)
            print("\n".join(found.table()), flush=True)
            rows += rows_of(name, mask, found)
            keras.backend.clear_session()
            text = io.StringIO()
            table = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
            table.writeheader()
            table.writerows(rows)
            write_text(arguments.out, text.getvalue())
    for row in filter(missed, rows):
        print(
            "above its bar:",
            *(row[name] for name in ("model", "mask", "format", "threads", "batch", "network", "ratio")),
        )


if __name__ == "__main__":
    main()
