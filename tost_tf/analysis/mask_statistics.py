"""What a mask leaves of each layer, and how similar two masks are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from tost_tf.analysis.analysis import Analysis, Results, Subject
from tost_tf.analysis.options import AnalysisOptions
from tost_tf.compat import keras
from tost_tf.drawing import BLUE, GREEN, ORANGE, save, titled_axes
from tost_tf.errors import TostError
from tost_tf.graph.kernels import prunable_kernels
from tost_tf.masks.connection import require_masks_of
from tost_tf.masks.masks import Masks
from tost_tf.masks.sparsify import strip
from tost_tf.masks.synaptic_flow import SynapticFlow


def mask_spectrum(model: keras.Model, masks: Mapping[str, np.ndarray]) -> list[dict]:
    """Density, dead channels and effective density of each layer.

    A weight is effective if it lies on a path of kept weights from the image to the logits (Vysogorets & Kempe 2023);
    paths through shortcuts count. It is found by the synaptic flow when every kept weight is 1.

    Args:
      model: the dense network of the masks.
      masks: weight path -> 0/1; weights without a mask are kept.

    Returns:
      Rows of `layer`, `weights`, `density`, `dead_outputs` and `dead_inputs` (fractions of channels without kept
      weights), `effective_density`, and `log10_paths`, the base-10 logarithm of the number of paths through the layer,
      -inf if there is none. A path is counted for each pixel at which it starts, and averaged where the network pools.

    Raises:
      TostError: a mask is not one of a weight of the model, or holds other values than 0 and 1.

    Examples:
      >>> rows = tost.analysis.mask_spectrum(model, tost.masks.erk(model, sparsity=0.9))
      >>> [row["layer"] for row in rows]
      ['conv1', 'conv2', 'logits']
    """
    kernels = prunable_kernels(model)
    masks = require_masks_of(model, masks)
    scores = SynapticFlow(model, paths_only=True).scores(masks)
    rows = []
    for path, kernel in kernels.items():
        mask = np.asarray(masks[path]) if path in masks else np.ones(scores[path].shape)
        by_output = _any_along(kernel.axes[1], mask)
        # In a grouped kernel each group of outputs reads inputs of its own.
        groups = getattr(kernel.holder, "groups", 1) if kernel.attribute == "kernel" else 1
        by_input = np.concatenate([_any_along(kernel.axes[0], part) for part in np.split(mask, groups, axis=-1)])
        rows.append(
            {
                "layer": path.rpartition("/")[0],
                "weights": int(mask.size),
                "density": float(mask.mean()),
                "dead_outputs": float(1 - by_output.mean()),
                "dead_inputs": float(1 - by_input.mean()),
                "effective_density": float(np.count_nonzero(scores[path]) / mask.size),
                "log10_paths": float(np.log10(scores[path].sum())) if scores[path].any() else float("-inf"),
            }
        )
    return rows


def _any_along(axes: tuple[int, ...], mask: np.ndarray) -> np.ndarray:
    """Whether any weight is kept at each place along these axes."""
    others = tuple(axis for axis in range(mask.ndim) if axis - mask.ndim not in axes)
    return mask.any(others).ravel()


def mask_overlap(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> list[dict]:
    """How similar two masks of the same network are, layer by layer.

    Args:
      one, other: weight path -> 0/1.

    Returns:
      Rows of `layer`, `overlap` (weights kept in both / kept in at least one; 1 if neither keeps any) and `by_chance`,
      the expected overlap of independent masks of the same densities.

    Raises:
      TostError: the masks are of different networks, or hold other values than 0 and 1.

    Examples:
      >>> one, other = (tost.masks.random(model, sparsity=0.9, seed=seed) for seed in (0, 1))
      >>> [row["layer"] for row in tost.analysis.mask_overlap(one, other)]
      ['conv1', 'conv2', 'logits']
    """
    one, other = Masks(one), Masks(other)
    other = other.for_weights({path: mask.shape for path, mask in one.items()})
    if {path: mask.shape for path, mask in one.items()} != {path: mask.shape for path, mask in other.items()}:
        raise TostError("the two masks are of different networks and cannot be compared layer by layer")
    rows = []
    for path, mask in one.items():
        a, b = mask.astype(bool), other[path].astype(bool)
        both, either = np.sum(a & b), np.sum(a | b)
        chance = a.mean() * b.mean()
        union = a.mean() + b.mean() - chance
        rows.append(
            {
                "layer": path.rpartition("/")[0],
                "overlap": float(both / either) if either else 1.0,
                "by_chance": float(chance / union) if union else 1.0,
            }
        )
    return rows


def draw_mask(results: Results, path: Path, title: str) -> None:
    """Points by layer: density, effective density, and dead output channels."""
    layers = list(dict.fromkeys(row["layer"] for rows in results.values() for row in rows))
    figure = Figure(figsize=(4.2 * max(2, len(results)), 1.5 + 0.22 * len(layers)), layout="constrained")
    figure.suptitle(title, parse_math=False)
    shown = {"density": (BLUE, "o"), "effective_density": (GREEN, "^"), "dead_outputs": (ORANGE, "x")}
    panels = figure.subplots(1, len(results), squeeze=False, sharey=True)[0]
    for axes, (label, rows) in zip(panels, results.items(), strict=True):
        places = [layers.index(row["layer"]) for row in rows]
        for key, (colour, marker) in shown.items():
            name = key.replace("_", " ").replace("dead outputs", "dead output channels")
            axes.plot([row[key] for row in rows], places, marker, color=colour, ms=5, label=name)
        axes.set_yticks(range(len(layers)), layers, fontsize=8)
        axes.set_ylim(len(layers) - 0.4, -0.6)
        axes.set_xlim(-0.03, 1.03)
        axes.set_xlabel("fraction of weights, or of channels")
        axes.set_title(label, fontsize=10, parse_math=False)
        axes.grid(alpha=0.3)
    panels[0].legend(fontsize=8)
    save(figure, path)


def draw_overlap(rows: list[dict], path: Path, title: str) -> None:
    """Bars by layer: the overlap of two masks, and the overlap expected by chance."""
    figure, axes = titled_axes(title, 1.5 + 0.22 * len(rows))
    places = range(len(rows))
    axes.barh(places, [row["overlap"] for row in rows], color=BLUE, label="kept in both / kept in at least one")
    axes.plot([row["by_chance"] for row in rows], places, "|", color=ORANGE, ms=10, mew=2, label="by chance")
    axes.set_yticks(places, [row["layer"] for row in rows], fontsize=8)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0, 1)
    axes.set_xlabel("overlap of the two masks")
    axes.legend()
    save(figure, path)


def _compute(subject: Subject, options: AnalysisOptions) -> list[dict]:
    return mask_spectrum(strip(subject.model.plain), subject.masks or {})


ANALYSIS = Analysis(draw_mask, "what the mask keeps", _compute)
