"""How long exported files take, in fresh processes that know nothing of this project, taking turns."""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tost_tf.errors import TostError
from tost_tf.export.format import Format
from tost_tf.export.fresh_process import run_program

BATCHES = (1, 32)
DENSE = "dense"  # the network that the others are compared with


@dataclasses.dataclass(frozen=True)
class Effort:
    """How long is measured, for each size of a batch.

    Attributes:
      fewest, most: rounds, in each of which every network has its turn.
      seconds: no round beyond `fewest` begins after them.
    """

    fewest: int = 12
    most: int = 60
    seconds: float = 5.0


@dataclasses.dataclass(frozen=True)
class Latency:
    """How long a network takes for a batch.

    Attributes:
      network: "dense", "sparse" or "compacted".
      threads: the number of threads it may use.
      batch: the number of images.
      milliseconds: the median of all rounds.
      quartiles: the first and the third, in milliseconds: half of the rounds lie between them.
      ratio: the median over rounds of the time to that of the dense network in the same round.
      rounds: their number.
    """

    network: str
    threads: int
    batch: int
    milliseconds: float
    quartiles: tuple[float, float]
    ratio: float
    rounds: int


def require_measurable(name: str, kind: Format) -> None:
    """Raises `TostError` if the latency of files in a format cannot be measured."""
    if kind.opened is None:
        raise TostError(
            f"the latency of the format {name!r} cannot be measured: its `Format` has no function `opened`, which "
            "opens a file and returns what runs it; leave the format out, or give it one"
        )


def numbers_of_threads() -> tuple[int, ...]:
    """One, and as many as this process has cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return tuple(sorted({1, cores}))


def measure(
    kind: Format,
    files: Mapping[str, Path],
    images: np.ndarray,
    threads: int,
    batches: Sequence[int] = BATCHES,
    effort: Effort = Effort(),
) -> list[Latency]:
    """Measures how long files take, in one fresh process in which they take turns.

    Args:
      kind: the format of the files.
      files: by the name of the network; one is "dense".
      images: in the form the files take; they are repeated if there are fewer than the largest batch.
      threads: the number of threads a file may use.
      batches: sizes of batches.
      effort: how long.

    Returns:
      One for each batch and network.

    Raises:
      TostError: the format cannot be measured, or a file does not run there.
    """
    require_measurable(kind.file, kind)
    assert kind.opened is not None
    request = {"files": [str(path) for path in files.values()], "batches": list(batches), "threads": threads}
    taken = np.resize(images, (max(batches), *images.shape[1:])).astype(np.float32)
    with tempfile.TemporaryDirectory() as scratch:
        asked, inputs, outputs = (Path(scratch, name) for name in ("request.json", "images.npz", "outputs.npz"))
        asked.write_text(json.dumps(request | dataclasses.asdict(effort)))
        np.savez(inputs, images=taken)
        arguments = (asked, inputs, outputs)
        problem = run_program("latency_program.py", kind, kind.opened, arguments, environment_of(threads))
        if problem:
            raise TostError(f"the latency of {kind.file!r} cannot be measured in a fresh process: {problem}")
        with np.load(outputs, allow_pickle=False) as answer:
            seconds = {batch: answer[str(batch)] for batch in batches}
    return [row for batch in batches for row in summarised(list(files), threads, batch, seconds[batch])]


def environment_of(threads: int) -> dict[str, str]:
    """The environment in which a process uses this number of threads: TensorFlow and OpenMP read it as they start."""
    names = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")
    return dict.fromkeys(names, str(threads))


def summarised(networks: Sequence[str], threads: int, batch: int, seconds: np.ndarray) -> list[Latency]:
    """The numbers of each network, from seconds [rounds, networks]."""
    times = 1000 * seconds
    first, median, third = np.quantile(times, (0.25, 0.5, 0.75), axis=0)
    ratios = np.median(times / times[:, [list(networks).index(DENSE)]], axis=0)
    return [
        Latency(
            name,
            threads,
            batch,
            float(median[place]),
            (float(first[place]), float(third[place])),
            float(ratios[place]),
            len(times),
        )
        for place, name in enumerate(networks)
    ]
