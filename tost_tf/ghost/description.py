"""What a model with ghosts says of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tost_tf.ghost.graph import Ghost


def table_of_ghosts(ghosts: Sequence[Ghost]) -> list[str]:
    """A line for each ghost, between the heads of the columns and the sum of the extra parameters."""
    lines = [f"{'layer':40} {'ghost':12} {'shape':20} {'parameters':>10}"]
    for ghost in ghosts:
        shape = "×".join(map(str, ghost.shape))
        lines.append(f"{ghost.layer:40} {ghost.kind:12} {shape:20} {ghost.extra_parameters:10,}")
    total = sum(ghost.extra_parameters for ghost in ghosts)
    return [*lines, f"{f'{len(ghosts)} ghosts':74} {total:10,}"]


def lines_of_left_alone(left_alone: Mapping[str, str], inside: Sequence[str]) -> list[str]:
    """Which activations have no ghost, and why; nothing if all have one.

    Args:
      left_alone: layer -> activation, for activations that are not ReLU.
      inside: layers with an activation that another layer calls.
    """
    lines = []
    if left_alone:
        alone = ", ".join(f"{layer} ({activation})" for layer, activation in left_alone.items())
        lines.append(f"left alone, since they are not ReLU: {alone}")
    if inside:
        lines.append(f"left alone, since they are inside another layer: {', '.join(inside)}")
    return lines
