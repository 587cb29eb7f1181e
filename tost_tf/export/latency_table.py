"""Latencies as text: a small table, and in one sentence what they say."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from tost_tf.export.latency import DENSE, Latency

GAIN = 0.97  # of the dense network's time: what is nearer to 1 is no gain


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a network costs besides time.

    Attributes:
      macs: multiply-accumulates for one image, of all weights, zeros too; `None` if it takes images of any size.
      nonzero_macs: those of weights that are not zero.
      bytes: of the file, by format.
    """

    macs: int | None
    nonzero_macs: int | None
    bytes: Mapping[str, int]


def as_dicts(found: Sequence[Latency], costs: Mapping[str, Cost], name: str) -> list[dict[str, Any]]:
    """The latencies of a format for the manifest, with MACs and bytes."""
    return [
        dataclasses.asdict(row)
        | {
            "macs": costs[row.network].macs,
            "nonzero_macs": costs[row.network].nonzero_macs,
            "bytes": costs[row.network].bytes[name],
        }
        for row in found
    ]


def table(found: Mapping[str, Sequence[Latency]], costs: Mapping[str, Cost]) -> list[str]:
    """The lines of a table: a row for each format, number of threads and batch, a column for each network.

    Args:
      found: by format.
      costs: by network; their order is that of the columns.
    """
    networks = list(costs)
    head = ["latency in ms", "threads", "batch", *networks]
    body = []
    for name, rows in found.items():
        for threads, batch in dict.fromkeys((row.threads, row.batch) for row in rows):
            own = {row.network: row for row in rows if (row.threads, row.batch) == (threads, batch)}
            body.append([name, str(threads), str(batch), *(_cell(own[network]) for network in networks)])
    body.append(["MACs", "", "", *(_count(costs[network].macs) for network in networks)])
    body.append(["  not by zero", "", "", *(_count(costs[network].nonzero_macs) for network in networks)])
    body += [
        ["bytes, " + name, "", "", *(_count(costs[network].bytes[name]) for network in networks)] for name in found
    ]
    widths = [max(map(len, column)) for column in zip(head, *body, strict=True)]
    lines = ["  ".join(map(str.rjust, line, widths)) for line in (head, *body)]
    note = "medians, in brackets quartiles; ×: to the dense network (no zeros), the median over rounds of turns"
    return [*lines, note]


def gain(found: Mapping[str, Sequence[Latency]], network: str) -> tuple[float, float]:
    """The smallest and the largest ratio of a network's time to that of the dense one."""
    ratios = [row.ratio for rows in found.values() for row in rows if row.network == network]
    return min(ratios), max(ratios)


def verdict(found: Mapping[str, Sequence[Latency]], what_would_gain: str) -> str:
    """What the numbers say, in a sentence or two.

    Args:
      found: by format.
      what_would_gain: said if compaction gains nothing.
    """
    (best, worst), (least, most) = gain(found, "compacted"), gain(found, "sparse")
    zeros = f"Zeros alone: {_range(least, most)} of the dense network's time"
    zeros += ", since no format here skips them." if least >= GAIN else "."
    if best >= GAIN:
        return f"{zeros} Compaction gains nothing ({_range(best, worst)}): {what_would_gain}"
    return f"{zeros} Compacted: {_range(best, worst)} of it."


def _range(low: float, high: float) -> str:
    return f"{low:.2f} to {high:.2f}" if f"{low:.2f}" != f"{high:.2f}" else f"{low:.2f}"


def _cell(row: Latency) -> str:
    text = f"{_milliseconds(row.milliseconds)} ({_milliseconds(row.quartiles[0])}–{_milliseconds(row.quartiles[1])})"
    return text if row.network == DENSE else f"{text} ×{row.ratio:.2f}"


def _milliseconds(value: float) -> str:
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def _count(number: int | None) -> str:
    return "–" if number is None else f"{number:,}"
