"""SynFlow (Tanaka et al. 2020): pruning without data, by the flow of absolute weights through the network."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

from tost_tf.compat import keras, tf
from tost_tf.masks.allocate import kept_count
from tost_tf.masks.masks import Masks
from tost_tf.masks.patterns.pattern import UNSTRUCTURED, Pattern
from tost_tf.masks.quota import Quota
from tost_tf.masks.search import FoundMask, MaskMethod, MaskSearch, Scores
from tost_tf.masks.select import require_finite, require_left, without_pruned
from tost_tf.masks.synaptic_flow import SynapticFlow
from tost_tf.options import option
from tost_tf.progress import progress
from tost_tf.ranges import require_number


@dataclasses.dataclass(frozen=True)
class SynFlowOptions:
    """How synflow prunes."""

    synflow_iterations: int = option(100, "number of pruning steps of synflow", minimum=1)


def synflow(
    model: keras.Model,
    dataset: tf.data.Dataset | None = None,
    *,
    sparsity: float | None = None,
    scope: str = "global",
    dense_layers: str = "",
    layer_sparsity: Mapping[str, float] | None = None,
    pattern: str | Pattern = UNSTRUCTURED,
    iterations: int = 100,
) -> Masks:
    """SynFlow (Tanaka et al. 2020), data-free, in `iterations` steps of exponentially falling density.

    The density starts at that of the current masks: with scope "global" of all layers together, with scope "layer" of
    each layer.

    Args:
      model: whose weights are masked.
      dataset: not used.
      sparsity: fraction of the weights that will be zero, in [0, 1); not needed with a pattern such as "2:4".
      scope: "global" ranks all weights together, "layer" each kernel alone.
      dense_layers: regular expression of the paths of layers that keep all their weights.
      layer_sparsity: sparsities of some layers by hand.
      pattern: which weights are kept or removed together, as for `MaskSearch`.
      iterations: number of steps, at least 1.

    Raises:
      TostError: a value is out of range, the pattern does not fit a layer, or a layer would keep no weight.

    Examples:
      >>> tost.masks.synflow(model, sparsity=0.9, iterations=20)
      Masks(3 layers, 138 of 1384 weights kept, sparsity 0.9003)
    """
    del dataset
    require_number("iterations", iterations, whole=True, minimum=1)
    search = MaskSearch(model, sparsity, scope, dense_layers, layer_sparsity=layer_sparsity, pattern=pattern)
    return find(search, SynFlowOptions(iterations)).masks


def find(search: MaskSearch, options: SynFlowOptions) -> FoundMask:
    """As `synflow`."""
    search.require_one_copy()
    search.require_fit()
    search.require_finite_weights()
    iterations = options.synflow_iterations
    flow = SynapticFlow(search.model)
    start = search.start()
    left = {path: int(mask.sum()) for path, mask in start.items()}
    sizes = {path: mask.size for path, mask in start.items()}
    share = search.shares(sizes, search.scope)
    by_layer = [path for path in start if search.scope == "layer" or path in share.own]
    others = [path for path in start if path not in by_layer]
    # The end is checked first: an error about a step on the way would explain nothing to a reader.
    require_left({path: kept_count(sizes[path], share.of(path)) for path in by_layer}, left)
    size, together = (sum(numbers[path] for path in others) for numbers in (sizes, left))
    require_left({search.model.name: kept_count(size, share.rest)}, {search.model.name: together})

    def select(found: Scores, step: int, before: Masks) -> Masks:
        ranked = without_pruned({path: found[path] for path in before}, before)
        falling = {path: falling_count(left[path], sizes[path], share.of(path), step, iterations) for path in by_layer}
        count = falling_count(together, size, share.rest, step, iterations) if others else 0
        return Masks(search.selection.select(ranked, Quota(falling, together=count)))

    return search.found(prune_iteratively(flow.scores, select, start, iterations))


def prune_iteratively(
    score: Callable[[Masks], dict[str, np.ndarray]],
    select: Callable[[dict[str, np.ndarray], int, Masks], Masks],
    masks: Masks,
    iterations: int,
) -> Masks:
    """Repeats scoring and selection.

    Args:
      score: takes the current masks, returns scores.
      select: takes scores, the number of the step (1 to `iterations`) and the current masks; returns masks that keep
        some of the weights these keep.
      masks: the masks at the start.
      iterations: the number of steps.

    Raises:
      TostError: a score is not finite; the message names the layer.
    """
    for step in progress(range(1, iterations + 1), "SynFlow"):
        found = score(masks)
        require_finite(found, f" in step {step} of SynFlow")
        masks = select(found, step, masks)
    return masks


def falling_count(left: int, size: int, sparsity: float, step: int, iterations: int) -> int:
    """The number of weights kept after a step if the density falls exponentially (Tanaka et al. 2020, Algorithm 1).

    It falls from left/size before step 1 to 1 - sparsity, so the last of the `iterations` steps keeps exactly
    round((1 - sparsity)·size). If at least as many are `left`, no step keeps more than the one before.
    """
    if step == iterations:
        return kept_count(size, sparsity)
    return round(left * ((1 - sparsity) * size / left) ** (step / iterations))


METHOD = MaskMethod(find, SynFlowOptions)
