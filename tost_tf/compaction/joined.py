"""Which channels of a network can be removed, and which kernels write and read them."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

import numpy as np

from tost_tf.compaction.graph import Graph, Tensor
from tost_tf.compaction.rules import rules_of
from tost_tf.compaction.ties import classes_of
from tost_tf.compat import keras
from tost_tf.graph.copy import copy_layer, unwrapped_layer
from tost_tf.graph.kernels import walk
from tost_tf.graph.rebuild import rebuild


@dataclasses.dataclass(frozen=True)
class ChannelUse:
    """The channels a kernel reads and writes.

    Attributes:
      inputs: the number of the channel that each input reads; -1 for one that cannot be removed. `None` for a depthwise
        kernel, which reads the channels it writes.
      outputs: the same of what each output writes.
    """

    inputs: np.ndarray | None
    outputs: np.ndarray

    @property
    def can_shrink(self) -> bool:
        """Whether any of its channels can be removed."""
        return bool((self.outputs >= 0).any() or (self.inputs is not None and (self.inputs >= 0).any()))


def joined_channels(model: keras.Model, prunable: Collection[str]) -> dict[str, ChannelUse]:
    """The channels that kernels write and read; channels with one number are kept or removed together.

    They are those that compaction would remove together: tied by sums, activations, normalisations, and depthwise
    convolutions. Inputs and outputs of the model stay, and all channels of layers that compaction does not know.

    Args:
      model: a functional or Sequential model, sparse or not.
      prunable: paths of kernels that may lose channels; what the others write stays.

    Returns:
      Weight path -> its channels, of the kernels in `prunable` that compaction knows. Numbers are from 0 on.
    """
    plain = rebuild(model, lambda layer: copy_layer(unwrapped_layer(layer)))
    graph = Graph(plain)
    paths = {id(unwrapped): path for (path, _), (_, unwrapped) in zip(walk(model), walk(graph.source), strict=True)}
    rules = rules_of(graph)
    starts, size = {}, 0
    inputs = [Tensor(key, shape) for key, shape in zip(graph.inputs, graph.input_shapes, strict=True)]
    for tensor in (*inputs, *(tensor for rule in rules for tensor in rule.outputs)):
        starts[tensor.key] = (size, tensor.channels)
        size += tensor.channels

    def under(key: str) -> np.ndarray:
        start, channels = starts[key]
        return start + np.arange(channels)

    def atoms(tensor: Tensor) -> np.ndarray:
        return under(tensor.key)

    classes = classes_of(rules, atoms, size)
    used = {f"{paths.get(id(rule.layer))}/{name}": use for rule in rules for name, use in rule.kernels(atoms).items()}
    pinned = [under(key) for key in (*graph.inputs, *graph.outputs)]
    pinned += [pin for rule in rules for pin in rule.pinned(atoms)]
    pinned += [outputs for path, (_, outputs) in used.items() if path not in prunable]
    numbers = np.zeros(classes.max(initial=-1) + 1, int)
    numbers[classes[np.concatenate([outputs for _, outputs in used.values()] or [np.empty(0, int)])]] = 1
    numbers[classes[np.concatenate(pinned)]] = 0
    numbers = np.where(numbers, np.cumsum(numbers) - 1, -1)[classes]
    return {
        path: ChannelUse(None if reads is None else numbers[reads], numbers[writes])
        for path, (reads, writes) in used.items()
        if path in prunable
    }
