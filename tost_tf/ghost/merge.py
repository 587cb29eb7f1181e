"""Merges ghost branches into one kernel and one BatchNormalization, exactly in inference.

In inference a branch is γ/σ · (kernel * x + bias - mean) + β by filter, so the sum of the branches is again a kernel
under the same mask and an offset (as in Ding et al. 2021, "RepVGG", for dense kernels). It is written as kernel and
BatchNormalization so that training can go on.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from tost_tf.compat import keras, tf
from tost_tf.ghost.branches import GhostBranches, filter_norms
from tost_tf.ghost.inputs import some_inputs
from tost_tf.graph.copy import unwrapped_layer
from tost_tf.graph.noise import noise_off
from tost_tf.graph.replaced_calls import calls_replaced


@dataclasses.dataclass(frozen=True)
class Branch:
    """The numbers of a branch: the kernel, masked, and one of each of BatchNormalization's for each filter."""

    kernel: np.ndarray
    gamma: np.ndarray
    beta: np.ndarray
    mean: np.ndarray
    variance: np.ndarray


def merged(
    branches: Sequence[Branch], bias: np.ndarray | float, epsilon: float, output_axes: tuple[int, ...]
) -> Branch:
    """One branch that computes the sum of all.

    Each filter has the root mean square of its norms in the branches. Mean and variance are estimated from those of the
    branches, as if these were uncorrelated; whatever they are, gamma and beta make up for it in inference. A filter of
    which nothing is left in the sum, as all its gammas are zero, is that of the first branch, with gamma zero.

    Args:
      branches: at least one.
      bias: of the convolution, the same in all branches.
      epsilon: of BatchNormalization.
      output_axes: of the kernels' filters, counted from the end.
    """
    factors = [branch.gamma / np.sqrt(branch.variance + epsilon) for branch in branches]
    shape = filter_norms(branches[0].kernel, output_axes).shape
    pairs = list(zip(branches, factors, strict=True))
    total = sum(factor.reshape(shape) * branch.kernel for branch, factor in pairs)
    offset = sum(branch.beta + factor * (bias - branch.mean) for branch, factor in pairs)
    norm = filter_norms(total, output_axes).ravel()
    wanted = np.sqrt(np.mean([filter_norms(branch.kernel, output_axes).ravel() ** 2 for branch in branches], axis=0))
    left = norm > 0
    scale = np.divide(wanted, norm, out=np.ones_like(norm), where=left)
    mean = bias + scale * (sum(branch.beta for branch in branches) - offset)
    variance = scale**2 * sum(factor**2 * branch.variance for branch, factor in pairs)
    first = branches[0]
    mean, variance = np.where(left, mean, first.mean), np.where(left, variance, first.variance)
    return Branch(
        np.where(left.reshape(shape), scale.reshape(shape) * total, first.kernel),
        np.where(left, np.sqrt(variance + epsilon) / scale, 0),
        np.where(left, offset + (mean - bias) / scale, offset),
        mean,
        variance,
    )


def merged_variables(layer: GhostBranches) -> tuple[tf.Variable, ...]:
    """What merging changes of the network itself, in the order of the fields of `Branch`."""
    normalization = layer.normalization
    return layer.first_kernel, *_variables(normalization)


def merge_branches(ghosted: keras.Model, plain: keras.Model, layers: Sequence[GhostBranches], data: Any) -> None:
    """Merges the branches of layers of a view with ghosts into those of the plain view; inference stays the same.

    First BatchNormalization gets the statistics of some inputs, as moving averages lag behind; afterwards the merged
    one has those of what it reads.

    Args:
      ghosted: the view with ghosts.
      plain: the view without.
      layers: whose branches are not merged yet.
      data: as for `some_inputs`.
    """
    bring_up_to_date(ghosted, some_inputs(data))
    for layer in layers:
        write_merged(layer)
        retire(layer)
    renormalise(plain, [layer.normalization for layer in layers], some_inputs(data))


@contextlib.contextmanager
def as_if_merged(layers: Sequence[GhostBranches]) -> Iterator[None]:
    """In its block the network without ghosts computes, in inference, what the branches compute together."""
    before = [(variable, variable.numpy()) for layer in layers for variable in merged_variables(layer)]
    for layer in layers:
        write_merged(layer)
    try:
        yield
    finally:
        for variable, value in before:
            variable.assign(value)


def write_merged(layer: GhostBranches) -> None:
    """Puts the sum of the branches into the layer of the network and its BatchNormalization; nothing else changes."""
    own = unwrapped_layer(layer.layer)
    bias = own.bias.numpy().astype(np.float64) if own.use_bias else 0.0
    branches = [
        Branch(_double(layer.masked(tf.convert_to_tensor(kernel))), *(_double(v) for v in _variables(normalization)))
        for kernel, normalization in zip(layer.kernels, layer.normalizations, strict=True)
    ]
    result = merged(branches, bias, layer.normalization.epsilon, layer.output_axes)
    for variable, field in zip(merged_variables(layer), dataclasses.fields(Branch), strict=True):
        _assign(variable, getattr(result, field.name))


def retire(layer: GhostBranches) -> None:
    """Ends the branches besides the first: from now on they add zero."""
    for normalization in layer.new_normalizations:
        for variable in (normalization.gamma, normalization.beta):
            variable.assign(tf.zeros_like(variable))
    layer.merged.assign(True)


def bring_up_to_date(model: keras.Model, batches: Iterable[Any]) -> None:
    """Sets the moving statistics of all BatchNormalization to those of some inputs, each batch normalised by its own.

    Moving averages lag behind weights that change fast: then inference is another function than the one that is
    trained, and branches that are merged by them would start again from that.

    Args:
      model: its other weights do not change.
      batches: of inputs of the model; without any, nothing changes.
    """
    layers = [part for part in model.submodules if isinstance(part, keras.layers.BatchNormalization) and part.trainable]
    with noise_off(model):
        sums = _recorded(model, layers, batches, training=True)
    for found in sums:
        found.write_statistics()


def renormalise(model: keras.Model, layers: Iterable[keras.layers.Layer], batches: Iterable[Any]) -> None:
    """Sets the moving statistics to those of some inputs in inference, and gamma and beta so that outputs stay.

    Args:
      model: has the layers.
      layers: of BatchNormalization, with gamma and beta.
      batches: of inputs of the model; without any, nothing changes.
    """
    for found in _recorded(model, layers, batches, training=False):
        found.write_alike()


def _recorded(
    model: keras.Model, layers: Iterable[keras.layers.Layer], batches: Iterable[Any], training: bool
) -> list[_Sums]:
    """What each of the layers reads in some passes."""
    sums = {id(layer): _Sums(layer) for layer in layers}

    def recording(layer: keras.layers.Layer, call: Callable) -> Callable:
        def call_and_record(inputs, *args, **kwargs):
            sums[id(layer)].add(inputs)
            return call(inputs, *args, **kwargs)

        return call_and_record

    with calls_replaced([found.layer for found in sums.values()], recording):
        for inputs in batches:
            model(inputs, training=training)
    return [found for found in sums.values() if found.count]


class _Sums:
    """Sums over what a BatchNormalization reads, by channel."""

    def __init__(self, layer: keras.layers.Layer):
        self.layer, self.count = layer, 0
        self._start = _double(layer.moving_mean)  # sums of differences to it keep more digits
        self._sum = self._squares = np.zeros_like(self._start)

    def add(self, inputs: tf.Tensor) -> None:
        values = np.moveaxis(tf.cast(inputs, tf.float32).numpy(), self.layer.axis[0], -1)
        values = values.reshape(-1, values.shape[-1]).astype(np.float64) - self._start
        self.count += len(values)
        self._sum, self._squares = self._sum + values.sum(0), self._squares + np.square(values).sum(0)

    @property
    def _statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """The mean and the variance."""
        mean = self._sum / self.count
        return self._start + mean, np.maximum(self._squares / self.count - np.square(mean), 0)

    def write_statistics(self) -> None:
        for variable, value in zip((self.layer.moving_mean, self.layer.moving_variance), self._statistics, strict=True):
            _assign(variable, value)

    def write_alike(self) -> None:
        """Writes the statistics, and gamma and beta so that inference stays the same."""
        layer = self.layer
        gamma, beta, mean, variance = map(_double, _variables(layer))
        new_mean, new_variance = self._statistics
        factor = gamma / np.sqrt(variance + layer.epsilon)
        new = factor * np.sqrt(new_variance + layer.epsilon), beta + factor * (new_mean - mean), new_mean, new_variance
        for variable, value in zip(_variables(layer), new, strict=True):
            _assign(variable, value)


def _variables(layer: keras.layers.BatchNormalization) -> tuple[tf.Variable, ...]:
    return layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance


def _double(values: tf.Tensor | tf.Variable) -> np.ndarray:
    return values.numpy().astype(np.float64)


def _assign(variable: tf.Variable, value: np.ndarray) -> None:
    variable.assign(value.astype(variable.dtype.as_numpy_dtype))
