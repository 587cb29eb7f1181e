"""The latency of several networks in several formats: of a sparse one, of it without zeros, and compacted."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tost_tf.compaction.report import multiply_adds
from tost_tf.compat import keras
from tost_tf.data.pipeline import first_examples
from tost_tf.export.format import Preprocessing
from tost_tf.export.latency import BATCHES, Effort, Latency, measure, numbers_of_threads
from tost_tf.export.latency_table import GAIN, Cost, as_dicts, gain, table, verdict
from tost_tf.export.manifest import MANIFEST, Exported
from tost_tf.export.sizes import bytes_of
from tost_tf.files import read_json, write_json
from tost_tf.progress import progress
from tost_tf.registry import FORMATS


@dataclasses.dataclass(frozen=True)
class Measured:
    """What was measured.

    Attributes:
      latencies: by format.
      costs: by network.
    """

    latencies: Mapping[str, Sequence[Latency]]
    costs: Mapping[str, Cost]

    @property
    def gains(self) -> bool:
        """Whether the compacted network is faster than the dense one anywhere."""
        return gain(self.latencies, "compacted")[0] < GAIN

    def table(self) -> list[str]:
        """The lines of a table."""
        return table(self.latencies, self.costs)

    def verdict(self, what_would_gain: str) -> str:
        """What the numbers say; if nothing is gained, also `what_would_gain`."""
        return verdict(self.latencies, what_would_gain)

    def add_to_manifest(self, folder: Path, summary: str) -> dict[str, Any]:
        """Adds the numbers and their summary to the entries of the formats in a manifest, and returns it."""
        manifest = read_json(folder / MANIFEST)
        for name, found in self.latencies.items():
            manifest[name]["latency"] = {"summary": summary, "rows": as_dicts(found, self.costs, name)}
        write_json(folder / MANIFEST, manifest)
        return manifest


def measure_networks(
    networks: Mapping[str, keras.Model],
    exported: Exported,
    names: Sequence[str],
    folder: Path,
    batches: Sequence[int] = BATCHES,
    effort: Effort = Effort(),  # noqa: B008 (it is frozen)
) -> Measured:
    """Measures how long networks take, as files in each format, with one thread and with all.

    Args:
      networks: by name; "dense" is the one the others are compared with, "sparse" and "compacted" are known to the
        table.
      exported: what was exported; the file of the network that is written is measured where it is.
      names: of formats.
      folder: of the exported files.
      batches: sizes of batches.
      effort: how long, for each format, number of threads and batch.

    Raises:
      TostError: a format cannot be measured, or a network cannot be written in it.
    """
    data = exported.data
    preprocessing = Preprocessing(data.mean, data.deviation, data.train.images[: exported.calibration_examples])
    inputs = first_examples(data, data.test, max(batches))[0]
    latencies: dict[str, list[Latency]] = {name: [] for name in names}
    sizes: dict[str, dict[str, int]] = {network: {} for network in networks}
    work = [(name, threads) for name in names for threads in numbers_of_threads()]
    with tempfile.TemporaryDirectory() as scratch:
        for name, threads in progress(work, "latency"):
            kind = FORMATS[name]
            files = {
                network: folder / kind.file if model is exported.written else Path(scratch, network, kind.file)
                for network, model in networks.items()
            }
            for network, path in files.items():
                if not path.exists():
                    path.parent.mkdir(exist_ok=True)
                    kind.write(networks[network], path, preprocessing)
                sizes[network][name] = bytes_of(path)
            images = data.test.images[: max(batches)] if kind.takes_pixels else inputs
            latencies[name] += measure(kind, files, images, threads, batches, effort)
    counts = {network: multiply_adds(model) for network, model in networks.items()}
    return Measured(latencies, {network: Cost(*counts[network], sizes[network]) for network in networks})
