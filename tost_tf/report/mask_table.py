"""A mask as a table."""

from __future__ import annotations

from tost_tf.compat import keras
from tost_tf.masks.connection import NO_PATH, depends_on_input
from tost_tf.masks.masks import Masks
from tost_tf.masks.patterns.pattern import UNSTRUCTURED, found_pattern


def mask_table(masks: Masks, model: keras.Model | None = None) -> str:
    """A line for each layer: shape, kept weights, density, and whether it has collapsed; the last line is the total.

    Below is the pattern of the masks, if they have one. With the model that they are for, there is one more line where
    its logits do not depend on its input.
    """
    width = max(len(path) for path in masks)
    lines = [f"{'layer':{width}}  {'shape':>18}  {'kept':>10}  {'density':>7}"]
    for path, mask in masks.items():
        shape, kept = "×".join(map(str, mask.shape)), int(mask.sum())
        note = "" if kept else "  collapsed"
        lines.append(f"{path:{width}}  {shape:>18}  {kept:10,}  {kept / mask.size:7.4f}{note}")
    lines.append(f"{'all':{width}}  {'':>18}  {masks.kept:10,}  {masks.kept / masks.size:7.4f}")
    pattern = found_pattern(masks, model).text
    if pattern != UNSTRUCTURED:
        lines.append(f"pattern {pattern}")
    if model is not None and not depends_on_input(model, masks):
        lines.append(NO_PATH)
    return "\n".join(lines)
