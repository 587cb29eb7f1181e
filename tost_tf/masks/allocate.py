"""How many weights each layer keeps."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tost_tf.errors import TostError
from tost_tf.ranges import require_number


def kept_count(size: int, sparsity: float) -> int:
    """The number of `size` weights that stay at `sparsity`: exactly round((1 - sparsity) * size)."""
    return round((1 - sparsity) * size)


def require_sparsity(sparsity: object) -> None:
    """Raises `TostError` unless `sparsity` is a number in [0, 1)."""
    require_number("sparsity", sparsity, minimum=0, below=1)


def require_room(sizes: Mapping[str, int], sparsity: float, scope: str) -> None:
    """Raises `TostError` if a layer would be empty at `sparsity`, whatever the scores are.

    Args:
      sizes: weight path -> number of weights.
      sparsity: of all weights together with scope "global", of each layer with "layer".
      scope: "layer"; any other value is like "global".
    """
    if scope == "layer":
        empty = [path for path, size in sizes.items() if not kept_count(size, sparsity)]
        if empty:
            raise TostError(f"at sparsity {sparsity:g} in each layer no weight would be left in {', '.join(empty)}")
    kept = kept_count(sum(sizes.values()), sparsity)
    if kept < len(sizes):
        raise TostError(
            f"at sparsity {sparsity:g} only {kept} of {sum(sizes.values())} weights stay, fewer than there are layers "
            f"({len(sizes)}): some would be empty"
        )


def uniform(shapes: Mapping[str, tuple[int, ...]], sparsity: float) -> dict[str, int]:
    """The same density in every layer."""
    return {path: kept_count(int(np.prod(shape)), sparsity) for path, shape in shapes.items()}


def erdos_renyi_kernel(shapes: Mapping[str, tuple[int, ...]], sparsity: float) -> dict[str, int]:
    """Densities of Erdős-Rényi-Kernel (Evci et al. 2020, "Rigging the Lottery", Section 3).

    A layer's density is proportional to (sum of its kernel's dimensions) / (their product), so small layers are denser.
    Layers that would exceed density 1 stay dense, and the remaining weights are divided among the others. The counts
    add up to exactly round((1 - sparsity) * all weights).

    Args:
      shapes: weight path -> kernel shape.
      sparsity: of all layers together, in [0, 1).

    Returns:
      Weight path -> number of weights kept.
    """
    sizes = {path: int(np.prod(shape)) for path, shape in shapes.items()}
    total = kept_count(sum(sizes.values()), sparsity)
    raw = {path: sum(shape) / sizes[path] for path, shape in shapes.items()}
    dense: set[str] = set()
    while True:
        sparse = [path for path in shapes if path not in dense]
        left = total - sum(sizes[path] for path in dense)
        scale = left / max(sum(raw[path] * sizes[path] for path in sparse), 1e-12)
        over = [path for path in sparse if scale * raw[path] > 1]
        if not over:
            break
        dense.update(over)
    exact = {path: sizes[path] if path in dense else scale * raw[path] * sizes[path] for path in shapes}
    return _rounded(exact, sizes, total)


def _rounded(exact: Mapping[str, float], sizes: Mapping[str, int], total: int) -> dict[str, int]:
    """Integers near `exact` with sum `total`: the numbers with the largest remainders are rounded up."""
    counts = {path: int(value) for path, value in exact.items()}
    by_remainder = sorted(exact, key=lambda path: counts[path] - exact[path])
    missing = total - sum(counts.values())
    for path in by_remainder:
        if missing > 0 and counts[path] < sizes[path]:
            counts[path] += 1
            missing -= 1
    return counts
