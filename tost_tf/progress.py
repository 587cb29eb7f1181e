"""How far long work has come, and how long the rest will take."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")
SECONDS_BETWEEN_LINES = 10.0


def progress(items: Iterable[T], what: str) -> Iterator[T]:
    """The items, one after the other: with a bar in a terminal, elsewhere with a line every ten seconds.

    Args:
      items: of known number.
      what: what is done with them, for the bar or the lines.
    """
    if sys.stderr.isatty():
        yield from tqdm(items, what, leave=False)
        return
    total = len(items) if isinstance(items, Sized) else len(items := list(items))
    start = said = time.monotonic()
    for done, item in enumerate(items):
        now = time.monotonic()
        if done and now - said >= SECONDS_BETWEEN_LINES:
            left = (now - start) / done * (total - done)
            print(f"  {what}: {done} of {total}, about {duration_text(left)} left", flush=True)
            said = now
        yield item


def duration_text(seconds: float) -> str:
    """Seconds as people say them: "8 s", "12 min", "3 h 20 min"."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
