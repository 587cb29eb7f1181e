"""Whether the output of a masked network still depends on its input."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np

from tost_tf.compat import keras, tf
from tost_tf.errors import TostError, first_of
from tost_tf.graph.kernels import prunable_weights
from tost_tf.masks.masks import Masks
from tost_tf.masks.synaptic_flow import SynapticFlow

NO_PATH = "no path of kept weights leads from the input to the logits: they are the same for every input"
EXAMPLES = 4
ROUNDING = 1e-5  # outputs that differ less, relative to the largest, count as equal


def depends_on_input(model: keras.Model, masks: Mapping[str, np.ndarray]) -> bool:
    """Whether the outputs of a network with these masks depend on its input at all.

    They do not if every path from the input to the output, also through shortcuts, has a pruned weight in it; no layer
    need be empty for that. Random inputs are tried first, so most networks need only one forward pass.

    Args:
      model: a functional or Sequential tf_keras model; its weights are restored.
      masks: weight path -> 0/1; all weights without a mask are kept.

    Returns:
      `True` also for a network whose inputs have no fixed size or are not numbers: it is not checked.

    Raises:
      TostError: a mask is not one of a weight of the model, or holds other values than 0 and 1.

    Examples:
      >>> masks = tost.masks.erk(model, sparsity=0.9)
      >>> tost.masks.depends_on_input(model, masks)
      True
      >>> tost.masks.depends_on_input(model, dict(masks) | {"conv2/kernel": np.zeros((3, 3, 8, 16))})
      False
    """
    masks = require_masks_of(model, masks)
    for tensor in model.inputs:
        if not (tensor.shape[1:].is_fully_defined() and (tensor.dtype.is_floating or tensor.dtype.is_integer)):
            return True
    if _differ(model, masks):
        return True
    try:
        return SynapticFlow(model, paths_only=True).has_path(masks)
    except TostError:  # paths through gates and softmaxes cannot be counted: it may depend on the input
        return True


def require_masks_of(model: keras.Model, masks: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    """Masks of some weights of `model`, or of none.

    Raises:
      TostError: one is not a mask of a weight of the model, or holds other values than 0 and 1.
    """
    if not masks:
        return {}
    shapes = {path: tuple(weight.shape) for path, weight in prunable_weights(model).items()}
    given = Masks(masks).for_weights(shapes)
    given.require_match({path: shape for path, shape in shapes.items() if path in given}, model.name)
    return given


def name_collapsed(masks: Masks, model: keras.Model) -> None:
    """Logs which layers of `model` have no weight left and, if any, whether outputs still depend on the input."""
    layers = masks.collapsed_layers
    if not layers:
        return
    passes = "gradients pass there only through a shortcut, if there is one"
    effect = passes if depends_on_input(model, masks) else NO_PATH
    logging.warning("no weight is left in %d layer(s) of %s, %s: %s", len(layers), model.name, first_of(layers), effect)


def _differ(model: keras.Model, masks: Mapping[str, np.ndarray]) -> bool:
    """Whether the outputs for random inputs differ from each other."""
    generator = np.random.default_rng(0)
    inputs = [tf.constant(_random(generator, tensor), tensor.dtype) for tensor in model.inputs]
    with _masked(model, masks):
        outputs = tf.nest.flatten(model(inputs if len(inputs) > 1 else inputs[0], training=False))
    values = [np.asarray(output, np.float64) for output in outputs]
    return any(np.ptp(value, axis=0).max() > ROUNDING * np.abs(value).max() for value in values if value.size)


def _random(generator: np.random.Generator, tensor: tf.Tensor) -> np.ndarray:
    shape = (EXAMPLES, *tensor.shape[1:])
    # Integer inputs, such as token ids, can always be 0 and 1.
    return generator.normal(size=shape) if tensor.dtype.is_floating else generator.integers(0, 2, shape)


@contextmanager
def _masked(model: keras.Model, masks: Mapping[str, np.ndarray]) -> Iterator[None]:
    """Inside the block, the kernels are masked."""
    weights = prunable_weights(model)
    before = {path: weight.numpy() for path, weight in weights.items() if path in masks}
    try:
        for path, value in before.items():
            weights[path].assign(value * masks[path])
        yield
    finally:
        for path, value in before.items():
            weights[path].assign(value)
