"""Which channels of a graph are tied: they are kept or removed together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tost_tf.compaction.rule import Atoms, Rule


def classes_of(rules: Sequence[Rule], atoms: Atoms, size: int) -> np.ndarray:
    """For each channel of each tensor, the number of the class of channels it is tied to.

    Args:
      rules: of all calls that count, in order.
      atoms: the numbers of a tensor's channels.
      size: how many numbers there are.
    """
    pairs = [pair for rule in rules for pair in rule.tied(atoms)] + list(_between_calls(rules, atoms))
    one, other = (np.concatenate([np.empty(0, int), *(pair[side] for pair in pairs)]) for side in (0, 1))
    matrix = coo_array((np.ones(one.size, bool), (one, other)), (size, size))
    return connected_components(matrix, directed=False)[1]


def _between_calls(rules: Sequence[Rule], atoms: Atoms) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The ties between the calls of one layer: its weights are cut once, for all of them."""
    calls = defaultdict(list)
    for rule in rules:
        if rule.same_in_every_call:
            calls[id(rule.layer)].append(rule)
    for first, *others in calls.values():
        for other in others:
            for one, same in zip((*first.inputs, *first.outputs), (*other.inputs, *other.outputs), strict=False):
                if one.channels == same.channels:
                    yield atoms(one), atoms(same)
