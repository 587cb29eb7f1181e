"""Identifies layers that Keras has named by their place in the network.

Keras numbers layers without a given name over the whole process: if a network is built twice, it has `conv2d` and
`conv2d_1` the first time, `conv2d_2` and `conv2d_3` the second. Their order is the same.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections import defaultdict
from collections.abc import Iterable

from tost_tf.compat import keras

# A possible prefix of such a name, the name, and its number.
NAME = re.compile(r"(?P<before>(?:\d+ )?(?:fixed_mask_)?)(?P<name>.+?)(?:_(?P<number>\d+))?")


def by_place(paths: Iterable[str]) -> dict[str, str]:
    """Path -> the path it would have if its network were the first one built in the process.

    Args:
      paths: of all weights of one kind in a network: names of layers and of the weight, joined by "/". Names given by a
        user do not change, unless Keras could have given them.
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
    """The prefix of a name, the name, and its number; the number is `None` if Keras cannot have given the name."""
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
    """The name of a layer that Keras makes from the name of its class."""
    words = re.sub("(.)([A-Z][a-z0-9]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", words).lower()
