"""The cells of a grid of runs, which is written as flags.

A flag with `|` between its values is an axis: `--sparsity=0.9|0.95`, `--seed=0|1|2`, `--lr_drop_epochs=30,60|45,67`,
`--flagfile=a.flags|b.flags`. Lines `--case=AXIS/NAME: FLAGS` with the same AXIS are the values of one axis; each value
is several flags. As everywhere, the last of several flags with one name counts: `--sparsity=0` in a case, or after the
grid, removes the axis of the sparsity.
"""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tost_tf.errors import TostError
from tost_tf.experiment.flags import MOST_NESTED, flag_kinds, flagfile_lines

AS_THEY_ARE = ("dense_layers", "layer_sparsity", "new_layers")  # regular expressions may have | in them
CASE = re.compile(r"\s*(?P<axis>[A-Za-z_]\w*)/(?P<name>[^/:|,=]+):(?P<flags>.*)", re.DOTALL)


@dataclasses.dataclass(frozen=True)
class Cell:
    """One run of a grid.

    Attributes:
      choices: axis -> the value of this cell as written, in the order of the grid.
      labels: the choices of axes that are not options: cases and flagfiles.
      arguments: all flags for `tost-train`.
    """

    choices: Mapping[str, str]
    labels: Mapping[str, str]
    arguments: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name of its folder: "snip_sparsity0.95_seed0", or "run" for a grid of one cell."""
        parts = []
        for axis, text in self.choices.items():
            word = {"true": axis, "false": f"no{axis}"}.get(text.lower(), text)
            parts.append(f"{axis}{word}" if re.fullmatch(r"[-+.\d,eE]*", word) else Path(word).name)
        return re.sub(r"[^\w.=+-]+", "-", "_".join(parts)) or "run"


@dataclasses.dataclass(frozen=True)
class _Flag:
    name: str
    values: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class _Axis:
    """Alternatives by name, each with its flags; if `is_open`, later tokens may add alternatives."""

    name: str
    alternatives: Mapping[str, Sequence[_Flag | _Axis]]
    is_open: bool


def read_grid(arguments: Sequence[str], own: Mapping[str, str]) -> tuple[list[Cell], dict[str, list[str]]]:
    """The cells that arguments describe, sorted by the first axis, then the next, and the options of the sweep.

    Args:
      arguments: of the command line.
      own: the options of the sweep, which are not part of the grid: name -> "bool", or another kind.

    Raises:
      TostError: an argument is not a flag, a flagfile cannot be read, or a case does not have the right form or the
        name of another.
    """
    reader = _Reader(own)
    tokens = _with_joined_cases(reader.read(arguments, Path()))
    return list(_cells(tokens, {}, {}, {})), reader.own


class _Reader:
    """Reads arguments and flagfiles into tokens. Options of the sweep go into `own`: name -> its values."""

    def __init__(self, own: Mapping[str, str]):
        self.own: dict[str, list[str]] = {name: [] for name in own}
        self._kinds = flag_kinds() | dict(own)
        self._axes_of_flagfiles = 0

    def read(self, arguments: Sequence[str], folder: Path, depth: int = 0) -> list[_Flag | _Axis]:
        if depth > MOST_NESTED:
            raise TostError("flagfiles include each other without end")
        tokens, rest = [], list(arguments)
        while rest:
            name, value = self._next(rest)
            if name == "flagfile":
                tokens += self._flagfiles(value, folder, depth)
            elif name == "case":
                tokens.append(self._case(value, folder, depth))
            elif name in self.own:
                self.own[name].append(value)
            else:
                tokens.append(_Flag(name, (value,) if name in AS_THEY_ARE else tuple(value.split("|"))))
        return tokens

    def _next(self, rest: list[str]) -> tuple[str, str]:
        """Removes the next flag from the list; returns its name, and its value as text."""
        argument = rest.pop(0)
        match = re.fullmatch(r"--?([A-Za-z_]\w*)(?:=(.*))?", argument, re.DOTALL)
        if not match:
            raise TostError(f"{argument!r} is not a flag: flags are written --name=value")
        name, value = match[1], match[2]
        if value is not None:
            return name, value
        negated = name.removeprefix("no")
        if self._kinds.get(name) == "bool":
            return name, "true"
        if name not in self._kinds and self._kinds.get(negated) == "bool":
            return negated, "false"
        if not rest:
            raise TostError(f"--{name} has no value: flags are written --name=value")
        return name, rest.pop(0)

    def _flagfiles(self, names: str, folder: Path, depth: int) -> list[_Flag | _Axis]:
        alternatives = {}
        for name in names.split("|"):
            lines, beside = flagfile_lines(name, folder)
            if Path(name).stem in alternatives:
                raise TostError(
                    f"--flagfile={names} has {Path(name).stem!r} twice: give each flagfile a name of its own"
                )
            alternatives[Path(name).stem] = self.read(lines, beside, depth + 1)
        if len(alternatives) == 1:
            return next(iter(alternatives.values()))
        self._axes_of_flagfiles += 1
        number = self._axes_of_flagfiles
        return [_Axis("flagfile" if number == 1 else f"flagfile{number}", alternatives, is_open=False)]

    def _case(self, text: str, folder: Path, depth: int) -> _Axis:
        match = CASE.fullmatch(text)
        if not match:
            raise TostError(
                f"--case={text!r} must have the form AXIS/NAME: FLAGS, like 'tweak/late: --ghost_end_epoch=30'"
            )
        if match["axis"] in self._kinds or match["axis"].startswith("flagfile"):
            raise TostError(
                f"--case={text!r}: --{match['axis']} is already an option, choose another name for the axis"
            )
        try:
            arguments = shlex.split(match["flags"])
        except ValueError as error:
            raise TostError(f"--case={text!r} cannot be split into flags: {error}") from None
        return _Axis(match["axis"], {match["name"].strip(): self.read(arguments, folder, depth + 1)}, is_open=True)


def _with_joined_cases(tokens: Sequence[_Flag | _Axis]) -> list[_Flag | _Axis]:
    """The tokens with all cases of an axis joined at the place of its last case."""
    result: list[_Flag | _Axis] = []
    for token in tokens:
        if isinstance(token, _Axis) and token.is_open:
            same = (other for other in result if isinstance(other, _Axis) and other.name == token.name)
            before = next(same, None)
            if before is not None:
                for name in before.alternatives.keys() & token.alternatives.keys():
                    raise TostError(f"--case={token.name}/{name} is given twice: give each case a name of its own")
                result.remove(before)
                token = _Axis(token.name, {**before.alternatives, **token.alternatives}, is_open=True)
        result.append(token)
    return result


def _cells(
    tokens: Sequence[_Flag | _Axis], flags: Mapping[str, str], choices: Mapping[str, str], labels: Mapping[str, str]
) -> Iterator[Cell]:
    """The cells of the tokens; later tokens have already set `flags`, `choices` and `labels`."""
    if not tokens:
        arguments = tuple(f"--{name}={value}" for name, value in flags.items())
        yield Cell(dict(choices), dict(labels), arguments)
        return
    *before, last = tokens
    if isinstance(last, _Axis):
        for name, alternative in last.alternatives.items():
            chosen, joined = {last.name: name}, _with_joined_cases([*before, *alternative])
            yield from _cells(joined, flags, chosen | dict(choices), chosen | dict(labels))
    elif last.name in flags:
        yield from _cells(before, flags, choices, labels)
    else:
        for value in last.values:
            chosen = {last.name: value} if len(last.values) > 1 else {}
            yield from _cells(before, {last.name: value} | dict(flags), chosen | dict(choices), labels)
