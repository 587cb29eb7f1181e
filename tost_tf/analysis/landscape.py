"""The loss around trained weights and around test images (ToST, Figures 8 and 10)."""

from __future__ import annotations

import numpy as np
from tqdm import tqdm

from tost_tf.analysis.kept_weights import KeptWeights, loss_and_accuracy
from tost_tf.compat import keras


def loss_along_direction(
    model: keras.Model, direction: np.ndarray, distances: np.ndarray, images: np.ndarray, labels: np.ndarray
) -> list[dict]:
    """Loss and accuracy at the weights plus each distance times a unit vector (Figure 8 of the paper).

    Args:
      model: as for `KeptWeights`.
      direction: a vector of kept weights, such as the top eigenvector of the Hessian; made a unit vector.
      distances: how far.
      images, labels: the examples, labels one-hot.

    Returns:
      Rows of `distance`, `loss`, `accuracy`.
    """
    unit = direction / np.linalg.norm(direction)
    results = KeptWeights(model).losses_along([unit], np.asarray(distances)[:, None], images, labels)
    return [
        {"distance": float(distance), "loss": loss, "accuracy": accuracy}
        for distance, (loss, accuracy) in zip(distances, results, strict=True)
    ]


def filter_normalised_direction(weights: KeptWeights, seed: int) -> np.ndarray:
    """A random direction whose filters have the norms of the model's filters (Li et al. 2018, Section 4).

    Pruned weights do not move, nor do biases and BatchNormalization, as in that paper.
    """
    generator = np.random.default_rng(seed)
    parts = []
    kinds = zip(weights.variables, weights.masks, weights.kernels, weights.depthwise, strict=True)
    for variable, mask, is_kernel, is_depthwise in kinds:
        value = variable.numpy()
        drawn = generator.normal(size=value.shape) * mask
        # A filter is what gives one output channel: of a depthwise kernel, [..., channels, multiplier].
        axes = tuple(range(value.ndim - (2 if is_depthwise else 1)))
        norms = np.sqrt((drawn**2).sum(axes, keepdims=True))
        wanted = np.sqrt((value.astype(np.float64) ** 2).sum(axes, keepdims=True))
        parts.append(drawn * wanted / np.maximum(norms, 1e-12) if is_kernel else np.zeros(value.shape))
    return weights.flat(parts)


def weight_landscape(
    model: keras.Model, images: np.ndarray, labels: np.ndarray, points: int = 15, reach: float = 1.0, seed: int = 0
) -> list[dict]:
    """The loss on a plane through the weights, along two filter-normalised random directions.

    Args:
      model: as for `KeptWeights`.
      images, labels: the examples, labels one-hot.
      points: of the grid, a side.
      reach: the grid goes from -reach to reach in both directions.
      seed: of the directions.

    Returns:
      Rows of `x`, `y`, `loss`.
    """
    weights = KeptWeights(model)
    directions = [filter_normalised_direction(weights, 2 * seed + number) for number in (0, 1)]
    places = _grid(points, reach)
    results = weights.losses_along(directions, places, images, labels)
    return [{"x": x, "y": y, "loss": loss} for (x, y), (loss, _) in zip(places.tolist(), results, strict=True)]


def input_landscape(
    model: keras.Model, images: np.ndarray, labels: np.ndarray, points: int = 15, reach: float = 1.0, seed: int = 0
) -> list[dict]:
    """The mean loss of images moved along two random orthogonal directions, the same for all images.

    A direction has the root mean square 1 by pixel and channel, so `reach` is in the units of normalised pixels.

    Args, returns: as for `weight_landscape`.
    """
    generator = np.random.default_rng(seed)
    drawn, _ = np.linalg.qr(generator.normal(size=(images[0].size, 2)))
    one, two = (drawn * np.sqrt(images[0].size)).T.reshape(2, *images[0].shape).astype(np.float32)
    rows = []
    for x, y in tqdm(_grid(points, reach).tolist(), "inputs", leave=False, disable=None):
        loss, _ = loss_and_accuracy(model, images + np.float32(x) * one + np.float32(y) * two, labels)
        rows.append({"x": x, "y": y, "loss": loss})
    return rows


def _grid(points: int, reach: float) -> np.ndarray:
    line = np.linspace(-reach, reach, points)
    return np.stack(np.meshgrid(line, line, indexing="ij"), -1).reshape(-1, 2)
