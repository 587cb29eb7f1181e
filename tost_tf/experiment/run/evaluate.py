"""Accuracy and loss of a model on a part of the data."""

from __future__ import annotations

import dataclasses

import numpy as np

from tost_tf.compat import keras, tf
from tost_tf.data.images import ImageData, LabelledImages
from tost_tf.data.pipeline import evaluation_batches


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Accuracy in [0, 1], and mean cross-entropy for the hard labels, without any label smoothing."""

    accuracy: float
    loss: float


def evaluate(model: keras.Model, data: ImageData, part: LabelledImages) -> Evaluation:
    """Evaluates `model` on all images of `part`."""
    logits = model.predict(evaluation_batches(data, part).map(lambda images, labels: images), verbose=0)
    logits = logits.astype(np.float64)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(part.labels, logits).numpy()
    return Evaluation(float(np.mean(logits.argmax(axis=1) == part.labels)), float(losses.mean()))
