"""Time of a convolution and of BatchNormalization by channels: why time does not follow the multiplications.

    python benchmarks/channel_blocks.py [--rounds 9]    # two minutes; results/channel_blocks.csv and a figure of docs/

A 3x3 convolution with as many channels as it reads, on 64 images of 32x32 pixels, on one core: alone, and with both of
its gradients, as in a training step; and BatchNormalization with its gradient, in float32 and in bfloat16. All numbers
of channels take turns; the fastest of each is kept, since other work only slows. Beside the convolution, in the same
unit, what the largest would take if time were in proportion to multiplications.
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
HEAD = ("channels", "inference, ms", "training, ms", "normalization in float32, ms", "normalization in bfloat16, ms")
IMAGES = (64, 32, 32)


def convolution(channels: int) -> tuple[Callable[[], object], Callable[[], object]]:
    """The convolution alone, and with its gradients. Each result is read, so that none is left out."""
    shape = (*IMAGES, channels)
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


def normalization(channels: int, dtype: tf.DType) -> Callable[[], object]:
    """BatchNormalization of a batch, with its gradients."""
    shape = (*IMAGES, channels)
    image, upstream = (tf.cast(tf.random.stateless_normal(shape, (seed, channels)), dtype) for seed in (4, 5))
    scale, shift = tf.ones(channels), tf.zeros(channels)

    @tf.function
    def training():
        with tf.GradientTape() as tape:
            tape.watch((image, scale, shift))
            output = tf.compat.v1.nn.fused_batch_norm(image, scale, shift)[0]
        gradients = tape.gradient(output, [image, scale, shift], upstream)
        return tf.cast(gradients[0][0, 0, 0, 0], tf.float32) + gradients[1][0] + gradients[2][0]

    return training


def functions(channels: int) -> list[Callable[[], object]]:
    """What is measured, in the order of `HEAD`."""
    return [*convolution(channels), *(normalization(channels, dtype) for dtype in (tf.float32, tf.bfloat16))]


def measure(rounds: int) -> dict[int, list[float]]:
    """Milliseconds by number of channels, in the order of `HEAD`."""
    work = {channels: functions(channels) for channels in sorted({*CHANNELS[0], *CHANNELS[1]})}
    fastest = {channels: [float("inf")] * len(functions) for channels, functions in work.items()}
    for number in progress(range(rounds + 1), "numbers of channels"):
        for channels, measured in work.items():
            for place, function in enumerate(measured):
                start = time.perf_counter()
                function().numpy()
                if number:  # the first is traced
                    fastest[channels][place] = min(fastest[channels][place], time.perf_counter() - start)
    return {channels: [1e3 * value for value in times] for channels, times in fastest.items()}


def draw(times: dict[int, list[float]], path: Path) -> None:
    figure = Figure(figsize=(8, 7), layout="constrained")
    convolutions, normalizations = figure.subplots(2, 1, sharex=True)
    largest = max(times)
    for place, name in enumerate(("inference", "training step")):
        line = convolutions.plot(list(times), [row[place] for row in times.values()], "o-", ms=3, label=name)[0]
        expected = [times[largest][place] * (channels / largest) ** 2 for channels in times]
        convolutions.plot(list(times), expected, ":", color=line.get_color(), label=f"{name}, by multiplications")
    for place, name in ((2, "float32"), (3, "bfloat16")):
        normalizations.plot(list(times), [row[place] for row in times.values()], "o-", ms=3, label=name)
    convolutions.set_title("convolution 3x3")
    normalizations.set_title("BatchNormalization in a training step")
    normalizations.set_xlabel("channels (read and computed)")
    for axes in (convolutions, normalizations):
        axes.xaxis.set_major_locator(MultipleLocator(16))
        axes.grid(alpha=0.3)
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
        writer.writerows((channels, *(f"{value:.2f}" for value in row)) for channels, row in times.items())
    draw(times, FIGURE)


if __name__ == "__main__":
    main()
