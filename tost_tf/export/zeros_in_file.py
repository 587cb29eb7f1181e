"""How many zeros the kernels of a network have in a file, as they were found there."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from tost_tf.compat import keras, tf
from tost_tf.export.verify import Elsewhere
from tost_tf.graph.kernels import prunable_weights


def zeros_in_file(kind: str, network: keras.Model, found: Elsewhere) -> dict[str, int | None]:
    """Weight path -> how many weights of that kernel are zero in the file, `None` where no variable has its size.

    Variables of a SavedModel are known by their order, those of a Keras 3 file by their names. TensorFlow Lite gives
    constants other names and an order of its own: of those with as many weights as kernels of the network have, the one
    with most zeros is taken for the kernel with most zeros, and so on.

    Args:
      kind: "saved_model", "keras3" or "tflite".
      network: what was written.
      found: what a fresh process found in the file.
    """
    kernels = prunable_weights(network)
    places = {"saved_model": _by_order, "keras3": _by_name}.get(kind, lambda *_: None)(kernels, network, found)
    if places is None or any(
        found.sizes[place] != kernels[path].shape.num_elements() for path, place in places.items()
    ):
        return _by_size(kernels, found)
    return {path: int(found.zeros[place]) for path, place in places.items()}


def _by_order(kernels: dict[str, tf.Variable], network: keras.Model, found: Elsewhere) -> dict[str, int] | None:
    order = {id(variable): place for place, variable in enumerate(network.variables)}
    return {path: order[id(kernel)] for path, kernel in kernels.items()} if len(order) == len(found.sizes) else None


def _by_name(kernels: dict[str, tf.Variable], network: keras.Model, found: Elsewhere) -> dict[str, int] | None:
    # Names of nested models may stand before those of layers here, and not there.
    same = lambda name, path: f"/{name}".endswith(f"/{path}") or f"/{path}".endswith(f"/{name}")  # noqa: E731
    places = {path: [place for place, name in enumerate(found.names) if same(name, path)] for path in kernels}
    return {path: place[0] for path, place in places.items()} if all(len(p) == 1 for p in places.values()) else None


def _by_size(kernels: dict[str, tf.Variable], found: Elsewhere) -> dict[str, int | None]:
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
