"""`tost-mask`: finds a mask, or takes one over from PyTorch, and saves it."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tost_tf.errors import TostError
from tost_tf.experiment import flags
from tost_tf.experiment.commands.command import asks_for_help, run_command
from tost_tf.experiment.options import RunConfig
from tost_tf.files import require_writable, write_json
from tost_tf.options import option

if TYPE_CHECKING:
    from tost_tf.graph.left_dense import LeftDense
    from tost_tf.masks.masks import Masks

SUMMARY = "Finds a mask for a network and saves it; prints and draws what is left of each layer."


@dataclasses.dataclass(frozen=True)
class MaskOptions:
    """The command's own."""

    out: str = option("", "the .npz file to write; a .json of its layers and the picture go beside it")
    from_torch: str = option("", "take the masks in this .safetensors or .npz file, in PyTorch's layouts and names")
    name_map: str = option("", "JSON file: name in PyTorch -> weight path here, for what order and shape do not tell")


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
    if config.mask.mask == "none" and not options.from_torch:
        raise TostError("--mask=none is not a mask: choose how to find one")

    from tost_tf.drawing import require_drawing
    from tost_tf.report.figures import sparsity_by_layer
    from tost_tf.report.mask_table import mask_table

    require_drawing()
    masks, left = _find(config, options)
    masks.save(out)
    picture = out.with_suffix(".png")
    source = options.from_torch or config.mask.mask_file or config.mask.mask
    sparsity_by_layer(masks.layer_sparsity, masks.sparsity, picture, f"{config.model.model}, mask from {source}")
    print(mask_table(masks))
    if left.sizes:
        print(f"\n{left}; sparsity of all kernels {left.sparsity(masks.size - masks.kept):.4f}")
    print(f"\nmask     {out}\npicture  {picture}")


def _find(config: RunConfig, options: MaskOptions) -> tuple[Masks, LeftDense]:
    from tost_tf.data.load import load
    from tost_tf.experiment.run.folder import RunDirectory
    from tost_tf.experiment.run.network import build_model
    from tost_tf.experiment.stages.find_mask import mask_report, require_fit, search_mask
    from tost_tf.graph.kernels import is_ranked, prunable_weights
    from tost_tf.graph.left_dense import left_dense
    from tost_tf.graph.weights import save_weights
    from tost_tf.masks.from_torch import from_torch
    from tost_tf.masks.masks import read_mask_arrays

    # The files first: they are quicker to read than the data.
    arrays = read_mask_arrays(options.from_torch) if options.from_torch else None
    names = _name_map(options.name_map)
    data = load(config.data)
    model = build_model(config, data)
    left = left_dense(model, config.mask.dense_layers)
    if arrays is not None:
        shapes = {path: tuple(weight.shape) for path, weight in prunable_weights(model).items()}
        dense = config.mask.dense_layers
        ranked = {path: shape for path, shape in shapes.items() if is_ranked(path.rpartition("/")[0], dense)}
        # A file may leave out the layers that are left dense.
        masks = from_torch(arrays, ranked if len(arrays) < len(shapes) else shapes, names).completed(shapes, dense)
        require_fit(masks, model)
        return masks, left
    out = Path(options.out)
    search = RunDirectory(out.with_name(f"{out.stem}_search"))
    if config.mask.mask == "lottery" and not config.mask.mask_file:
        search.claim(config)  # the search takes long, and resumes where it was stopped
    start = time.perf_counter()
    found = search_mask(config, model, data, search.lottery)
    write_json(out.with_suffix(".json"), mask_report(found.masks, left, time.perf_counter() - start))
    if found.weights is not None:
        model.set_weights(found.weights)
        weights = out.with_name(f"{out.stem}_weights.npz")
        save_weights(model, weights)
        print(f"the ticket's weights are in {weights}: train with --mask_file={out} --initial_weights={weights}\n")
    return found.masks, left


def _name_map(path: str) -> dict[str, str]:
    if not path:
        return {}
    try:
        names = json.loads(Path(path).read_text())
        if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
            raise ValueError("it is not an object of strings")
    except (OSError, ValueError) as error:
        raise TostError(f"--name_map={path!r} cannot be read as JSON of the form {{name: path}}: {error}") from None
    return names


def run() -> None:
    """The console script."""
    sys.exit(run_command("tost-mask", main))


if __name__ == "__main__":
    run()
