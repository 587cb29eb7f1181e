"""Parameters that `make test` leaves out, since others show the same in less time: tests of them run with `--all`."""

from collections.abc import Container, Iterable
from typing import Any

import pytest


def exhaustive(*values: Any) -> Any:
    """One set of values for a test."""
    return pytest.param(*values, marks=pytest.mark.exhaustive)


def quick(values: Iterable[Any], some: Container[Any]) -> list[Any]:
    """All of `values`; those that are not among `some` are exhaustive."""
    return [value if value in some else exhaustive(value) for value in values]
