"""One option: a dataclass field with its help text, known names, range, and the options without which it has no effect.

Options are defined next to the code that uses them; flags are made from them. Imports neither flags nor TensorFlow.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tost_tf.errors import NoEffect, TostError, unknown_name
from tost_tf.ranges import Range


@dataclasses.dataclass(frozen=True)
class Condition:
    """A condition on the value of another option.

    Attributes:
      holds: whether a value fulfils it.
      text: the right values in words, after "--name=" in messages.
    """

    holds: Callable[[Any], bool]
    text: str


def one_of(*values: Any) -> Condition:
    """The condition that another option is one of `values`."""
    return Condition(lambda value: value in values, " or ".join(map(_shown, values)))


def none_of(*values: Any) -> Condition:
    """The condition that another option is none of `values`."""
    text = f"(anything but {' or '.join(map(_shown, values))})" if values != ("",) else "..."
    return Condition(lambda value: value not in values, text)


@dataclasses.dataclass(frozen=True)
class Allowed(Range):
    """The values an option may have, and when it has an effect.

    Attributes:
      help: what the option is, for `--help`.
      names: the names it may have, if its values are names; read when needed, so that registered names are included.
      also: further allowed names.
      only_with: other options -> conditions that must all hold for this option to have an effect.
      only_with_one: other options -> conditions of which one is enough.
    """

    help: str
    names: Iterable[str] | None = None
    also: tuple[str, ...] = ()
    only_with: Mapping[str, Condition] = dataclasses.field(default_factory=dict)
    only_with_one: Mapping[str, Condition] = dataclasses.field(default_factory=dict)

    def known_names(self) -> tuple[str, ...]:
        """The names the option may have; empty if it takes any text or a number."""
        return (*self.also, *(self.names or ()))


def option(default: Any, help: str, **allowed: Any) -> Any:
    """A dataclass field for an option; `allowed` are the other fields of `Allowed`."""
    return dataclasses.field(default=default, metadata={"allowed": Allowed(help, **allowed)})


def allowed_of(field: dataclasses.Field) -> Allowed:
    """The `Allowed` of a field made by `option`."""
    return field.metadata["allowed"]


def check_values(group: Any, prefix: str = "") -> None:
    """Raises `TostError` for the first value of the dataclass `group` that is not allowed.

    Args:
      group: an instance of a dataclass of options.
      prefix: of the names in messages: "--" if they are flags.
    """
    for field in dataclasses.fields(group):
        _check_value(f"{prefix}{field.name}", getattr(group, field.name), allowed_of(field), str(field.type))


def _check_value(name: str, value: Any, allowed: Allowed, kind: str) -> None:
    wanted = _wanted(value, kind)
    if wanted:
        raise TostError(f"{name} is {repr(value)[:60]}, it must be {wanted}")
    if isinstance(value, str):
        if allowed.known_names() and value not in allowed.known_names():
            raise unknown_name(name, value, allowed.known_names())
        if "str" not in kind:
            raise TostError(f"{name} is the text {value!r}, it must be a number")
    elif value is not None and not isinstance(value, bool):
        for number in value if isinstance(value, Iterable) else (value,):
            if isinstance(number, float) and "float" not in kind:
                raise TostError(f"{name} is {number:g}, it must be a whole number")
            if not allowed.contains(number):
                raise TostError(f"{name} is {number:.6g}, it must be {allowed.wanted_text(number)}")


def _wanted(value: Any, kind: str) -> str:
    """What a value of another type than `kind` should be; nothing if it may have it."""
    if value is None:
        return "" if "None" in kind else "given"
    if "tuple" in kind:
        is_several = isinstance(value, Iterable) and not isinstance(value, str | Mapping)
        return "" if is_several or isinstance(value, str) else "several numbers, such as (30, 60)"
    if "bool" in kind:
        return "" if value in (True, False) else "True or False"
    if "str" in kind:
        return "" if isinstance(value, str) else "a text"
    return "a number" if isinstance(value, Iterable) and not isinstance(value, str) else ""


def check_effects(
    fields: Iterable[dataclasses.Field],
    values: Mapping[str, Any],
    defaults: Mapping[str, Any],
    needs: Mapping[str, Condition],
) -> None:
    """Raises `NoEffect` for an option that has no effect with the others, in one sentence that names both.

    An option counts as given if it differs from its default, since the saved options of a run list all options.

    Args:
      fields: the options.
      values: of all options, by name.
      defaults: of all options, by name.
      needs: conditions of all the fields, in addition to those of each.
    """
    for field in fields:
        if values[field.name] == defaults[field.name]:
            continue
        allowed = allowed_of(field)
        all_of, one_of_them = [*needs.items(), *allowed.only_with.items()], list(allowed.only_with_one.items())
        missing = [(name, wanted) for name, wanted in all_of if not wanted.holds(values[name])]
        if one_of_them and not any(wanted.holds(values[name]) for name, wanted in one_of_them):
            missing += one_of_them
        if missing:
            name = missing[0][0]
            needed = " or ".join(f"--{other}={wanted.text}" for other, wanted in missing)
            raise NoEffect(
                f"--{field.name}={_shown(values[field.name])} has no effect with --{name}={_shown(values[name])}: "
                f"leave it out, or use {needed}",
                field.name,
            )


def _shown(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value) or "''"
