"""SNIP: the weights whose removal would change the loss most stay."""

from __future__ import annotations

from collections.abc import Iterable

from tost_tf.compat import keras
from tost_tf.masks.gradient_scores import ExamplesOptions, snip_scores
from tost_tf.masks.masks import Masks
from tost_tf.masks.search import Batch, FoundMask, MaskMethod, MaskSearch, first_batches


def snip(
    model: keras.Model,
    dataset: Iterable[Batch],
    *,
    sparsity: float,
    scope: str = "global",
    dense_layers: str = "",
    batches: int | None = None,
) -> Masks:
    """SNIP (Lee et al. 2019) on the first `batches` batches (all by default) of images and one-hot labels."""
    search = MaskSearch(model, sparsity, scope, dense_layers, examples=first_batches(dataset, batches))
    return find(search, ExamplesOptions()).masks


def find(search: MaskSearch, options: ExamplesOptions) -> FoundMask:
    """As `snip`."""
    search.require_one_copy()
    batches = search.batches(options.mask_examples_per_class)
    return search.select(snip_scores(search.model, search.weights(), batches))


METHOD = MaskMethod(find, ExamplesOptions)
