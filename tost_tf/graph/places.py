"""Layers known by their place in the network, where Keras has named them.

Keras counts layers that are given no name for the whole process: a network that is built twice has `conv2d` and
`conv2d_1` the first time, `conv2d_2` and `conv2d_3` the second. Their order is the same.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections import defaultdict
from collections.abc import Iterable

from tost_tf.compat import keras

# What may stand before such a name, the name, and its number.
NAME = re.compile(r"(?P<before>(?:\d+ )?(?:fixed_mask_)?)(?P<name>.+?)(?:_(?P<number>\d+))?")


def by_place(paths: Iterable[str]) -> dict[str, str]:
    """Path -> the path it would have if its network were the first to be built in a process.

    Args:
      paths: of all weights of one kind of a network, names of layers with "/" between them and of a weight at the end.
        Names that a user gave stay as they are, but for those that Keras could have given.
    """
    paths = list(paths)
    numbers: dict[str, set[int]] = defaultdict(set)
    for path in paths:
        for part in path.split("/")[:-1]:
            _, name, number = _parsed(part)
            if number is not None:
                numbers[name].add(number)
    ranks = {name: {number: rank for rank, number in enumerate(sorted(found))} for name, found in numbers.items()}

    def renamed(part: str) -> str:
        before, name, number = _parsed(part)
        rank = None if number is None else ranks[name][number]
        return part if rank is None else f"{before}{name}_{rank}" if rank else f"{before}{name}"

    return {path: "/".join([*map(renamed, path.split("/")[:-1]), path.split("/")[-1]]) for path in paths}


def _parsed(part: str) -> tuple[str, str, int | None]:
    """What stands before a name, the name, and its number; no number where Keras cannot have given it."""
    match = NAME.fullmatch(part)
    if match is None or match["name"] not in _keras_names():
        return "", part, None
    return match["before"], match["name"], int(match["number"] or 0)


@functools.cache
def _keras_names() -> frozenset[str]:
    """The names that Keras gives to layers, without numbers."""
    kinds = [name for name, kind in vars(keras.layers).items() if inspect.isclass(kind)]
    return frozenset(map(_snake_case, [*kinds, "Model", "Functional", "Sequential"]))


def _snake_case(name: str) -> str:
    """As Keras makes names of layers from those of classes."""
    words = re.sub("(.)([A-Z][a-z0-9]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", words).lower()
