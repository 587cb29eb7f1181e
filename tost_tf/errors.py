"""The one exception a user is meant to read."""

import difflib
from collections.abc import Iterable


class TostError(ValueError):
    """A bad input or a failed run, told in one sentence: the thing, its value and what would be right.

    The command line prints the sentence alone and exits with a non-zero code; Python callers may catch it
    as a `ValueError`.
    """


class NotFinite(TostError):
    """A weight or a score is NaN or infinite."""


def unknown_name(
    kind: str, name: str, known: Iterable[str], more: Iterable[str] = (), called: str = "others"
) -> TostError:
    """The error for a name that is not among the `known` ones, with the nearest one if any is near.

    Args:
      kind: what it is the name of.
      name: the name.
      known: those that are right.
      more: right as well, but too many to be listed: they are `called` that.
      called: see there.
    """
    known, more = sorted(known), sorted(more)
    nearest = difflib.get_close_matches(str(name), [*known, *more], n=1)
    hint = f"did you mean {nearest[0]!r}? " if nearest else ""
    rest = f", and {called}" if more else ""
    return TostError(f"unknown {kind} {name!r}: {hint}known ones are {', '.join(known)}{rest}")
