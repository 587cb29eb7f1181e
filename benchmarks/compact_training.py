"""What training without dead channels wins: the time of an epoch to that with all channels, side by side.

    python benchmarks/compact_training.py [--pairs 7]    # about ten minutes; results/compact_training.csv
    python benchmarks/compact_training.py --accuracy     # a few minutes; results/compact_training_accuracy.csv

Networks on images of CIFAR's size, batch 128, SGD with momentum, no ghosts. Two models with the same mask take turns,
one training step and one step of validation each, now the one first and now the other, in one process on one core; a
ratio is the median of those of such turns, which other work on the machine disturbs little. The smaller network by
itself, with weights of its own and without a mask, takes turns too: `alone_step_ratio` is what no way to train it could
be below. An epoch is one of 45,000 training and 5,000 validation images. `start_seconds` is what it costs once: to find
the dead channels, to build the smaller network, and to trace the first step again.

With `--accuracy` whole runs on digits, with ghosts that end after half of the epochs: dead channels change nothing but
rounding, which training enlarges, and this is by how much.
"""

import argparse
import contextlib
import csv
import io
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")

import numpy as np

import tost_tf as tost
from tost_tf.compaction.lasting import lasting_plan
from tost_tf.compaction.rebuild import rebuilt
from tost_tf.compat import keras, tf
from tost_tf.experiment.options import RunConfig
from tost_tf.experiment.run.folder import RunDirectory
from tost_tf.files import write_text
from tost_tf.training.losses import cross_entropy
from tost_tf.training.optimizer import CoupledSGD

RESULTS = Path("benchmarks/results")
BATCH, TRAINING_STEPS, VALIDATION_STEPS = 128, 352, 40
DENSE = "^logits$"
MASKS = {
    "SynFlow, 98%": lambda model: tost.masks.synflow(model, sparsity=0.98, dense_layers=DENSE),
    "channels, 75%": lambda model: tost.masks.magnitude(model, sparsity=0.75, pattern="channels"),
}
CELLS = (("resnet18", "SynFlow, 98%"), ("resnet18", "channels, 75%"), ("resnet32", "SynFlow, 98%"))
SEEDS = (0, 1, 2)
RUN = {
    **{"dataset": "digits", "model": "resnet8", "mask": "synflow", "sparsity": 0.95, "epochs": 12, "recipe": "default"},
    **{"ghost_neurons": "pswish", "ghost_end_epoch": 6},
}


def alone(sparse: keras.Model) -> keras.Model:
    """The smaller network with weights of its own, of any value."""
    model = rebuilt(lasting_plan(sparse).plan)
    model.set_weights([0.01 * np.ones_like(weight) for weight in model.get_weights()])
    return compiled(model)


def compiled(network: keras.Model) -> tost.GhostModel:
    model = tost.GhostModel(network, "none", "none")
    model.compile(CoupledSGD(0.01, 0.9, 2e-4), cross_entropy(), metrics=["accuracy"])
    return model


def steps(model: tost.GhostModel) -> tuple[Callable[[], object], Callable[[], object]]:
    """Functions that make one step of training and one of validation, on the same batch."""
    images = tf.random.stateless_normal((BATCH, 32, 32, 3), (1, 2))
    labels = tf.one_hot(tf.random.stateless_uniform((BATCH,), (3, 4), 0, 10, tf.int32), 10)
    data = iter(tf.data.Dataset.from_tensors((images, labels)).repeat())
    train, test = model.make_train_function(), model.make_test_function()
    return lambda: train(data)["loss"].numpy(), lambda: test(data)["loss"].numpy()


def seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def measure(name: str, mask: str, pairs: int) -> dict[str, object]:
    """A row of the table."""
    keras.utils.set_random_seed(0)
    network = tost.models.build(name, (32, 32, 3), 10)
    masks = MASKS[mask](network)
    whole, compact = (compiled(tost.sparsify(network, masks)) for _ in range(2))
    start = time.perf_counter()
    report = compact.compact_training()
    start_seconds = time.perf_counter() - start
    functions = [steps(model) for model in (whole, compact, alone(whole.plain))]
    first = [seconds(train) for train, _ in functions]
    for train, test in functions:
        seconds(test), seconds(train)
    times = []
    for turn in range(pairs):
        order = (0, 1, 2) if turn % 2 else (2, 1, 0)
        found = {index: [seconds(function) for function in functions[index]] for index in order}
        times.append([found[index] for index in range(3)])
        print(name, mask, " ".join(f"{value:.2f}" for pair in times[-1] for value in pair), flush=True)

    def epoch(train: float, test: float) -> float:
        return TRAINING_STEPS * train + VALIDATION_STEPS * test

    medians = [[statistics.median(pair[index][kind] for pair in times) for kind in (0, 1)] for index in (0, 1)]
    return {
        "model": name,
        "mask": mask,
        "macs": report.macs[0],
        "macs_after": report.macs[1],
        "macs_ratio": f"{report.macs[1] / report.macs[0]:.4f}",
        "step_seconds": f"{medians[0][0]:.3f}",
        "step_seconds_after": f"{medians[1][0]:.3f}",
        "step_ratio": f"{statistics.median(small[0] / large[0] for large, small, _ in times):.3f}",
        "alone_step_ratio": f"{statistics.median(bare[0] / large[0] for large, _, bare in times):.3f}",
        "validation_ratio": f"{statistics.median(small[1] / large[1] for large, small, _ in times):.3f}",
        "epoch_ratio": f"{statistics.median(epoch(*small) / epoch(*large) for large, small, _ in times):.3f}",
        "start_seconds": f"{start_seconds + first[1] - medians[1][0]:.1f}",
        "pairs": pairs,
    }


def accuracy(seed: int) -> dict[str, object]:
    """Test accuracy of a run with all channels, and of the same without dead ones."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for compact in (False, True):
            path = f"{folder}/{compact}"
            with contextlib.redirect_stdout(io.StringIO()):
                config = RunConfig.make(**RUN, seed=seed, compact_training=compact, run_dir=path)
                result = tost.launch(config)
            found.append((result, [row["loss"] for row in RunDirectory(path).read_metrics()]))
    (whole, losses), (small, compact_losses) = found
    differences = [abs(one - other) for one, other in zip(losses, compact_losses, strict=True)]
    return {
        "seed": seed,
        "test_accuracy": f"{whole['test_accuracy']:.4f}",
        "test_accuracy_compact": f"{small['test_accuracy']:.4f}",
        "test_accuracy_last": f"{whole['test_accuracy_last']:.4f}",
        "test_accuracy_last_compact": f"{small['test_accuracy_last']:.4f}",
        "largest_difference_of_loss": f"{max(differences):.1e}",
    }


def write(rows: list[dict[str, object]], path: Path) -> None:
    text = io.StringIO()
    table = csv.DictWriter(text, rows[0], lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_text(path, text.getvalue())
    print(text.getvalue())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--accuracy", action="store_true")
    arguments = parser.parse_args()
    rows = []
    if arguments.accuracy:
        for seed in SEEDS:
            rows.append(accuracy(seed))
            write(rows, RESULTS / "compact_training_accuracy.csv")
        return
    for name, mask in CELLS:
        rows.append(measure(name, mask, arguments.pairs))
        write(rows, RESULTS / "compact_training.csv")
        keras.backend.clear_session()


if __name__ == "__main__":
    main()
