"""The exceptions that users are meant to read."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

MOST_SHOWN = 24  # names in a message
MOST_CHARACTERS = 500  # of a message


class TostError(ValueError):
    """A bad input or a failed run, explained in one sentence: the thing, its value and what would be right.

    The command line prints only this sentence and exits with code 2; Python code may catch it as a `ValueError`. A
    message of more than `MOST_CHARACTERS` is shortened in the middle.

    Examples:
      >>> try:
      ...     tost.masks.erk(model, sparsity=1.2)
      ... except tost.TostError as error:
      ...     print(error)
      sparsity is 1.2, it must be at least 0 and below 1
    """

    def __init__(self, message: str):
        super().__init__(_shortened(str(message)))


class NotFinite(TostError):
    """A weight or a score is NaN or infinite."""


class NoEffect(TostError):
    """An option has no effect with the others; `option` is its name."""

    def __init__(self, message: str, option: str):
        super().__init__(message)
        self.option = option


def _shortened(message: str) -> str:
    if len(message) <= MOST_CHARACTERS:
        return message
    left_out = " [...] "
    end = MOST_CHARACTERS // 3
    return message[: MOST_CHARACTERS - len(left_out) - end] + left_out + message[-end:]


def first_of(names: Sequence[str], most: int = 10, separator: str = ", ") -> str:
    """The names in one text; of more than `most` the first, and how many more there are.

    Examples:
      >>> first_of(["stem", "conv1", "conv2"], most=2)
      'stem, conv1 and 1 more'
    """
    more = f"{separator.rstrip(', ')} and {len(names) - most} more" if names[most:] else ""
    return separator.join(names[:most]) + more


def unknown_name(kind: str, name: str, known: Iterable[str]) -> TostError:
    """The error for a name that is not among the `known` names, with the most similar one if there is one."""
    known = sorted(known)
    nearest = difflib.get_close_matches(str(name), known, n=MOST_SHOWN)
    hint = f"did you mean {nearest[0]!r}? " if nearest else ""
    shown = known if len(known) <= MOST_SHOWN else [*(nearest or known)[: MOST_SHOWN // 4], "..."]
    return TostError(f"unknown {kind} {name!r}: {hint}known ones are {', '.join(shown)}")
