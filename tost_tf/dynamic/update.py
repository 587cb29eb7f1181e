"""An update of the masks of a network that is being trained."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

from tost_tf.compat import keras, tf
from tost_tf.dynamic.drop_grow import drop_and_grow
from tost_tf.dynamic.growth import Growth
from tost_tf.errors import TostError
from tost_tf.graph.kernel_kinds.kind import Kernel
from tost_tf.graph.kernels import is_ranked, prunable_kernels
from tost_tf.graph.places import by_place
from tost_tf.graph.slots import first_values, slots_of, trains
from tost_tf.masks.allocate import kept_count
from tost_tf.masks.patterns.pattern import UNSTRUCTURED, Pattern, parsed_pattern
from tost_tf.masks.quota import Quota
from tost_tf.masks.select import require_finite, without_pruned
from tost_tf.masks.sparsify import masked_kernels
from tost_tf.masks.wrapper import MaskedKernel
from tost_tf.seeds import derive_seed


@dataclasses.dataclass(frozen=True)
class Update:
    """The result of an update: how many weights left and joined the masks, and how many are kept now.

    A weight that was dropped and grew again in the same update is not counted as dropped or grown.
    """

    dropped: int
    grown: int
    kept: int


class MaskUpdater:
    """Changes the masks of a sparse network in place, and the optimizer's state of the weights that leave or join.

    A weight that grows starts at zero, and its momentum (or other optimizer state) where it was at first. A weight
    that is dropped and grows in the same update keeps its value and momentum, as in the released code of RigL. A weight
    that is pruned first (see `update`) and then grows starts at zero, as in the released code of GraNet.

    Everything is computed in NumPy, from values that are the same on all replicas and workers and with a seed for each
    layer and step, so the masks are the same too.

    Args:
      plain: a model made by `sparsify`.
      optimizer: any of Keras, built for its weights.
      dense_layers: regular expression of the layers that are not changed.
      seed: of random growth.
      gradients: weight path -> gradient without masks, for growth by it where the optimizer keeps none.
      pattern: of the masks; units of it are dropped and grown.

    Attributes:
      selection: how masks with the pattern are selected.

    Raises:
      TostError: no layer has a mask that may change, or a mask does not have the pattern.
    """

    def __init__(
        self,
        plain: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        dense_layers: str = "",
        seed: int = 0,
        gradients: Callable[[], Mapping[str, np.ndarray]] | None = None,
        pattern: str | Pattern = UNSTRUCTURED,
    ):
        inner = getattr(optimizer, "inner_optimizer", optimizer)  # a LossScaleOptimizer has one
        self.optimizer, self.seed, self._gradients = inner, seed, gradients
        self.layers: dict[str, MaskedKernel] = {
            path: layer
            for path, layer in masked_kernels(plain).items()
            if is_ranked(path.rpartition("/")[0], dense_layers) and trains(inner, layer.kernel)
        }
        self._places = by_place(masked_kernels(plain))
        if not self.layers:
            raise TostError(
                f"{plain.name} has no mask that may change: sparsify it, and leave fewer layers dense or frozen"
            )
        self.pattern = parsed_pattern(pattern)
        kernels = {path: kernel for path, kernel in prunable_kernels(plain).items() if path in self.layers}
        self._require_pattern(kernels)
        if self.pattern.cannot_grow:  # then only what has the same masks all the time is pruned
            self.selection = self.pattern.selection(plain, dense_layers)
        else:
            shapes = {path: (tuple(kernel.variable.shape), kernel.axes) for path, kernel in kernels.items()}
            self.selection = self.pattern.selection_of(shapes)

    def _require_pattern(self, kernels: Mapping[str, Kernel]) -> None:
        masks = self.masks()
        for path, kernel in kernels.items():
            if not self.pattern.has_units(masks[path], kernel.axes):
                raise TostError(f"the mask of {path} does not have the pattern {self.pattern.text}: find one that has")

    def require_growth(self) -> None:
        """Raises `TostError` if units of the pattern cannot grow."""
        if self.pattern.cannot_grow:
            raise TostError(f"masks with the pattern {self.pattern.text} cannot change: {self.pattern.cannot_grow}")

    def masks(self) -> dict[str, np.ndarray]:
        """The current state of the masks that may change: weight path -> 0/1."""
        return {path: layer.mask.numpy().astype(np.uint8) for path, layer in self.layers.items()}

    def update(
        self,
        growth: Growth,
        drop_fraction: float,
        step: int,
        sparsity: float | None = None,
        drop_score: Callable[[np.ndarray], np.ndarray] = np.abs,
    ) -> Update:
        """Prunes globally by magnitude to `sparsity`, if one is given, then drops and grows in each layer.

        Args:
          growth: scores the weights that may grow: all that are not kept after dropping.
          drop_fraction: fraction of each layer's kept weights.
          step: the number of the step, for the seed.
          sparsity: of all these layers together; if they are sparser already, nothing is pruned.
          drop_score: from a kernel to a score for each weight; the lowest are dropped.

        Raises:
          TostError: units of the pattern cannot grow.
          NotFinite: a weight or a score is NaN or infinite; the message names it, and nothing is changed.
        """
        self.require_growth()
        before = self.masks()
        weights = {path: layer.kernel.numpy() for path, layer in self.layers.items()}
        gradients = self._dense_gradients(growth)
        scores = {path: self._score(path, gradients[path], growth, step) for path in self.layers}
        require_finite(weights, f" after step {step}")
        require_finite(scores, f" after step {step}")
        pruned = before if sparsity is None else self._pruned(weights, before, sparsity)
        divisions = self.selection.divisions
        after = {
            path: drop_and_grow(weights[path], pruned[path], drop_fraction, scores[path], drop_score, divisions[path])
            for path in self.layers
        }
        for path, layer in self.layers.items():
            stays = (after[path] == 1) & (pruned[path] == 1)
            slots = slots_of(self.optimizer, layer.kernel)
            first = first_values(self.optimizer, layer.kernel) if slots else []
            for variable, value in zip((layer.kernel, *slots), (0.0, *first), strict=True):
                variable.assign(tf.where(stays, variable, tf.cast(value, variable.dtype)))
            layer.set_mask(after[path])
        joined = sum(int(((after[path] == 1) & (before[path] == 0)).sum()) for path in after)
        left = sum(int(((after[path] == 0) & (before[path] == 1)).sum()) for path in after)
        return Update(left, joined, sum(int(mask.sum()) for mask in after.values()))

    def _dense_gradients(self, growth: Growth) -> Mapping[str, np.ndarray]:
        """Weight path -> gradient: those the optimizer keeps, or of a batch, or zeros where they are not looked at."""
        if getattr(self.optimizer, "keeps_gradients", False):
            return {path: self.optimizer.gradient_of(layer.kernel).numpy() for path, layer in self.layers.items()}
        if growth.needs_gradient and self._gradients is not None:
            return self._gradients()
        return {path: np.zeros(tuple(layer.mask.shape)) for path, layer in self.layers.items()}

    def _score(self, path: str, gradient: np.ndarray, growth: Growth, step: int) -> np.ndarray:
        return growth.score(
            gradient, np.random.default_rng(derive_seed(self.seed, f"growth of {self._places[path]} at step {step}"))
        )

    def _pruned(
        self, weights: Mapping[str, np.ndarray], masks: Mapping[str, np.ndarray], sparsity: float
    ) -> dict[str, np.ndarray]:
        scores = {path: np.abs(weight) for path, weight in weights.items()}
        kept, size = (sum(int(count(mask)) for mask in masks.values()) for count in (np.sum, np.size))
        quota = Quota(together=min(kept, kept_count(size, sparsity)))
        return self.selection.select(without_pruned(scores, masks), quota)
