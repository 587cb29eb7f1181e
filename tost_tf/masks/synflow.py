"""SynFlow (Tanaka et al. 2020): pruning without data, by the flow of absolute weights through the network."""

from collections.abc import Callable, Mapping

import numpy as np
from tqdm import tqdm

from tost_tf.compat import keras, tf
from tost_tf.errors import TostError
from tost_tf.graph.copy import copy_layer, unwrapped_layer
from tost_tf.graph.rebuild import rebuild
from tost_tf.masks.allocate import kept_count
from tost_tf.masks.mask import Masks
from tost_tf.masks.prunable import prunable_weights
from tost_tf.masks.select import require_finite

# Layers whose output is not a sum of what they read with positive weights.
BENDING = (
    *(keras.layers.Activation, keras.layers.ReLU, keras.layers.LeakyReLU, keras.layers.PReLU, keras.layers.ELU),
    *(keras.layers.ThresholdedReLU, keras.layers.Softmax, keras.layers.Dropout),
    *(keras.layers.Normalization, keras.layers.Rescaling, keras.layers.LayerNormalization),
)


class SynapticFlow:
    """The scores |∂R/∂θ · θ| of a network, R the sum of its outputs for one all-ones input.

    Computed on a copy in double precision (the flow through a deep network overflows single precision), in which every
    parameter and every BatchNormalization statistic is made absolute and BatchNormalization is in inference mode, as
    in the original; in training mode the scores would be differences of nearly equal numbers. The model itself is not
    touched.

    Args:
      model: whose weights are scored.
      paths_only: count paths of kept weights instead of weighing them: every weight is 1, every bias 0, and what would
        bend the flow (activations, their caps, max pooling, normalisations) lets it through.
    """

    def __init__(self, model: keras.Model, paths_only: bool = False):
        self._copy = rebuild(model, _linear if paths_only else _in_double_precision)
        for variable in self._copy.variables:
            variable.assign(_one_or_zero(variable) if paths_only else tf.abs(variable))
        self._kernels = prunable_weights(self._copy)
        self._absolute = {path: kernel.numpy() for path, kernel in self._kernels.items()}
        kernels = list(self._kernels.values())
        shapes = [tensor.shape[1:] for tensor in self._copy.inputs]
        if not all(shape.is_fully_defined() for shape in shapes):
            raise TostError(f"{model.name} takes inputs of any size: SynFlow needs a model with a fixed input shape")
        ones = [tf.ones((1, *shape), tf.float64) for shape in shapes]

        @tf.function
        def gradients() -> list[tf.Tensor]:
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(kernels)
                outputs = tf.nest.flatten(self._copy(ones if len(ones) > 1 else ones[0], training=False))
                flow = tf.add_n([tf.reduce_sum(output) for output in outputs])
            return tape.gradient(flow, kernels, unconnected_gradients="zero")

        self._gradients = gradients

    def scores(self, masks: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The scores by weight path, with only the weights the masks keep in place."""
        for path, kernel in self._kernels.items():
            kernel.assign(self._absolute[path] * masks[path] if path in masks else self._absolute[path])
        return {
            path: np.abs(gradient.numpy() * kernel.numpy())
            for (path, kernel), gradient in zip(self._kernels.items(), self._gradients(), strict=True)
        }


def prune_iteratively(
    score: Callable[[Masks], dict[str, np.ndarray]],
    select: Callable[[dict[str, np.ndarray], int, Masks], Masks],
    masks: Masks,
    iterations: int,
) -> Masks:
    """Scores and selects again and again.

    Args:
      score: from the present masks to scores.
      select: from scores, the number of the step (1 to `iterations`) and the present masks to masks inside those.
      masks: to start from.
      iterations: how many steps.

    Raises:
      TostError: a score is not finite; the layer is named.
    """
    for step in tqdm(range(1, iterations + 1), "SynFlow", leave=False, disable=None):
        found = score(masks)
        require_finite(found, f" in step {step} of SynFlow")
        masks = select(found, step, masks)
    return masks


def falling_count(left: int, size: int, sparsity: float, step: int, iterations: int) -> int:
    """How many of `size` weights stay after a step, if their density falls exponentially (Tanaka et al. 2020, Alg. 1).

    It falls from left/size before step 1 to 1 - sparsity, so that the last of the `iterations` keeps exactly
    round((1 - sparsity)·size). Where at least so many are `left`, no step keeps more than the one before.
    """
    if step == iterations:
        return kept_count(size, sparsity)
    return round(left * ((1 - sparsity) * size / left) ** (step / iterations))


def _in_double_precision(layer: keras.layers.Layer) -> keras.layers.Layer:
    return copy_layer(unwrapped_layer(layer), "float64")


def _one_or_zero(variable: tf.Variable) -> tf.Tensor:
    is_offset = variable.name.split("/")[-1].split(":")[0] in ("bias", "beta", "moving_mean")
    return tf.zeros_like(variable) if is_offset else tf.ones_like(variable)


def _linear(layer: keras.layers.Layer) -> keras.layers.Layer:
    """A stand-in that lets the flow through as it is, for what would bend it."""
    layer = unwrapped_layer(layer)
    pooling = type(layer).__name__.replace("Max", "Average")
    if isinstance(layer, BENDING):
        return keras.layers.Activation("linear", name=layer.name, dtype="float64")
    if pooling != type(layer).__name__ and "Pooling" in pooling:
        return getattr(keras.layers, pooling).from_config(layer.get_config() | {"dtype": "float64"})
    return copy_layer(layer, "float64", **({"activation": "linear"} if "activation" in layer.get_config() else {}))
