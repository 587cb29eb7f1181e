"""The loss of a model as a function of its kept weights: all analyses stay in this subspace."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tost_tf.compat import keras, tf
from tost_tf.ghost.model import GhostModel
from tost_tf.graph.batch_norm import statistics_kept
from tost_tf.graph.kernels import current_masks, prunable_kernels, prunable_weights
from tost_tf.graph.labels import one_hot
from tost_tf.graph.logits import classes_of
from tost_tf.graph.summed_loss import summed_loss
from tost_tf.progress import progress


class KeptWeights:
    """The trainable weights of a model as one long vector, in which pruned weights are always zero.

    Args:
      model: a model made by `sparsify`, a `GhostModel` (its view in use), or a plain model: there, weights of prunable
        kernels that are exactly zero count as pruned.

    Attributes:
      variables: the trainable weights.
      masks: for each variable an array, 1 where a weight is kept.
      output_axes: for each variable that is a prunable kernel the axes of its outputs, counted from the end; `None` for
        any other.
      kernels: for each variable whether it is a prunable kernel.
      size: the length of the vector, pruned weights included.
    """

    def __init__(self, model: keras.Model):
        self.model = model
        variables = list(model.trainable_weights)
        outputs = {id(kernel.variable): kernel.axes[1] for kernel in prunable_kernels(self._network).values()}
        self.output_axes = [outputs.get(id(variable)) for variable in variables]
        self.kernels = [axes is not None for axes in self.output_axes]
        self.read_masks()
        self.variables: list[tf.Variable] = [_local(variable) for variable in variables]
        self.size = sum(mask.size for mask in self.masks)

    @property
    def _network(self) -> keras.Model:
        return self.model.plain if isinstance(self.model, GhostModel) else self.model

    def read_masks(self) -> None:
        """Reads the masks again, after they may have changed."""
        current, kernels = current_masks(self._network), prunable_weights(self._network)
        by_kernel = {id(kernel): current.get(path, kernel.numpy() != 0) for path, kernel in kernels.items()}
        variables = self.model.trainable_weights
        self.masks = [np.asarray(by_kernel.get(id(v), np.ones(v.shape)), np.float32) for v in variables]

    def flat(self, arrays: list) -> np.ndarray:
        """Joins one array for each variable to a vector in double precision, with pruned weights set to zero."""
        return np.concatenate(
            [(np.asarray(a, np.float64) * m).ravel() for a, m in zip(arrays, self.masks, strict=True)]
        )

    def parts(self, vector: np.ndarray) -> list[np.ndarray]:
        """Splits a vector into one array for each variable, with its shape and type."""
        ends = np.cumsum([mask.size for mask in self.masks])[:-1]
        return [
            part.reshape(variable.shape).astype(variable.dtype.as_numpy_dtype)
            for part, variable in zip(np.split(vector, ends), self.variables, strict=True)
        ]

    def losses_along(
        self,
        directions: list[np.ndarray],
        places: np.ndarray,
        images: np.ndarray,
        labels: np.ndarray,
        loss: str | Callable | None = None,
    ) -> list[tuple[float, float]]:
        """Loss and accuracy at the weights plus combinations of directions; the weights are restored afterwards.

        Args:
          directions: vectors as `flat` returns them.
          places: coefficients, [places, directions].
          images, labels, loss: as for `loss_and_accuracy`.

        Returns:
          (loss, accuracy) for each place.
        """
        before = [variable.numpy() for variable in self.variables]
        steps = [self.parts(direction) for direction in directions]
        results = []
        with statistics_kept(self.model):
            try:
                for place in progress(places, "losses"):
                    for index, (variable, value) in enumerate(zip(self.variables, before, strict=True)):
                        moved = sum(c * step[index] for c, step in zip(place, steps, strict=True))
                        variable.assign(value + moved)
                    results.append(loss_and_accuracy(self.model, images, labels, loss))
            finally:
                for variable, value in zip(self.variables, before, strict=True):
                    variable.assign(value)
        return results


def _local(variable: tf.Variable) -> tf.Variable:
    """The first copy of a variable that is on several replicas: derivatives are computed outside the replicas."""
    strategy = getattr(variable, "distribute_strategy", None)
    return strategy.experimental_local_results(variable)[0] if strategy else variable


def loss_and_accuracy(
    model: keras.Model, images: np.ndarray, labels: np.ndarray, loss: str | Callable | None = None, batch: int = 500
) -> tuple[float, float]:
    """The mean loss, and the accuracy, in inference mode.

    The loss is the cross-entropy of a classifier, with labels one-hot or integers, or any `loss` of Keras; there the
    accuracy is NaN.
    """
    labels = labels_for(model, labels, loss)
    total, right, of_batch = 0.0, 0.0, summed_loss(model, loss)
    for start in range(0, len(images), batch):
        outputs = model(tf.constant(images[start : start + batch]), training=False)
        truth = labels[start : start + batch]
        total += float(of_batch(truth, outputs))
        right += float("nan") if loss is not None else float(np.sum(np.argmax(outputs, 1) == np.argmax(truth, 1)))
    return total / len(images), right / len(images)


def labels_for(model: keras.Model, labels: np.ndarray, loss: str | Callable | None) -> np.ndarray:
    """Labels as the loss takes them: one-hot for the cross-entropy of a classifier, as they are for any other."""
    return np.asarray(labels if loss is not None else one_hot(labels, classes_of(model)))
