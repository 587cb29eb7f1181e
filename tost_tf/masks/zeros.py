"""The mask given by the zeros in a model's weights, for a network that was published sparse."""

from __future__ import annotations

from tost_tf.compat import keras, tf
from tost_tf.errors import TostError
from tost_tf.masks.masks import Masks
from tost_tf.masks.search import FoundMask, MaskMethod, MaskSearch


def zeros(model: keras.Model, dataset: tf.data.Dataset | None = None, *, dense_layers: str = "") -> Masks:
    """The weights that are zero are pruned, all others are kept.

    Args:
      model: a model with zeros in its weights.
      dataset: not used.
      dense_layers: regular expression of the paths of layers that keep all their weights, zeros too.

    Raises:
      TostError: no weight is zero.

    Examples:
      >>> pruned = tost.strip(tost.sparsify(model, sparsity=0.9))  # as another tool would have made it
      >>> tost.masks.zeros(pruned)
      Masks(3 layers, 138 of 1384 weights kept, sparsity 0.9003)
    """
    del dataset
    return find(MaskSearch(model, 0.0, dense_layers=dense_layers)).masks


def find(search: MaskSearch) -> FoundMask:
    """As `zeros`."""
    masks = Masks({path: weight.numpy() != 0 for path, weight in search.weights().items()})
    if masks.kept == masks.size:
        raise TostError(
            f"no weight of {search.model.name} is zero, so its zeros give no mask: start from weights that were saved "
            "sparse, or find a mask in another way"
        )
    return search.found(masks)


METHOD = MaskMethod(find, has_scope=False, has_sparsity=False, has_layer_sparsity=False, is_quick=True)
