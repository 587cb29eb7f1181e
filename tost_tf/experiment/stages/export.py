"""A run in several formats, each checked in a fresh process, with a manifest that says what is in them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tost_tf.compaction.compact import compact
from tost_tf.compaction.report import CompactionReport
from tost_tf.compat import keras
from tost_tf.compat import keras3 as keras3_package
from tost_tf.errors import TostError
from tost_tf.experiment.export_options import ExportOptions
from tost_tf.experiment.run.folder import read_json, write_json
from tost_tf.experiment.stages.export_check import check_file
from tost_tf.experiment.stages.finish import mask_name
from tost_tf.experiment.stages.load_run import LoadedRun, load_run
from tost_tf.export.sizes import bytes_of, gzip_bytes_of, information_bound, sha256_of
from tost_tf.export.to_keras3_file import keras3
from tost_tf.export.to_saved_model import saved_model
from tost_tf.export.to_tflite import tflite
from tost_tf.graph.kernels import prunable_weights
from tost_tf.masks.sparsify import strip
from tost_tf.versions import versions

RAW = "image: float32 [batch, height, width, channels], pixels 0 to 255"
NORMALISED = "float32 [batch, height, width, channels], (pixel / 255 - mean) / deviation"


@dataclasses.dataclass(frozen=True)
class Export:
    """One file: what writes it, whether it takes raw pixels, and how it is called in the manifest."""

    name: str
    kind: str
    file: str
    write: Callable[[Path], bool | None]
    takes_pixels: bool


@dataclasses.dataclass(frozen=True)
class Source:
    """A run, its network in memory, which every file is compared with, and the one that is written: the same, or with
    `compaction`, which says what is gone, a smaller one."""

    run: LoadedRun
    network: keras.Model
    written: keras.Model
    compaction: CompactionReport | None


def export_run(run_dir: str | Path, formats: tuple[str, ...], options: ExportOptions) -> dict[str, Any]:
    """Exports the run's best weights, checks each file, and adds it to `manifest.json`.

    Args:
      run_dir: the run's folder.
      formats: of `FORMATS`.
      options: precisions, the folder, the images for int8, whether the network is compacted before.

    Returns:
      The manifest.

    Raises:
      TostError: a file could not be written or failed its check; all others and the manifest, which names the failure,
        are there all the same. Or Keras 3 is asked for and not installed, or the network is to be compacted and its
        ghosts are in it still.
    """
    if "keras3" in formats:
        keras3_package()
    source = _source(load_run(run_dir), options.compact)
    out = options.folder(run_dir)
    path = out / "manifest.json"
    manifest = read_json(path)
    failures = []
    for export in _exports(source, formats, options):
        try:
            entry = _entry(source, export, out)
        except Exception as error:
            reason = str(error) if isinstance(error, TostError) else f"{type(error).__name__}: {error}"
            entry = {"format": export.kind, "file": export.file, "failed": " ".join(reason.split())}
        manifest[export.name] = entry
        write_json(path, manifest)
        if "failed" in entry:
            failures.append(entry["failed"])
        print(_line(export.name, entry), flush=True)
    if failures:
        raise TostError(f"{len(failures)} of the files failed (see {path}): {'; '.join(failures)}")
    return manifest


def _source(run: LoadedRun, compacted: bool) -> Source:
    if not compacted:
        network = run.model.ghosted if run.model.ghosts_active else strip(run.model)
        return Source(run, network, network, None)
    if run.model.ghosts_active:
        raise TostError(
            f"the network of the run {str(run.directory.path)!r} still has its ghosts in it: --compact needs a network "
            "without them, so train the run to its --ghost_end_epoch first, or leave --compact out"
        )
    network = strip(run.model)
    smaller, report = compact(network)
    print(f"{'compact':16} {report.summary()}", flush=True)
    return Source(run, network, smaller, report)


def _exports(source: Source, formats: tuple[str, ...], options: ExportOptions) -> list[Export]:
    data, final = source.run.data, source.written
    mean, deviation = data.mean, data.deviation
    images = data.train.images[: options.calibration_examples]
    exports = []
    if "saved_model" in formats:
        write = lambda path: saved_model(final, path, mean, deviation)  # noqa: E731
        exports.append(Export("saved_model", "saved_model", "saved_model", write, True))
    if "keras3" in formats:
        exports.append(Export("keras3", "keras3", "model.keras", lambda path: keras3(final, path), False))
    for precision in options.precisions.split(",") if "tflite" in formats else ():
        write = lambda path, p=precision: tflite(final, path, mean, deviation, p, images)  # noqa: E731
        exports.append(Export(f"tflite {precision}", "tflite", f"model_{precision}.tflite", write, True))
    return exports


def _entry(source: Source, export: Export, out: Path) -> dict[str, Any]:
    run, final = source.run, source.written
    kernels = {path: weight.numpy() for path, weight in prunable_weights(final).items()}
    size = sum(kernel.size for kernel in kernels.values())
    path = out / export.file
    sparse = export.write(path)
    entry = {
        "format": export.kind,
        "file": export.file,
        "bytes": bytes_of(path),
        "gzip_bytes": gzip_bytes_of(path),
        "information_bound_bytes": information_bound(kernels, final.count_params() - size),
        "sparsely_stored": bool(sparse),
        "has_ghosts": run.model.ghosts_active,
        "input": RAW if export.takes_pixels else NORMALISED,
        "mean": run.data.mean,
        "deviation": run.data.deviation,
        "mask": mask_name(run.config),
        "recipe": run.config.recipe_label,
        "epoch": run.epoch,
        "versions": versions(),
        "compaction": source.compaction.as_dict() if source.compaction else None,
        "sha256": sha256_of(path),
    }
    return entry | check_file(export.name, export.kind, path, source.network, final, run.data)


def _line(name: str, entry: dict[str, Any]) -> str:
    found = entry.get("failed") or (
        f"{100 * entry['test_accuracy']:.2f}%, logits differ by {entry['largest_difference']:.1g}, "
        f"{entry['bytes']:,} bytes ({entry['gzip_bytes']:,} gzipped; bound {entry['information_bound_bytes']:,})"
    )
    return f"{name:16} {entry['file']:22} {found}"
