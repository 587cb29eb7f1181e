"""Time of a convolution by its number of channels: why time does not follow the multiplications.

    python benchmarks/channel_blocks.py [--rounds 9]    # a minute; results/channel_blocks.csv and a figure of docs/

A 3x3 convolution with as many channels as it reads, on 64 images of 32x32 pixels, on one core: alone, and with both of
its gradients, as in a training step. All numbers of channels take turns; the fastest of each is kept, since other work
only slows. Beside it, in the same unit, what the largest would take if time were in proportion to multiplications.
"""

import argparse
import csv
import os
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")

from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from tost_tf.compat import tf
from tost_tf.progress import progress

RESULTS, FIGURE = Path("benchmarks/results/channel_blocks.csv"), Path("docs/figures/channel_blocks.png")
CHANNELS = range(8, 81, 2), range(15, 80, 16)  # the even ones, and those one below a multiple of 16
HEAD = ("channels", "inference, ms", "training, ms")


def functions(channels: int) -> tuple[Callable[[], object], Callable[[], object]]:
    """The convolution alone, and with its gradients. Each result is read, so that none is left out."""
    shape = (64, 32, 32, channels)
    image, upstream = (tf.random.stateless_normal(shape, (seed, channels)) for seed in (1, 2))
    kernel = tf.Variable(0.01 * tf.random.stateless_normal((3, 3, channels, channels), (3, channels)))

    @tf.function
    def inference():
        return tf.nn.conv2d(image, kernel, 1, "SAME")[0, 0, 0, 0]

    @tf.function
    def training():
        with tf.GradientTape() as tape:
            tape.watch(image)
            output = tf.nn.conv2d(image, kernel, 1, "SAME")
        gradients = tape.gradient(output, [image, kernel], upstream)
        return output[0, 0, 0, 0] + sum(gradient[0, 0, 0, 0] for gradient in gradients)

    return inference, training


def measure(rounds: int) -> dict[int, tuple[float, float]]:
    """Milliseconds of inference and of a training step by number of channels."""
    work = {channels: functions(channels) for channels in sorted({*CHANNELS[0], *CHANNELS[1]})}
    fastest: dict[int, list[float]] = {channels: [float("inf")] * 2 for channels in work}
    for number in progress(range(rounds + 1), "convolutions"):
        for channels, both in work.items():
            for place, function in enumerate(both):
                start = time.perf_counter()
                function().numpy()
                if number:  # the first is traced
                    fastest[channels][place] = min(fastest[channels][place], time.perf_counter() - start)
    return {channels: (1e3 * times[0], 1e3 * times[1]) for channels, times in fastest.items()}


def draw(times: dict[int, tuple[float, float]], path: Path) -> None:
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    largest = max(times)
    for place, name in enumerate(("inference", "training step")):
        line = axes.plot(list(times), [both[place] for both in times.values()], "o-", ms=3, label=name)[0]
        expected = [times[largest][place] * (channels / largest) ** 2 for channels in times]
        axes.plot(list(times), expected, ":", color=line.get_color(), label=f"{name}, by multiplications")
    axes.xaxis.set_major_locator(MultipleLocator(16))
    axes.grid(alpha=0.3)
    axes.set_xlabel("channels, read and computed")
    axes.set_ylabel("milliseconds")
    axes.legend()
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    times = measure(parser.parse_args().rounds)
    with RESULTS.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEAD)
        writer.writerows((channels, f"{one:.2f}", f"{other:.2f}") for channels, (one, other) in times.items())
    draw(times, FIGURE)


if __name__ == "__main__":
    main()
