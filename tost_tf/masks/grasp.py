"""GraSP: keeps the weights whose removal would lower the gradient flow most."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tost_tf.compat import keras
from tost_tf.graph.batches import Data
from tost_tf.masks.gradient_scores import ExamplesOptions, by_gradients, found_by_gradients, grasp_scores
from tost_tf.masks.masks import Masks
from tost_tf.masks.patterns.pattern import UNSTRUCTURED, Pattern
from tost_tf.masks.search import MaskSearch, first_batches

METHOD = by_gradients(grasp_scores)


def grasp(
    model: keras.Model,
    dataset: Data,
    *,
    sparsity: float | None = None,
    scope: str = "global",
    dense_layers: str = "",
    layer_sparsity: Mapping[str, float] | None = None,
    pattern: str | Pattern = UNSTRUCTURED,
    batches: int | None = None,
    loss: str | Callable | None = None,
) -> Masks:
    """GraSP (Wang et al. 2020) on the first `batches` batches of the data, all by default.

    Args:
      model: whose weights are masked.
      dataset: a `tf.data.Dataset`, a `keras.utils.Sequence`, arrays (inputs, labels), or batches of these; with the
        default loss labels are one-hot, or integers.
      sparsity: fraction of the weights that will be zero, in [0, 1); not needed with a pattern such as "2:4".
      scope: "global" ranks all weights together, "layer" each kernel alone.
      dense_layers: regular expression of the paths of layers that keep all their weights.
      layer_sparsity: sparsities of some layers by hand.
      pattern: which weights are kept or removed together, as for `MaskSearch`.
      batches: how many are looked at, at least 1.
      loss: any loss of Keras, of labels and outputs as they are; by default the cross-entropy of a classifier,
        of logits divided by 200.

    Raises:
      TostError: a value is out of range, there are fewer batches, labels do not fit the model, a gradient is not
        finite, the pattern does not fit a layer, or a layer would keep no weight.

    Examples:
      >>> tost.masks.grasp(model, (images, labels), sparsity=0.9)
      Masks(3 layers, 138 of 1384 weights kept, sparsity 0.9003)
    """
    examples = first_batches(dataset, batches)
    search = MaskSearch(
        model, sparsity, scope, dense_layers, examples=examples, layer_sparsity=layer_sparsity, pattern=pattern
    )
    return found_by_gradients(search, grasp_scores, ExamplesOptions(), loss).masks
