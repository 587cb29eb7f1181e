"""Exports a network in several formats, checks each file in a fresh process, and describes the files in a manifest."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tost_tf.compat import keras
from tost_tf.data.images import ImageData
from tost_tf.errors import TostError
from tost_tf.export.check import check_file
from tost_tf.export.format import Format, Preprocessing
from tost_tf.export.inputs import ExportedInput
from tost_tf.export.sizes import bytes_of, gzip_bytes_of, information_bound, sha256_of
from tost_tf.files import read_json, write_json
from tost_tf.graph.kernels import prunable_weights
from tost_tf.registry import FORMATS

MANIFEST = "manifest.json"


@dataclasses.dataclass(frozen=True)
class Exported:
    """What is exported.

    Attributes:
      network: the model every file is compared with, without pruning wrappers.
      written: the model that is written: `network`, or a smaller one that computes the same.
      data: the dataset the network was trained on.
      facts: further entries of the manifest: the mask, the recipe, ...
      calibration_examples: number of training images for measuring the ranges of activations, if a format needs them.
    """

    network: keras.Model
    written: keras.Model
    data: ImageData
    facts: Mapping[str, Any]
    calibration_examples: int = 200


def require_formats(names: Sequence[str]) -> None:
    """Raises `TostError` if a format is unknown, or a package that writes it is not installed."""
    for name in names:
        FORMATS[name].require()


def export_network(
    exported: Exported, names: Sequence[str], folder: Path, report: Callable[[str], None] = print
) -> dict[str, Any]:
    """Writes a network in several formats, checks each file, and adds it to `manifest.json`.

    Args:
      exported: the network.
      names: of formats.
      folder: of the files; files in other formats that are there already stay.
      report: called with a line before each file is written, and with one after its check.

    Returns:
      The manifest: the name of the format -> the facts about its file.

    Raises:
      TostError: a file could not be written or failed its check; the other files are written, and the manifest names
        the failure. Or a format is unknown or a package that writes it is not installed; then nothing is written.
    """
    require_formats(names)
    path = folder / MANIFEST
    manifest = read_json(path)
    failures = []
    for name in names:
        kind = FORMATS[name]
        report(f"writing {folder / kind.file} and running it in a fresh process on {len(exported.data.test)} images")
        try:
            entry = _entry(exported, name, kind, folder)
        except Exception as error:  # its type depends on the format
            reason = str(error) if isinstance(error, TostError) else f"{type(error).__name__}: {error}"
            entry = _head(name, kind) | {"failed": " ".join(reason.split())}
        manifest[name] = entry
        write_json(path, manifest)
        if "failed" in entry:
            failures.append(entry["failed"])
        report(_line(name, entry))
    if failures:
        raise TostError(f"{len(failures)} of the files failed (see {path}): {'; '.join(failures)}")
    return manifest


def _head(name: str, kind: Format) -> dict[str, Any]:
    return {"format": name.partition(" ")[0], "file": kind.file}


def _entry(exported: Exported, name: str, kind: Format, folder: Path) -> dict[str, Any]:
    data, written = exported.data, exported.written
    kernels = {path: weight.numpy() for path, weight in prunable_weights(written).items()}
    size = sum(kernel.size for kernel in kernels.values())
    path = folder / kind.file
    images = data.train.images[: exported.calibration_examples]
    sparsely_stored = kind.write(written, path, Preprocessing(data.mean, data.deviation, images))
    entry = {
        "bytes": bytes_of(path),
        "gzip_bytes": gzip_bytes_of(path),
        "information_bound_bytes": information_bound(kernels, written.count_params() - size),
        "sparsely_stored": bool(sparsely_stored),
        "input": _input(kind, written, data),
        "mean": data.mean,
        "deviation": data.deviation,
        **exported.facts,
        "sha256": sha256_of(path),
    }
    return _head(name, kind) | entry | check_file(kind, path, exported.network, written, data)


def _input(kind: Format, model: keras.Model, data: ImageData) -> str:
    if data.mean is None or kind.takes_pixels:
        return ExportedInput.of(model, unchanged=data.mean is None).text(data.has_pixels)
    what, axes = "pixel" if data.has_pixels else "value", "height, width, channels" if data.has_images else "..."
    return f"float32 [batch, {axes}], ({what} / 255 - mean) / deviation"


def _line(name: str, entry: Mapping[str, Any]) -> str:
    found = entry.get("failed") or (
        f"{100 * entry['test_accuracy']:.2f}%, logits differ by {entry['largest_difference']:.1g}, "
        f"{entry['bytes']:,} bytes ({entry['gzip_bytes']:,} gzipped; bound {entry['information_bound_bytes']:,})"
    )
    return f"{name:16} {entry['file']:22} {found}"
