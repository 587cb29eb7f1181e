"""The gradients of a masked network's kernels without their masks, from one batch."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from tost_tf.compat import keras, tf
from tost_tf.errors import TostError
from tost_tf.graph.batch_norm import statistics_kept
from tost_tf.graph.kernels import prunable_layers
from tost_tf.masks.sparsify import masked_kernels
from tost_tf.masks.wrapper import FixedMask


class DenseGradients:
    """Computes them where the optimizer keeps none, at the cost of a training step for each update of the masks.

    So it costs 1 / `update_every` of the training, and a pass over the input pipeline that is as long as that.

    Args:
      model: compiled; made by `sparsify`, or a `GhostModel`, whose view in use is differentiated.
      data: batches (inputs, labels, and weights of the examples if any), taken in turn; it begins again at its end.
    """

    def __init__(self, model: keras.Model, data: Iterable[Any]):
        self._model, self._data = model, data
        self._batches = iter(())
        self._functions: dict[int, Callable] = {}

    def __call__(self) -> dict[str, np.ndarray]:
        """Weight path -> gradient of the kernel, from the next batch."""
        inputs, labels, weights = keras.utils.unpack_x_y_sample_weight(self._next())
        kernels = {path: masked.kernel for path, masked in masked_kernels(_plain(self._model)).items()}
        view = getattr(self._model, "view", self._model)
        if id(view) not in self._functions:
            self._functions[id(view)] = tf.function(self._gradients, reduce_retracing=True)
        metrics = [(variable, variable.numpy()) for m in self._model.metrics for variable in m.variables]
        with _unmasked(_plain(self._model)), statistics_kept(self._model):
            gradients = self._functions[id(view)](inputs, labels, weights)
        for variable, value in metrics:  # those of the loss have counted this batch
            variable.assign(value)
        return {path: gradient.numpy() for path, gradient in zip(kernels, gradients, strict=True)}

    def _gradients(self, inputs: Any, labels: Any, weights: Any) -> list[tf.Tensor]:
        kernels = [masked.kernel for masked in masked_kernels(_plain(self._model)).values()]
        view = getattr(self._model, "view", self._model)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(kernels)
            outputs = view(inputs, training=True)
            loss = self._model.compute_loss(inputs, labels, outputs, weights)
        gradients = tape.gradient(loss, kernels, unconnected_gradients="zero")
        return [tf.convert_to_tensor(gradient) for gradient in gradients]

    def _next(self) -> Any:
        batch = next(self._batches, None)
        if batch is None:
            self._batches = iter(self._data)
            batch = next(self._batches, None)
        if batch is None:  # a StopIteration here would end the training as if its own data had ended
            raise TostError(
                "the data for gradients has no batch left: give what can be gone through again, such as a "
                "tf.data.Dataset or arrays"
            )
        return tf.nest.map_structure(tf.convert_to_tensor, batch)


def _plain(model: keras.Model) -> keras.Model:
    return getattr(model, "plain", model)


@contextlib.contextmanager
def _unmasked(model: keras.Model) -> Iterator[None]:
    """What is traced meanwhile gives pruned weights the gradient they would have without a mask."""
    wrappers = [layer for _, layer in prunable_layers(model) if isinstance(layer, FixedMask)]
    before = [wrapper.dense_gradients for wrapper in wrappers]
    for wrapper in wrappers:
        wrapper.dense_gradients = True
    try:
        yield
    finally:
        for wrapper, value in zip(wrappers, before, strict=True):
            wrapper.dense_gradients = value
