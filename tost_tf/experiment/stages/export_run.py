"""The export of a run in several formats, by `tost-export`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tost_tf.compaction.compact import compact
from tost_tf.compat import keras
from tost_tf.errors import TostError
from tost_tf.experiment.export_options import ExportOptions
from tost_tf.experiment.mask_options import NO_MASK
from tost_tf.experiment.options import RunConfig
from tost_tf.experiment.stages.export import described, final_network, print_line
from tost_tf.experiment.stages.load_run import LoadedRun, load_run
from tost_tf.export.latency import require_measurable
from tost_tf.export.latency_of_networks import measure_networks
from tost_tf.export.manifest import Exported, export_network, require_formats
from tost_tf.export.without_zeros import without_zeros
from tost_tf.masks.patterns.channels import Channels
from tost_tf.masks.patterns.pattern import parsed_pattern
from tost_tf.registry import FORMATS


def export_run(run_dir: str | Path, options: ExportOptions) -> dict[str, Any]:
    """Exports the run's best weights, checks each file, and adds it to `manifest.json`.

    Args:
      run_dir: the run's folder.
      options: formats, precisions, the folder, the images for int8, whether the network is compacted first, and whether
        its latency is measured.

    Returns:
      The manifest.

    Raises:
      TostError: as for `export_network`; or the network should be compacted or measured but still has ghosts; or the
        latency of one of the formats cannot be measured. Then nothing is written.
    """
    names = options.names()
    require_formats(names)
    for name in names if options.latency else ():
        require_measurable(name, FORMATS[name])
    run = load_run(run_dir)
    network = final_network(run.model)
    smaller, report = _compacted(run, network) if options.compact or options.latency else (network, None)
    written, compaction = (smaller, report) if options.compact else (network, None)
    facts = described(run.config, run.epoch, run.model.ghosts_active) | {"compaction": compaction}
    exported = Exported(network, written, run.data, facts, options.calibration_examples)
    folder = options.folder(run_dir)
    manifest = export_network(exported, names, folder, print_line)
    return _with_latency(run, exported, smaller, names, folder) if options.latency else manifest


def _with_latency(
    run: LoadedRun, exported: Exported, smaller: keras.Model, names: Sequence[str], folder: Path
) -> dict[str, Any]:
    networks = {"dense": without_zeros(exported.network), "sparse": exported.network, "compacted": smaller}
    measured = measure_networks(networks, exported, names, folder)
    for line in measured.table():
        print_line(line)
    print_line(measured.verdict(what_would_gain(run.config)))
    if measured.gains and exported.written is not smaller:
        print_line("The compacted network is not written yet: --compact writes it")
    return measured.add_to_manifest(folder, measured.verdict(what_would_gain(run.config)))


def what_would_gain(config: RunConfig) -> str:
    """What makes a network faster, if compaction of this run's does not."""
    others = "--mask_pattern=channels:16 --mask_scope=layer --sparsity=0.75, or --mask=synflow --sparsity=0.98"
    if config.mask.mask == NO_MASK:
        return f"no weights are pruned. A mask would gain that leaves whole channels dead: {others}"
    if isinstance(parsed_pattern(config.mask.mask_pattern), Channels):
        return "the mask removes too few channels. A higher --sparsity would gain"
    return f"the mask ({config.mask_label}) leaves hardly any channels dead. One would gain that does: {others}"


def _compacted(run: LoadedRun, network: keras.Model) -> tuple[keras.Model, dict[str, Any]]:
    if run.model.ghosts_active:
        raise TostError(
            f"the network of the run {str(run.directory.path)!r} still has its ghosts: --compact and --latency need "
            "a network without them, so train the run to its --ghost_end_epoch first, or leave them out"
        )
    smaller, report = compact(network, fold_normalization=True)
    print_line(f"{'compact':16} {report.summary()}")
    return smaller, report.as_dict()
