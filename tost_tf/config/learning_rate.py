"""The learning rate by epoch."""

from __future__ import annotations

from collections.abc import Sequence


def step_drops(epoch: int, start: float, drop_epochs: Sequence[int], factor: float) -> float:
    """The rate in `epoch` (counted from 0): `start`, times `factor` for each drop epoch that has come."""
    return start * factor ** sum(drop <= epoch for drop in drop_epochs)


def default_drops(epochs: int) -> tuple[int, ...]:
    """Drops at 1/2 and 3/4 of all epochs: the paper's 90 and 135 of 180."""
    return tuple(sorted({epochs // 2, epochs * 3 // 4} - {0}))
