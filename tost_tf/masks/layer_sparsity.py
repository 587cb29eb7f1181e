"""Sparsities set for some layers; the others together have what is left."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping

from tost_tf.errors import TostError
from tost_tf.masks.allocate import kept_count
from tost_tf.ranges import require_expression, require_number


@dataclasses.dataclass(frozen=True)
class Shares:
    """The sparsities of layers.

    Attributes:
      own: weight path -> sparsity, for the layers whose sparsity is set.
      rest: the sparsity of all others together, with which all layers together have the requested sparsity.
    """

    own: dict[str, float]
    rest: float

    def of(self, path: str) -> float:
        """The sparsity set for a weight, or that of the others."""
        return self.own.get(path, self.rest)

    def kept(self, sizes: Mapping[str, int]) -> dict[str, int]:
        """Weight path -> number of weights kept, for the layers whose sparsity is set."""
        return {path: kept_count(sizes[path], sparsity) for path, sparsity in self.own.items()}


def parsed_layer_sparsity(text: str) -> dict[str, float]:
    """Reads 'stage3.*=0.99,stem=0' as {"stage3.*": 0.99, "stem": 0.0}; '99%' is 0.99.

    A comma may be part of a regular expression.

    Raises:
      TostError: the text does not have this form, or a sparsity or regular expression is wrong.
    """
    found: dict[str, float] = {}
    place = 0
    while place < len(text):
        match = re.compile(r"(.+?)=([^=,]*)(?:,|$)").match(text, place)
        if match is None:
            raise TostError(f"{text[place:][:60]!r} does not have the form PATTERN=SPARSITY,PATTERN=SPARSITY")
        pattern, value = match[1].strip(), match[2].strip()
        try:
            number = float(value[:-1]) / 100 if value.endswith("%") else float(value)
        except ValueError:
            raise TostError(f"{pattern!r} has the sparsity {value!r}, which is not a number") from None
        if pattern in found:
            raise TostError(f"{pattern!r} occurs twice")
        found[pattern] = number
        place = match.end()
    require_sparsities(found)
    return found


def require_sparsities(layer_sparsity: Mapping[str, float]) -> None:
    """Raises `TostError` for a wrong regular expression, and for a sparsity out of range."""
    for pattern, sparsity in layer_sparsity.items():
        require_expression("layer_sparsity", pattern)
        require_number(f"the sparsity of {pattern!r}", sparsity, minimum=0, below=1)


def shares(sizes: Mapping[str, int], sparsity: float, layer_sparsity: Mapping[str, float]) -> Shares:
    """The sparsity set for each layer, and that of all others together.

    Args:
      sizes: weight path -> number of weights, for all ranked weights.
      sparsity: of all of them together.
      layer_sparsity: regular expression of layer or weight paths -> sparsity; the first that matches is used.

    Raises:
      TostError: an expression matches no layer, a layer would be empty, or the others cannot make up for the sparsity.
    """
    if not layer_sparsity:
        return Shares({}, sparsity)
    own: dict[str, float] = {}
    for pattern, value in layer_sparsity.items():
        matched = [path for path in sizes if re.search(pattern, path.rpartition("/")[0]) or re.search(pattern, path)]
        fresh = [path for path in matched if path not in own]
        if not fresh:
            why = "that an earlier one does not" if matched else "that is pruned"
            raise TostError(f"layer_sparsity has {pattern!r}, which matches no layer {why}")
        own |= dict.fromkeys(fresh, value)
    kept = Shares(own, sparsity).kept(sizes)
    empty = [path for path, count in kept.items() if not count]
    if empty:
        raise TostError(f"at layer_sparsity {own[empty[0]]:g} no weight would be left in {empty[0]}")
    others = [path for path in sizes if path not in own]
    size, every = sum(sizes[path] for path in others), sum(sizes.values())
    left = kept_count(every, sparsity) - sum(kept.values())
    if not others:
        if left:
            given = 1 - sum(kept.values()) / every
            raise TostError(
                f"layer_sparsity names every layer and makes sparsity {given:.6f} of all together, not {sparsity:g}: "
                "give that, or leave a layer out"
            )
        return Shares(own, sparsity)
    if not len(others) <= left <= size:
        raise TostError(
            f"sparsity {sparsity:g} keeps {kept_count(every, sparsity)} of {every} weights, of which "
            f"{sum(kept.values())} are in layers that layer_sparsity names: the {len(others)} others, with {size} "
            f"weights, would have to keep {left}"
        )
    return Shares(own, 1 - left / size)
