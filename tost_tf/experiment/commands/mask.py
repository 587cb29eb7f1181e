"""`tost-mask`: finds a mask, or imports one from PyTorch, and saves it."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tost_tf.errors import TostError
from tost_tf.experiment import flags
from tost_tf.experiment.commands.command import asks_for_help, run_command
from tost_tf.experiment.options import RunConfig
from tost_tf.files import require_writable, write_json
from tost_tf.options import option

if TYPE_CHECKING:
    import numpy as np

    from tost_tf.compat import keras
    from tost_tf.masks.masks import Masks

SUMMARY = "Finds a mask for a network and saves it; prints and draws the density of each layer."


@dataclasses.dataclass(frozen=True)
class MaskOptions:
    """The options of this command only."""

    out: str = option("", "the .npz file to write; a .json file of its layers and a figure go into the same folder")


def main(arguments: Sequence[str]) -> None:
    """Runs the command. The arguments are checked before TensorFlow is imported."""
    if asks_for_help(arguments):
        print(flags.help_text("tost-mask", SUMMARY, MaskOptions))
        return
    config, options = flags.parse_with(arguments, MaskOptions)
    if not options.out.endswith(".npz"):
        raise TostError(f"--out={options.out!r} must name the .npz file to write")
    out = Path(options.out)
    if out.is_dir():
        raise TostError(f"--out={options.out!r} is a folder, it must name the .npz file to write")
    require_writable(out.parent, f"--out={options.out!r}")
    if config.mask.mask == "none":
        raise TostError("--mask=none is not a mask: choose a method to find one")

    from tost_tf.drawing import require_drawing
    from tost_tf.graph.left_dense import left_dense
    from tost_tf.report.figures import sparsity_by_layer
    from tost_tf.report.mask_table import mask_table

    require_drawing()
    masks, model = _find(config, options)
    masks.save(out)
    picture = out.with_suffix(".png")
    source = config.mask_label
    sparsity_by_layer(masks.layer_sparsity, masks.sparsity, picture, f"{config.model.model}, mask from {source}")
    print(mask_table(masks, model))
    left = left_dense(model, config.mask.dense_layers)
    if left.sizes:
        print(f"\n{left}; sparsity of all kernels {left.sparsity(masks.size - masks.kept):.4f}")
    print(f"\nmask     {out}\npicture  {picture}")


def _find(config: RunConfig, options: MaskOptions) -> tuple[Masks, keras.Model]:
    from tost_tf.data.load import load
    from tost_tf.experiment.name_map import read_name_map
    from tost_tf.experiment.run.folder import RunDirectory
    from tost_tf.experiment.run.network import build_model
    from tost_tf.experiment.stages.find_mask import mask_report, search_mask
    from tost_tf.masks.masks import read_mask_arrays

    mask, out = config.mask, Path(options.out)
    # First the files: they are faster to read than the data.
    arrays = read_mask_arrays(mask.from_torch) if mask.from_torch else None
    read_name_map(mask.name_map)
    data = load(config.data)
    model = build_model(config, data)
    search = RunDirectory(out.with_name(f"{out.stem}_search"))
    if mask.mask == "lottery" and not mask.file:
        search.claim(config)  # the search takes long, so it can be stopped and resumed
    start = time.perf_counter()
    found = search_mask(config, model, data, search.lottery)
    seconds = time.perf_counter() - start
    if found.weights is not None:
        model.set_weights(found.weights)
        _save_weights(model, out, "the ticket's weights")
    write_json(out.with_suffix(".json"), mask_report(found.masks, seconds, model, mask.dense_layers))
    if arrays is not None:
        _take_weights(config, model, arrays, out)
    return found.masks, model


def _take_weights(config: RunConfig, model: keras.Model, arrays: Mapping[str, np.ndarray], out: Path) -> None:
    """Saves the weights that a PyTorch state dict has in addition to its masks, if it has all of them."""
    from tost_tf.convert.torch_state import modules_of
    from tost_tf.convert.torch_weights import load_torch_weights
    from tost_tf.experiment.name_map import read_name_map

    if not any(module.has_weights for module in modules_of(arrays).values()):
        return
    try:
        load_torch_weights(model, arrays, read_name_map(config.mask.name_map), config.mask.new_layers)
    except TostError as error:
        print(f"\nthe weights in {config.mask.from_torch} are not imported: {error}\n")
    else:
        _save_weights(model, out, "its weights")


def _save_weights(model: keras.Model, out: Path, whose: str) -> None:
    from tost_tf.graph.weights import save_weights

    path = out.with_name(f"{out.stem}_weights.npz")
    save_weights(model, path)
    print(f"{whose} are in {path}: train with --mask_file={out} --initial_weights={path}\n")


def run() -> None:
    """The console script."""
    sys.exit(run_command("tost-mask", main))


if __name__ == "__main__":
    run()
