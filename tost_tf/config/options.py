"""One option of a run: a dataclass field that knows its help text, its known names and its range."""

import dataclasses
from collections.abc import Iterable
from typing import Any

from tost_tf.errors import TostError, unknown_name
from tost_tf.registry import Registry


@dataclasses.dataclass(frozen=True)
class Allowed:
    """What values an option takes. Bounds are inclusive but for `above` and `below`; `None` is no bound."""

    help: str
    names: Registry | tuple[str, ...] | None = None
    also: tuple[str, ...] = ()  # names that are right too, beside those of a registry
    minimum: float | None = None
    above: float | None = None
    maximum: float | None = None
    below: float | None = None

    def known_names(self) -> tuple[str, ...]:
        """The names the option takes, none if it takes any text or a number."""
        return (*self.also, *(self.names or ()))

    def range_text(self) -> str:
        """The range in words: "at least 0 and below 1"."""
        bounds = (
            ("at least", self.minimum),
            ("above", self.above),
            ("at most", self.maximum),
            ("below", self.below),
        )
        return " and ".join(f"{word} {bound:g}" for word, bound in bounds if bound is not None)

    def contains(self, number: float) -> bool:
        """Whether a number is finite and inside the range."""
        return (
            abs(number) < float("inf")
            and (self.minimum is None or number >= self.minimum)
            and (self.above is None or number > self.above)
            and (self.maximum is None or number <= self.maximum)
            and (self.below is None or number < self.below)
        )


def option(default: Any, help: str, **allowed: Any) -> Any:
    """A dataclass field for an option; `allowed` are the other fields of `Allowed`."""
    return dataclasses.field(default=default, metadata={"allowed": Allowed(help, **allowed)})


def check_options(group: Any) -> None:
    """Raises `TostError` for the first value of the dataclass `group` that is not allowed."""
    for field in dataclasses.fields(group):
        value = getattr(group, field.name)
        allowed: Allowed = field.metadata["allowed"]
        if isinstance(value, str):
            if allowed.known_names() and value not in allowed.known_names():
                raise unknown_name(f"--{field.name}", value, allowed.known_names())
            if "str" not in str(field.type):
                raise TostError(f"--{field.name} is the text {value!r}, it must be a number")
        elif value is not None and not isinstance(value, bool):
            for number in value if isinstance(value, Iterable) else (value,):
                if isinstance(number, float) and "float" not in str(field.type):
                    raise TostError(f"--{field.name} is {number:g}, it must be a whole number")
                if not allowed.contains(number):
                    raise TostError(f"--{field.name} is {number:.6g}, it must be {allowed.range_text() or 'finite'}")
