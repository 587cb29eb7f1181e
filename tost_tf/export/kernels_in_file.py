"""How many zeros the kernels of a network have in a file, as they were found there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import numpy as np

from tost_tf.compat import keras, tf
from tost_tf.export.format import Format
from tost_tf.export.fresh_process import FreshProcessResult
from tost_tf.graph.kernels import prunable_weights


def zeros_by_kernel(kind: Format, network: keras.Model, found: FreshProcessResult) -> dict[str, int | None]:
    """Weight path -> how many weights of that kernel are zero in the file, `None` where no variable has its size.

    Args:
      kind: the file's format, which says what place a kernel has in the file. Where that cannot be known, of the
        variables with as many weights as kernels of the network have, the one with most zeros is taken for the kernel
        with most zeros, and so on.
      network: what was written.
      found: what a fresh process found in the file.
    """
    kernels = prunable_weights(network)
    places = kind.places_of_kernels(kernels, network, found)
    if places is None or any(
        found.sizes[place] != kernels[path].shape.num_elements() for path, place in places.items()
    ):
        return _by_size(kernels, found)
    return {path: int(found.zeros[place]) for path, place in places.items()}


def by_order(
    kernels: Mapping[str, tf.Variable], network: keras.Model, found: FreshProcessResult
) -> dict[str, int] | None:
    """The places of kernels in a file that has the model's variables in the model's order."""
    order = {id(variable): place for place, variable in enumerate(network.variables)}
    return {path: order[id(kernel)] for path, kernel in kernels.items()} if len(order) == len(found.sizes) else None


def by_name(
    kernels: Mapping[str, tf.Variable], network: keras.Model, found: FreshProcessResult
) -> dict[str, int] | None:
    """The places of kernels in a file whose variables have the paths of the model's weights as names."""
    # Names of nested models may stand before those of layers here, and not there.
    same = lambda name, path: f"/{name}".endswith(f"/{path}") or f"/{path}".endswith(f"/{name}")  # noqa: E731
    places = {path: [place for place, name in enumerate(found.names) if same(name, path)] for path in kernels}
    return {path: place[0] for path, place in places.items()} if all(len(p) == 1 for p in places.values()) else None


def _by_size(kernels: Mapping[str, tf.Variable], found: FreshProcessResult) -> dict[str, int | None]:
    paths = defaultdict(list)
    for path, kernel in kernels.items():
        paths[kernel.shape.num_elements()].append((int(np.sum(kernel.numpy() == 0)), path))
    zeros: dict[str, int | None] = dict.fromkeys(kernels)
    for size, ours in paths.items():
        theirs = sorted(found.zeros[(found.sizes == size) & (found.axes > 1)].tolist(), reverse=True)
        if theirs:
            # Kernels that are the same (all zeros) are kept once.
            theirs = theirs[:1] * max(0, len(ours) - len(theirs)) + theirs
            zeros |= {path: count for (_, path), count in zip(sorted(ours, reverse=True), theirs, strict=False)}
    return zeros
