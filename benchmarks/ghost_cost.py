"""Where the time of a training step with ghosts goes, by the kind of operation.

    python benchmarks/ghost_cost.py [--steps 12]    # three minutes; results/ghost_cost.csv and results/ghost_cost.png

The models are those of overhead.py: ResNet-32 on images of CIFAR's size, batch 128, a random mask at 98%, SGD with
momentum. TensorFlow's profiler gives the time of each operation, on one core. The figure shows what ghosts add to the
masked step, as a share of it.
"""

import argparse
import collections
import csv
import os
import statistics
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")

from matplotlib.figure import Figure
from overhead import candidates, one_step
from tensorflow.tsl.profiler.protobuf import xplane_pb2

from tost_tf.compat import tf

RESULTS = Path("benchmarks/results")
MODELS = ("masked", "ghost neurons", "ghost identity", "ghost projection")
OTHER = "other"
# Part of an operation's name -> what it does; the first that matches.
KINDS = {
    "VariableOp": OTHER,
    "Conv2D": "convolution",
    "BatchNorm": "normalisation",
    "Sigmoid": "neuron",
    "Relu": "neuron",
    "Slice": "cut and pad",
    "Pad": "cut and pad",
    "Pool": "pooling",
    "AddN": "sum of gradients",
    "Assign": "sum of gradients",  # into a temporary variable, as Grappler sums three or more
    "TemporaryVariable": "sum of gradients",
    "Add": "addition",
    "Sub": "addition",  # of ghost skips, see `tost_tf.ghost.gates`
    "Mul": "product",
}


def operations(step) -> dict[tuple[str, str], float]:
    """Milliseconds of each operation in a step, by node and kind of operation."""
    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        step()
        tf.profiler.experimental.stop()
        space = xplane_pb2.XSpace()
        space.ParseFromString(next(Path(folder).rglob("*.xplane.pb")).read_bytes())
    found: collections.Counter[tuple[str, str]] = collections.Counter()
    for plane in (plane for plane in space.planes if "CPU" in plane.name):
        for event in (event for line in plane.lines for event in line.events):
            node, _, operation = plane.event_metadata[event.metadata_id].name.rpartition(":")
            if node and not node.endswith(":") and operation.isidentifier():  # the others contain operations
                found[node, operation] += event.duration_ps / 1e9
    return found


def measure(steps: int) -> dict[str, dict[str, float]]:
    """Milliseconds of a step by model and kind of operation: sums of the medians of all operations.

    The models take turns, so that a machine whose speed drifts slows all of them.
    """
    models = candidates()
    functions = {name: one_step(models[name]) for name in MODELS}
    seen: dict[str, dict[tuple[str, str], list[float]]] = {name: collections.defaultdict(list) for name in MODELS}
    for number in range(steps + 1):
        for name, step in functions.items():
            for key, value in operations(step).items():
                if number:  # the first is traced
                    seen[name][key].append(value)
    times: dict[str, dict[str, float]] = {name: collections.Counter() for name in MODELS}
    for name, own in seen.items():
        for (_, operation), values in own.items():
            times[name][kind_of(operation)] += statistics.median(values)
    return times


def kind_of(operation: str) -> str:
    return next((kind for part, kind in KINDS.items() if part in operation), OTHER)


def draw(times: dict[str, dict[str, float]], path: Path) -> None:
    """What each kind of operation adds to the masked step, in % of it."""
    masked = times["masked"]
    whole = sum(masked.values())
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    axes = figure.subplots()
    kinds = list(dict.fromkeys([*list(KINDS.values())[1:], OTHER]))
    for place, name in enumerate(MODELS[1:]):
        left = {True: 0.0, False: 0.0}
        for number, kind in enumerate(kinds):
            share = 100 * (times[name].get(kind, 0) - masked.get(kind, 0)) / whole
            axes.barh(place, share, left=left[share > 0], color=f"C{number}", label=None if place else kind)
            left[share > 0] += share
        axes.text(left[True] + 0.5, place, f"{left[True] + left[False]:+.0f}%", va="center")
    axes.set_yticks(range(3), MODELS[1:])
    axes.set_xlim(right=1.1 * axes.get_xlim()[1])
    axes.set_xlabel("added to a step of the masked network, in % of it")
    figure.legend(loc="outside lower center", ncols=5, fontsize="small")
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=12)
    steps = parser.parse_args().steps
    times = measure(steps)
    with (RESULTS / "ghost_cost.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["operation", *(f"{name}, ms" for name in MODELS)])
        for kind in dict.fromkeys([*list(KINDS.values())[1:], OTHER]):
            writer.writerow([kind, *(f"{times[name].get(kind, 0):.1f}" for name in MODELS)])
    draw(times, RESULTS / "ghost_cost.png")


if __name__ == "__main__":
    main()
