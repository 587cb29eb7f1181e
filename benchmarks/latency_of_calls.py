"""How long TensorFlow takes to call the operations of a MobileNet, whatever they compute: a bound for compaction.

    python benchmarks/latency_of_calls.py [--rounds 60]    # half a minute; results/latency_of_calls.csv

SavedModels of MobileNets with all, half and a sixteenth of the channels, one image of CIFAR's size, with one thread and
with two. The smaller ones have their normalisations folded, as compacted files have. They take turns; the last has
half a per cent of the weights, so its time is hardly more than that of its calls.
"""

import argparse
import csv
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tost_tf as tost
from tost_tf.compat import tf
from tost_tf.files import write_text

RESULTS = Path("benchmarks/results/latency_of_calls.csv")
WIDTHS = (1.0, 0.5, 1 / 16)
CALLS = 5  # in a row
HEAD = ("threads", "channels", "weights", "ms", "to all channels")


def measure(rounds: int) -> list[tuple[object, ...]]:
    """The rows of one number of threads, which TensorFlow takes from the environment."""
    image, networks = tf.random.stateless_normal((1, 32, 32, 3), (1, 2)), {}
    with tempfile.TemporaryDirectory() as folder:
        for width in WIDTHS:
            model = tost.models.build("mobilenet", (32, 32, 3), 10, width_multiplier=width)
            if width < 1:
                model, _ = tost.compact(model, fold_normalization=True)
            tost.export.saved_model(model, Path(folder) / str(width))
            serve = tf.saved_model.load(str(Path(folder) / str(width))).signatures["serving_default"]
            networks[width] = (serve, model.count_params())
        times: dict[float, list[float]] = {width: [] for width in WIDTHS}
        for number in range(rounds + 1):
            for width, (serve, _) in networks.items():
                start = time.perf_counter()
                for _ in range(CALLS):
                    serve(image=image)["logits"].numpy()
                if number:  # the first traces
                    times[width].append(1000 * (time.perf_counter() - start) / CALLS)
    threads = os.environ["TF_NUM_INTRAOP_THREADS"]
    return [
        (
            threads,
            f"{width:g}",
            networks[width][1],
            f"{statistics.median(times[width]):.2f}",
            f"{statistics.median(own / all_ for own, all_ in zip(times[width], times[1.0], strict=True)):.2f}",
        )
        for width in WIDTHS
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--only", action="store_true", help="print the rows of the threads that are set")
    arguments = parser.parse_args()
    if arguments.only:
        csv.writer(sys.stdout, lineterminator="\n").writerows(measure(arguments.rounds))
        return
    text = ",".join(HEAD) + "\n"
    for threads in ("1", "2"):
        own = {"TF_NUM_INTRAOP_THREADS": threads, "TF_NUM_INTEROP_THREADS": threads}
        command = [sys.executable, __file__, "--only", "--rounds", str(arguments.rounds)]
        text += subprocess.run(command, env=os.environ | own, stdout=subprocess.PIPE, text=True, check=True).stdout
    write_text(RESULTS, text)
    print(text, end="")


if __name__ == "__main__":
    main()
