"""Keeps some channels that could go, where a layer is computed faster with them than without.

oneDNN, which computes TensorFlow's layers on CPUs, takes channels in blocks: a convolution of 63 channels is hardly
faster than one of 64. And in training BatchNormalization takes several times as long where the channels of a pixel do
not fill its registers (`benchmarks/channel_blocks.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tost_tf.compaction.merge import Concatenated, Sum
from tost_tf.compaction.rule import Atoms, Constants, Rule
from tost_tf.compaction.weighted import Weighted
from tost_tf.compat import keras, tf
from tost_tf.compat.tfmot import is_pruning_wrapper
from tost_tf.graph.kernels import walk


def block_of(model: keras.Model) -> int:
    """The multiple of channels that a sparse model is trained fastest with on a CPU: 8 in float32, 16 in bfloat16."""
    sizes = [tf.as_dtype(layer.compute_dtype).size for _, layer in walk(model) if is_pruning_wrapper(layer)]
    return 16 if 2 in sizes else 8


def filled(
    kept: np.ndarray,
    classes: np.ndarray,
    rules: Sequence[tuple[Rule, list[Constants]]],
    atoms: Atoms,
    multiple: int,
) -> np.ndarray:
    """What is kept, with channels added until the outputs of each layer with a kernel are a multiple.

    A channel is added only if all it is computed from is kept anyway, so it is what it was before. A layer stays as it
    is if it has too few of those, or a single one: that is fast by itself.

    Args:
      kept: which atoms are needed, booleans [atoms].
      classes: for each atom, the number of the class of atoms that are kept or removed together.
      rules: of the calls that stay, in order, each with the constants of its inputs.
      atoms: the numbers of a tensor's channels.
      multiple: at least 1.
    """
    kept = kept.copy()
    incomplete = np.zeros(classes.max(initial=-1) + 1, bool)
    for rule, constants in rules:
        incomplete[classes[atoms(rule.outputs[0])[_incomplete(rule, constants, kept, atoms)]]] = True
    for rule, _ in rules:
        if isinstance(rule, Weighted):
            outputs = atoms(rule.outputs[0])
            needed = int(kept[outputs].sum())
            missing = -needed % multiple
            spare = classes[outputs[~kept[outputs] & ~incomplete[classes[outputs]]]]
            if needed > 1 and missing <= len(spare):
                kept |= np.isin(classes, spare[:missing])
    return kept


def _incomplete(rule: Rule, constants: list[Constants], kept: np.ndarray, atoms: Atoms) -> np.ndarray:
    """Which channels of the first output need something that goes, booleans [channels]."""
    if isinstance(rule, Weighted):
        return rule.stuck(constants[0])[~kept[atoms(rule.inputs[0])]].any(axis=0)
    if isinstance(rule, Concatenated):  # an input of which nothing stays is not computed any more
        return np.concatenate([np.full(part.channels, not kept[atoms(part)].any()) for part in rule.inputs])
    unknown = np.zeros(rule.outputs[0].channels, bool)
    for index in rule.gone if isinstance(rule, Sum) else ():
        unknown |= np.isnan(constants[index])
    return unknown
