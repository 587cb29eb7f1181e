"""The loss of a model as a function of its kept weights: all analyses stay in this subspace."""

from __future__ import annotations

import numpy as np

from tost_tf.compat import keras, tf
from tost_tf.ghost.model import GhostModel
from tost_tf.graph.batch_norm import statistics_kept
from tost_tf.graph.kernels import current_masks, prunable_weights
from tost_tf.graph.labels import one_hot
from tost_tf.graph.logits import classes_of, to_logits
from tost_tf.progress import progress


class KeptWeights:
    """The trainable weights of a model as one long vector, in which pruned weights are always zero.

    Args:
      model: a model made by `sparsify`, a `GhostModel` (its view in use), or a plain model: there, weights of prunable
        kernels that are exactly zero count as pruned.

    Attributes:
      variables: the trainable weights.
      masks: for each variable an array, 1 where a weight is kept.
      kernels, depthwise: for each variable whether it is a prunable kernel, and a depthwise one.
      size: the length of the vector, pruned weights included.
    """

    def __init__(self, model: keras.Model):
        self.model = model
        variables = list(model.trainable_weights)
        kernels = {id(kernel) for kernel in prunable_weights(self._network).values()}
        self.kernels = [id(variable) in kernels for variable in variables]
        self.read_masks()
        self.depthwise = [variable.name.endswith("depthwise_kernel:0") for variable in variables]
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

    def losses_along(self, directions: list[np.ndarray], places: np.ndarray, images, labels) -> list[tuple]:
        """Loss and accuracy at the weights plus combinations of directions; the weights are restored afterwards.

        Args:
          directions: vectors as `flat` returns them.
          places: coefficients, [places, directions].
          images, labels: one-hot labels; the loss is cross-entropy, the model in inference mode.

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
                    results.append(loss_and_accuracy(self.model, images, labels))
            finally:
                for variable, value in zip(self.variables, before, strict=True):
                    variable.assign(value)
        return results


def _local(variable: tf.Variable) -> tf.Variable:
    """The first copy of a variable that is on several replicas: derivatives are computed outside the replicas."""
    strategy = getattr(variable, "distribute_strategy", None)
    return strategy.experimental_local_results(variable)[0] if strategy else variable


def loss_and_accuracy(model: keras.Model, images: np.ndarray, labels: np.ndarray, batch: int = 500) -> tuple:
    """Mean cross-entropy for labels (one-hot or integers), and accuracy, in inference mode."""
    labels = np.asarray(one_hot(labels, classes_of(model)))
    loss, right, as_logits = 0.0, 0.0, to_logits(model)
    for start in range(0, len(images), batch):
        logits = as_logits(model(tf.constant(images[start : start + batch]), training=False))
        truth = labels[start : start + batch]
        loss += float(tf.reduce_sum(tf.nn.softmax_cross_entropy_with_logits(truth, logits)))
        right += float(np.sum(np.argmax(logits, 1) == np.argmax(truth, 1)))
    return loss / len(images), right / len(images)
