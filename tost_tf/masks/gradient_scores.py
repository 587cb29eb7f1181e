"""Scores from gradients of the training loss at the model's current weights: SNIP and GraSP.

Both sum over the examples of all batches, so without BatchNormalization the division into batches does not matter.
BatchNormalization uses the statistics of each batch; its running statistics are restored afterwards.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tost_tf.compat import keras, tf
from tost_tf.graph.batch_norm import statistics_kept
from tost_tf.graph.finite import first_not_finite
from tost_tf.graph.second_derivatives import twice_differentiable
from tost_tf.graph.summed_loss import SummedLoss, summed_loss
from tost_tf.masks.search import Batch, FoundMask, MaskMethod, MaskSearch
from tost_tf.masks.select import require_finite
from tost_tf.options import option
from tost_tf.progress import progress

GRASP_TEMPERATURE = 200.0


@dataclasses.dataclass(frozen=True)
class ExamplesOptions:
    """The images of snip and grasp."""

    mask_examples_per_class: int = option(10, "training images of each class for snip and grasp", minimum=1)


def by_gradients(scores: Callable[..., dict[str, np.ndarray]]) -> MaskMethod:
    """The method that keeps the weights with the highest `scores(model, weights, batches)`."""

    def find(search: MaskSearch, options: ExamplesOptions) -> FoundMask:
        return found_by_gradients(search, scores, options)

    return MaskMethod(find, ExamplesOptions)


def found_by_gradients(
    search: MaskSearch,
    scores: Callable[..., dict[str, np.ndarray]],
    options: ExamplesOptions,
    loss: str | Callable | None = None,
) -> FoundMask:
    """The mask of the highest `scores(model, weights, batches, loss)`; `loss` is any of Keras, or cross-entropy."""
    search.require_one_copy()
    search.require_fit()
    count = options.mask_examples_per_class
    batches = search.batches(count) if loss is None else list(search.examples(count))
    return search.select(scores(search.model, search.weights(), batches, loss))


def snip_scores(
    model: keras.Model,
    weights: Mapping[str, tf.Variable],
    batches: Sequence[Batch],
    loss: str | Callable | None = None,
) -> dict[str, np.ndarray]:
    """|g·θ| with g the summed gradient of the cross-entropy (Lee et al. 2019, "SNIP", Section 4.1)."""
    kernels, of_batch = list(weights.values()), summed_loss(model, loss)

    @tf.function(reduce_retracing=True)
    def gradients(images: tf.Tensor, labels: tf.Tensor) -> list[tf.Tensor]:
        return _loss_gradients(model, of_batch, kernels, images, labels)

    with statistics_kept(model):
        sums = _summed(gradients, model, weights, batches, "SNIP")
    return {path: np.abs(total * weights[path].numpy()) for path, total in sums.items()}


def grasp_scores(
    model: keras.Model,
    weights: Mapping[str, tf.Variable],
    batches: Sequence[Batch],
    loss: str | Callable | None = None,
) -> dict[str, np.ndarray]:
    """θ·Hg of the cross-entropy with logits divided by 200; the LARGEST stay (Wang et al. 2020, Section 4).

    In the paper's words, the weights with the highest -θ·Hg are removed. g is the gradient summed over all batches and
    treated as constant. Hg is summed over batches, as the gradient of the product of g and the batch's gradient.
    """
    kernels, of_batch = list(weights.values()), summed_loss(model, loss, GRASP_TEMPERATURE)

    @tf.function(reduce_retracing=True)
    def gradients(images: tf.Tensor, labels: tf.Tensor) -> list[tf.Tensor]:
        return _loss_gradients(model, of_batch, kernels, images, labels)

    with statistics_kept(model):
        sums = _summed(gradients, model, weights, batches, "GraSP, first pass")
        fixed = [tf.constant(sums[path], weight.dtype) for path, weight in weights.items()]

        def hessian_times_fixed(images: tf.Tensor, labels: tf.Tensor) -> list[tf.Tensor]:
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(kernels)
                own = _loss_gradients(model, of_batch, kernels, images, labels)
                product = tf.add_n([tf.reduce_sum(one * other) for one, other in zip(fixed, own, strict=True)])
            return tape.gradient(product, kernels, unconnected_gradients="zero")

        second = twice_differentiable(hessian_times_fixed, model, kernels)
        products = _summed(second, model, weights, batches, "GraSP, second pass")
    return {path: total * weights[path].numpy() for path, total in products.items()}


def _loss_gradients(
    model: keras.Model,
    of_batch: SummedLoss,
    kernels: list[tf.Variable],
    images: tf.Tensor,
    labels: tf.Tensor,
) -> list[tf.Tensor]:
    """Gradients of the sum of the examples' losses."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(kernels)
        loss = of_batch(labels, model(images, training=True))
    return tape.gradient(loss, kernels, unconnected_gradients="zero")


def _summed(
    function: Callable[[tf.Tensor, tf.Tensor], list[tf.Tensor]],
    model: keras.Model,
    weights: Mapping[str, tf.Variable],
    batches: Sequence[Batch],
    title: str,
) -> dict[str, np.ndarray]:
    """The sum of `function` over the batches, in double precision, by weight path."""
    sums = {path: np.zeros(tuple(weight.shape)) for path, weight in weights.items()}
    for number, (images, labels) in enumerate(progress(batches, title), 1):
        values = {path: tensor.numpy() for path, tensor in zip(sums, function(images, labels), strict=True)}
        _require_finite(values, f" in batch {number} ({title})", model, images)
        for path, value in values.items():
            sums[path] += value
    return sums


def _require_finite(values: Mapping[str, np.ndarray], place: str, model: keras.Model, images: tf.Tensor) -> None:
    """As `require_finite`, naming what is wrong in the forward pass, or else the wrong score nearest to the loss."""
    if all(np.isfinite(value).all() for value in values.values()):
        return
    cause = first_not_finite(model, images)
    # Backpropagation passes NaN on to all layers before.
    nearest_first = dict(reversed(values.items()))
    require_finite(values if cause else nearest_first, f"{place}, because of {cause}" if cause else place)
