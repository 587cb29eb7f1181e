"""Ranges of numbers, and the sentence for a number that is outside of one."""

from __future__ import annotations

import dataclasses
import math
import numbers
import re
from typing import Any

from tost_tf.errors import TostError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Range:
    """A range of numbers: `minimum` and `maximum` are in it, `above` and `below` are not; `None` is no bound."""

    minimum: float | None = None
    above: float | None = None
    maximum: float | None = None
    below: float | None = None

    def range_text(self) -> str:
        """The range in words: "at least 0 and below 1"."""
        bounds = (
            ("at least", self.minimum),
            ("above", self.above),
            ("at most", self.maximum),
            ("below", self.below),
        )
        return " and ".join(f"{word} {bound:g}" for word, bound in bounds if bound is not None)

    def wanted_text(self, number: float) -> str:
        """What a number outside of the range should be, in words; infinity may be above all bounds."""
        return ", ".join(filter(None, ("finite" if math.isinf(number) else "", self.range_text()))) or "finite"

    def contains(self, number: float) -> bool:
        """Whether a number is finite and inside the range."""
        return (
            math.isfinite(number)
            and (self.minimum is None or number >= self.minimum)
            and (self.above is None or number > self.above)
            and (self.maximum is None or number <= self.maximum)
            and (self.below is None or number < self.below)
        )


def require_number(name: str, value: Any, whole: bool = False, **bounds: float) -> None:
    """Raises `TostError` unless a value is a finite number inside a range.

    Args:
      name: of the value, for the message.
      value: the value; a boolean is not a number, one of NumPy is.
      whole: whether it must be a whole number.
      **bounds: those of `Range`.

    Examples:
      >>> require_number("decay", 1.5, minimum=0, below=1)
      Traceback (most recent call last):
      tost_tf.errors.TostError: decay is 1.5, it must be at least 0 and below 1
    """
    allowed = Range(**bounds)
    kind = numbers.Integral if whole else numbers.Real
    if isinstance(value, bool) or not isinstance(value, kind):
        shown = f"{value:g}" if isinstance(value, numbers.Real) and not isinstance(value, bool) else repr(value)[:60]
        texts = filter(None, (f"a {'whole ' if whole else ''}number", allowed.range_text()))
        raise TostError(f"{name} is {shown}, it must be {', '.join(texts)}")
    if not allowed.contains(value):
        raise TostError(f"{name} is {value:.6g}, it must be {allowed.wanted_text(value)}")


def require_expression(name: str, text: Any) -> None:
    """Raises `TostError` unless a value is a regular expression.

    Examples:
      >>> require_expression("dense_layers", "*")
      Traceback (most recent call last):
      tost_tf.errors.TostError: dense_layers='*' is not a regular expression: nothing to repeat at position 0
    """
    if not isinstance(text, str):
        raise TostError(f"{name} is {repr(text)[:60]}, it must be a regular expression, a text")
    try:
        re.compile(text)
    except re.error as error:
        raise TostError(f"{name}={text!r} is not a regular expression: {error}") from None
