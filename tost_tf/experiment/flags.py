"""The absl flags, generated from the config's dataclasses, and flagfiles written from a config."""

from __future__ import annotations

import dataclasses
import os
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from absl import flags

from tost_tf.errors import TostError
from tost_tf.experiment.options import (
    SET_BY_RECIPES,
    RunConfig,
    all_groups,
    defaults_by_others,
    recipe_defaults,
    set_by_model,
)
from tost_tf.experiment.recipe import RECIPES, Recipe
from tost_tf.options import allowed_of, check_values, option

Options = TypeVar("Options")
Groups = list[tuple[str, list[dataclasses.Field]]]

# Not part of a dataclass: tweaks that are not given themselves get their values from the recipe.
RECIPE_OPTION = option("tost", "sets all tweaks together; each can also be set separately", names=tuple(RECIPES))

# Options that may differ between a launch and the one that resumes it: they do not change the result, or not more than
# another machine does (the devices, which a warning names when a run resumes on others).
NOT_COMPARED = (
    *("run_dir", "resume", "data_dir", "gradient_flow_every", "hessian_every", "record_examples"),
    *("worker_timeout", "distribution", "virtual_devices", "compact_training"),
)


class NumberParser(flags.FloatParser):
    """Reads a number, or a percentage: "98%" is 0.98."""

    def convert(self, argument: float | int | str) -> float:
        if isinstance(argument, str) and argument.endswith("%"):
            return super().convert(argument[:-1]) / 100
        return super().convert(argument)


def _define_float(name: str, default: float | None, help: str, flag_values: flags.FlagValues) -> None:
    flags.DEFINE(NumberParser(), name, default, help, flag_values, flags.ArgumentSerializer())


DEFINERS = {
    "bool": flags.DEFINE_boolean,
    "tuple": flags.DEFINE_list,
    "int": flags.DEFINE_integer,
    "float": _define_float,
    "str": flags.DEFINE_string,
}
WANTED = {"bool": "true or false", "int": "a whole number", "float": "a number"}  # kind -> its values in words
LAST_LINE = "# end of the options"
MOST_NESTED = 20


def parse(arguments: Sequence[str]) -> RunConfig:
    """The run that command-line arguments (without the program name) describe; flagfiles may be nested.

    Raises:
      TostError: a flag is unknown or its value is not allowed, or a flagfile cannot be read.
    """
    return RunConfig.make(**_given(arguments, ()))


def parse_with(arguments: Sequence[str], command_options: type[Options]) -> tuple[RunConfig, Options]:
    """As `parse`, for a command with further options, in a dataclass like those of a run."""
    given = _given(arguments, (command_options,))
    further = {f.name: given.pop(f.name) for f in dataclasses.fields(command_options) if f.name in given}
    options = command_options(**further)
    check_values(options, "--")
    return RunConfig.make(**given), options


def parse_own(arguments: Sequence[str], command_options: type[Options]) -> tuple[Options, list[str]]:
    """The options of a command that trains nothing, and the arguments that are not flags."""
    given, rest = _read(arguments, _groups_of((command_options,)))
    options = command_options(**given)
    check_values(options, "--")
    return options, rest


def _given(arguments: Sequence[str], more: Sequence[type]) -> dict[str, Any]:
    """The given options by name, with values of their types."""
    given, rest = _read(arguments, _groups(more))
    if rest:
        raise TostError(f"{rest[0]!r} is not a flag: flags are written --name=value")
    return given


def _read(arguments: Sequence[str], groups: Groups) -> tuple[dict[str, Any], list[str]]:
    values = _define(flags.FlagValues(), groups)
    values.set_gnu_getopt(True)  # flags may come after other words
    try:
        rest = values(["tost", *_expanded(arguments, Path())])[1:]
    except flags.Error as error:
        raise _in_plain_words(" ".join(str(error).split()), groups) from None
    given = {name: _from_flag(name, values[name].value) for name in values if values[name].value is not None}
    return given, rest


def _in_plain_words(message: str, groups: Groups) -> TostError:
    """The error of absl, which says of values that cannot be read how Python would say it."""
    match = re.match(r"flag (?P<given>--(?P<name>\w+)=.*?): ", message)
    kinds = {field.name: _kind(field) for _, fields in groups for field in fields}
    wanted = WANTED.get(kinds.get(match["name"], "")) if match else None
    return TostError(f"{match['given']} is not understood: it must be {wanted}" if wanted else message)


def to_flagfile(config: RunConfig) -> str:
    """The text of a flagfile that describes `config` completely: launching it repeats the run.

    Values set by the recipe are written as comments, so another `--recipe` after the flagfile can change them. So are
    defaults that depend on other options, such as the learning rate of an optimizer.
    """
    lines = ["# The complete options of this run. To repeat it elsewhere: tost-train --flagfile=FILE --run_dir=NEW"]
    by_recipes = SET_BY_RECIPES | {field.name for field in dataclasses.fields(Recipe)}
    defaults = recipe_defaults(config.recipe_name) | set_by_model(config.model.model)
    from_recipe = {name: defaults[name] for name in by_recipes} | defaults_by_others(config)
    for name, value in config.options().items():
        if value is None:  # has no meaning in this run
            continue
        if isinstance(value, bool):
            line = f"--{name}" if value else f"--no{name}"
        elif isinstance(value, tuple):
            line = f"--{name}={','.join(map(str, value))}"
        else:
            line = f"--{name}={value}"
        lines.append(f"# {line}" if name in from_recipe and from_recipe[name] == value else line)
    return "\n".join([*lines, LAST_LINE, ""])


def differences(old: RunConfig, new: RunConfig) -> list[str]:
    """The options that make `new` another run than `old`, as "--name was OLD, now NEW"; empty if there are none."""
    before, after = old.options(), new.options()
    return [
        f"--{name} was {before[name]!r}, now {after[name]!r}"
        for name in before
        if name not in NOT_COMPARED and before[name] != after[name]
    ]


def help_text(command: str, summary: str, *more: type) -> str:
    """The text for `--help`: all flags by group, first those of the dataclasses `more`."""
    return _help_text(command, summary, _groups(more))


def own_help_text(command: str, summary: str, own: type) -> str:
    """As `help_text`, for a command with only the flags of one dataclass."""
    return _help_text(command, summary, _groups_of((own,)))


def _help_text(command: str, summary: str, groups: Groups) -> str:
    lines = [summary, "", f"usage: {command} [--flagfile=FILE] [--name=value ...]", ""]
    for title, fields in groups:
        lines.append(f"{title}:")
        for field in fields:
            allowed = allowed_of(field)
            details = [allowed.help]
            if allowed.known_names():
                details.append("one of " + ", ".join(allowed.known_names()))
            if allowed.range_text():
                details.append(allowed.range_text())
            details += _default_text(field)
            lines.append(f"  --{field.name}")
            lines += textwrap.wrap("; ".join(details), 96, initial_indent="      ", subsequent_indent="      ")
        lines.append("")
    return "\n".join(lines)


def _default_text(field: dataclasses.Field) -> list[str]:
    """The default of the option in words; nothing if it is empty."""
    default_recipe = recipe_defaults(RECIPE_OPTION.default)
    if field.name in default_recipe and default_recipe[field.name] != field.default:
        return [f"default set by --recipe, {default_recipe[field.name]} for {RECIPE_OPTION.default}"]
    return [f"default {field.default}"] if field.default not in (None, "", ()) else []


def _groups_of(more: Sequence[type]) -> Groups:
    return [(_title(group), list(dataclasses.fields(group))) for group in more]


def _title(group: type) -> str:
    """The first line of the dataclass's docstring."""
    return group.__doc__.splitlines()[0].rstrip(".")


def _groups(more: Sequence[type] = ()) -> Groups:
    recipe_field = dataclasses.make_dataclass("_", [("recipe", str, RECIPE_OPTION)]).__dataclass_fields__["recipe"]
    groups = _groups_of(more)
    for title, group in all_groups().items():
        fields = list(dataclasses.fields(group))
        title = title if title == title.lower() else _title(group)
        groups.append((title, [recipe_field, *fields] if title == "recipe" else fields))
    return groups


def _define(values: flags.FlagValues, groups: Groups) -> flags.FlagValues:
    """Defines a flag for each option, without default: defaults are those of the dataclasses."""
    for _, fields in groups:
        for field in fields:
            define = DEFINERS[_kind(field)]
            define(field.name, None, allowed_of(field).help, flag_values=values)
    return values


def _kind(field: dataclasses.Field) -> str:
    # tuple[int, ...] is a tuple, int | None an int.
    return next((kind for kind in ("bool", "tuple", "int", "float") if kind in str(field.type)), "str")


def _from_flag(name: str, value: Any) -> Any:
    if not isinstance(value, list):
        return value
    try:
        return tuple(int(item) for item in value if item != "")
    except ValueError:
        raise TostError(f"--{name}={','.join(value)} must be whole numbers separated by commas") from None


def read_flagfile(path: str | os.PathLike) -> RunConfig:
    """The run that a flagfile describes."""
    return parse([f"--flagfile={os.fspath(path)}"])


def read_config(path: str | os.PathLike) -> RunConfig:
    """Reads a file written from `to_flagfile`; what its options name may be gone since (see `RunConfig.recorded`).

    It is complete, with the values in its comments: a recipe may be another one now than it was for the run.

    Raises:
      TostError: it is incomplete or cannot be understood.
    """
    lines = Path(path).read_text(errors="replace").splitlines()
    if not lines or lines[-1] != LAST_LINE:
        raise TostError("it is incomplete")
    lines = [line.removeprefix("# ") for line in lines]
    given = _given([line for line in lines if line.startswith("--")], ())
    none = recipe_defaults("default")
    return RunConfig.recorded({name: none[name] for name in RECIPES.get(given.get("recipe"), ())} | given)


def _expanded(arguments: Sequence[str], folder: Path, depth: int = 0) -> list[str]:
    """The arguments with flagfiles replaced by their lines.

    A flagfile named in a flagfile is searched first in the folder of that one, then in the working folder; absl itself
    searches only the latter.
    """
    if depth > MOST_NESTED:
        raise TostError("flagfiles include each other without end")
    result, rest = [], list(arguments)
    while rest:
        argument = rest.pop(0)
        match = re.fullmatch(r"--?flagfile(?:=(.*))?", argument)
        if not match:
            result.append(argument)
            continue
        name = match[1] or (rest.pop(0) if match[1] is None and rest else "")
        lines, beside = flagfile_lines(name, folder)
        result += _expanded(lines, beside, depth + 1)
    return result


def flagfile_lines(name: str, folder: Path) -> tuple[list[str], Path]:
    """The lines of a flagfile that are flags, and the folder it is in.

    Args:
      name: as given.
      folder: of the flagfile that names it; it is searched first, then the working folder.

    Raises:
      TostError: there is no such flagfile, or it cannot be read.
    """
    path = next((file for file in (folder / name, Path(name)) if name and file.is_file()), None)
    if path is None:
        raise TostError(f"there is no flagfile {name!r}")
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise TostError(f"the flagfile {name!r} cannot be read: {error}") from None
    return [line for line in lines if line and not line.startswith(("#", "//"))], path.parent


def flag_kinds() -> dict[str, str]:
    """The flags of a run by name, each with its type: "bool", "tuple", "int", "float" or "str"."""
    return {field.name: _kind(field) for _, fields in _groups() for field in fields}
