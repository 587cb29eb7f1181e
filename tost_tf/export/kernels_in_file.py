"""How many zeros the kernels of a network have in an exported file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import numpy as np

from tost_tf.compat import keras, tf
from tost_tf.compat.layers import variables_of
from tost_tf.export.format import Format
from tost_tf.export.fresh_process import FreshProcessResult
from tost_tf.graph.kernels import prunable_weights


def zeros_by_kernel(kind: Format, network: keras.Model, found: FreshProcessResult) -> dict[str, int | None]:
    """Weight path -> number of zeros of that kernel in the file, `None` if no variable has its size.

    Args:
      kind: the file's format, which finds the kernels in the file. If it cannot, kernels and variables of the same
        size are matched in the order of their number of zeros.
      network: the model that was written.
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
    """The indices of kernels in a file that has the model's variables in the model's order."""
    order = {id(variable): place for place, variable in enumerate(variables_of(network))}
    return {path: order[id(kernel)] for path, kernel in kernels.items()} if len(order) == len(found.sizes) else None


def by_name(
    kernels: Mapping[str, tf.Variable], network: keras.Model, found: FreshProcessResult
) -> dict[str, int] | None:
    """The indices of kernels in a file whose variables are named by the paths of the model's weights."""
    # One of the two names may have the name of a nested model in front.
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
            # Equal kernels (all zeros) are stored once.
            theirs = theirs[:1] * max(0, len(ours) - len(theirs)) + theirs
            zeros |= {path: count for (_, path), count in zip(sorted(ours, reverse=True), theirs, strict=False)}
    return zeros
