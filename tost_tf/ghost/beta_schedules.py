"""How β goes from its start to its end while ghost neurons fade: functions (start, end, fraction) -> β.

The fraction of the ghosts that is left goes from 1 (β = start) to 0 (β = end), as a ghost schedule says. ToST raises β
and does not say how (Section 2.2). The largest distance of PSwish to ReLU is 0.2785 / β: from 1 to 20, β is beyond 10
for half of a linear way, in which the distance falls by 0.014 only, and nearly all of the change falls into the first.
"""

from __future__ import annotations


def linear(start: float, end: float, fraction: float) -> float:
    """Even in β."""
    return end + (start - end) * fraction


def inverse(start: float, end: float, fraction: float) -> float:
    """Even in 1/β, and so in the distance to ReLU; both ends above 0."""
    return 1 / linear(1 / start, 1 / end, fraction)


def logarithmic(start: float, end: float, fraction: float) -> float:
    """Even in log β: a step multiplies β, and divides the distance to ReLU, by the same number; both ends above 0."""
    return end * (start / end) ** fraction
