"""SNIP: keeps the weights whose removal would change the loss most."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tost_tf.compat import keras
from tost_tf.masks.gradient_scores import ExamplesOptions, by_gradients, snip_scores
from tost_tf.masks.masks import Masks
from tost_tf.masks.search import Batch, MaskSearch, first_batches

METHOD = by_gradients(snip_scores)


def snip(
    model: keras.Model,
    dataset: Iterable[Batch],
    *,
    sparsity: float,
    scope: str = "global",
    dense_layers: str = "",
    layer_sparsity: Mapping[str, float] | None = None,
    batches: int | None = None,
) -> Masks:
    """SNIP (Lee et al. 2019) on the first `batches` batches (all by default) of images and one-hot labels."""
    examples = first_batches(dataset, batches)
    search = MaskSearch(model, sparsity, scope, dense_layers, examples=examples, layer_sparsity=layer_sparsity)
    return METHOD.find(search, ExamplesOptions()).masks
