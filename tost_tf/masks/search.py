"""What a search for a mask knows, and how scores become a mask.

A mask is made in three steps: a score for each weight, a number of kept weights for each layer, and the selection of
the highest scores; with a pattern, of the units with the highest sums of scores. Layers whose path matches
`dense_layers` keep all their weights and do not count for `sparsity`. Layers in `layer_sparsity` have the sparsity set
there, and the others together what is left. Weights that a pruning wrapper has already masked stay masked. Exactly
round((1 - sparsity) · N) weights are kept: of all together with scope "global", of each kernel with scope "layer".
Where whole units of a pattern cannot give that number, the nearest one is kept.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import logging
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

from tost_tf.compat import keras, tf
from tost_tf.errors import NotFinite, TostError, unknown_name
from tost_tf.graph.batches import Batches, Data
from tost_tf.graph.kernels import current_masks, prunable_weights, ranked_weights
from tost_tf.graph.labels import one_hot
from tost_tf.graph.left_dense import left_dense
from tost_tf.graph.logits import classes_of
from tost_tf.masks.allocate import kept_count, require_room, uniform
from tost_tf.masks.connection import name_collapsed
from tost_tf.masks.layer_sparsity import Shares, parsed_layer_sparsity, require_sparsities, shares
from tost_tf.masks.masks import Masks
from tost_tf.masks.patterns.pattern import UNSTRUCTURED, Pattern, parsed_pattern, requested_sparsity
from tost_tf.masks.quota import Quota
from tost_tf.masks.select import Selection, require_finite, without_pruned
from tost_tf.masks.starved import name_single_channels
from tost_tf.ranges import require_number

SCOPES = ("global", "layer")

Scores = dict[str, np.ndarray]
Batch = tuple["tf.Tensor", "tf.Tensor"]  # images, and one-hot labels
# (model, first epoch, last epoch, epochs of the schedule) -> accuracy: trains a sparse model in place.
Trainer = Callable[["keras.Model", int, int, int], float]


@dataclasses.dataclass(frozen=True)
class FoundMask:
    """The masks that were found and, for a lottery ticket, the weights that belong to them.

    Attributes:
      masks: of all prunable weights of the model.
      weights: of the model, in its order, or `None`.
    """

    masks: Masks
    weights: list[np.ndarray] | None = None


@dataclasses.dataclass(frozen=True)
class MaskMethod:
    """A way to find a mask.

    Attributes:
      find: takes a `MaskSearch`, and the method's options if it has some; returns a `FoundMask`.
      options: the dataclass of the method's options, `None` if it has none.
      has_scope: whether it uses the search's scope.
      has_sparsity: whether it uses the search's sparsity.
      has_layer_sparsity: whether it uses the sparsities set for layers, as `MaskSearch.select` does.
      is_quick: whether it is as fast as reading a mask from a file.
    """

    find: Callable[..., FoundMask]
    options: type | None = None
    has_scope: bool = True
    has_sparsity: bool = True
    has_layer_sparsity: bool = True
    is_quick: bool = False


@dataclasses.dataclass(frozen=True)
class MaskSearch:
    """The arguments of a method; data and training are used only by the methods that need them.

    Attributes:
      model: the model to be masked.
      sparsity: the fraction of the weights that will be zero, in [0, 1); `None` for the one that the pattern fixes.
      scope: "global" ranks all weights together, "layer" each kernel alone.
      dense_layers: regular expression of the paths of layers that keep all their weights.
      seed: of random methods.
      examples: takes a number of training images for each class, returns batches of them; `None` without data.
      train: a `Trainer`; `None` if training is not possible.
      folder: where a long search saves its progress, `None` for nowhere.
      keep_zeros: whether weights that are zero count as already pruned, like those a pruning wrapper masks; a kernel of
        zeros only (some are initialised so) does not.
      layer_sparsity: regular expression of layer paths -> sparsity set for these layers, the first that matches is
        used; or the same as a text, "stem=0,stage3.*=0.99"; `None` for none.
      pattern: which weights are kept or removed together: "unstructured", "channels", "channels:16", "block:4x1",
        "2:4", "fan_in", or another in `registry.MASK_PATTERNS`; read as a `Pattern`.
      names_left_dense: whether it logs which kernels no mask can reach and which layers have no weight or a single
        channel left; a search that is a part of a longer one does not.

    Raises:
      TostError: a value is out of range.
    """

    model: keras.Model
    sparsity: float | None
    scope: str = "global"
    dense_layers: str = ""
    seed: int = 0
    examples: Callable[[int], Iterable[Batch]] | None = None
    train: Trainer | None = None
    folder: Path | None = None
    keep_zeros: bool = False
    layer_sparsity: Mapping[str, float] | str | None = None
    names_left_dense: bool = True
    pattern: str | Pattern = UNSTRUCTURED

    def __post_init__(self):
        if isinstance(self.sparsity, Mapping):
            raise TostError(
                f"sparsity is {str(dict(self.sparsity))[:100]}, it must be one number: give sparsities of some layers "
                "with layer_sparsity"
            )
        pattern = parsed_pattern(self.pattern)
        object.__setattr__(self, "pattern", pattern)
        object.__setattr__(self, "sparsity", requested_sparsity(self.sparsity, pattern))
        if self.layer_sparsity and not pattern.has_layer_sparsity:
            raise TostError(f"layer_sparsity cannot be kept with the pattern {pattern.text}: leave one out")
        if self.scope not in SCOPES:
            raise unknown_name("mask scope", self.scope, SCOPES)
        if isinstance(self.layer_sparsity, str):
            object.__setattr__(self, "layer_sparsity", parsed_layer_sparsity(self.layer_sparsity))
        require_sparsities(self.layer_sparsity or {})

    def weights(self) -> dict[str, tf.Variable]:
        """Weight path -> kernel, for the weights that are ranked."""
        return ranked_weights(self.model, self.dense_layers)

    @functools.cached_property
    def selection(self) -> Selection:
        """How masks with the pattern are selected.

        Raises:
          TostError: the pattern does not fit some layers; the message names them.
        """
        return self.pattern.selection(self.model, self.dense_layers)

    def require_fit(self) -> None:
        """Raises `TostError`, naming the layers, if the pattern does not fit them: call it before long computations."""
        self.selection  # noqa: B018

    def batches(self, examples_per_class: int) -> list[Batch]:
        """Batches of training images and one-hot labels, with this number of images of each class.

        Raises:
          TostError: there is no data, or its labels do not fit the model.
        """
        if self.examples is None:
            raise TostError("batches of images and labels are needed to find this mask: give a dataset")
        classes = classes_of(self.model)
        return [(images, one_hot(labels, classes)) for images, labels in self.examples(examples_per_class)]

    def select(
        self,
        scores: Mapping[str, np.ndarray],
        allocate: Callable[[Mapping[str, tuple[int, ...]], float], dict[str, int]] | None = None,
    ) -> FoundMask:
        """The masks of the highest scores.

        Args:
          scores: of the ranked weights.
          allocate: takes shapes and the sparsity, returns the number of weights each kernel keeps; by default according
            to the scope.

        Raises:
          TostError: a score is not finite, or there are fewer weights to keep than layers.
        """
        require_finite(scores)
        quota = self._quota({path: score.shape for path, score in scores.items()}, allocate)
        return self.found(Masks(self.selection.select(without_pruned(scores, self.pruned()), quota)))

    def _quota(
        self,
        shapes: Mapping[str, tuple[int, ...]],
        allocate: Callable[[Mapping[str, tuple[int, ...]], float], dict[str, int]] | None,
    ) -> Quota:
        sizes = {path: math.prod(shape) for path, shape in shapes.items()}
        share = self.shares(sizes, self.scope if allocate is None else "global")
        by_hand, others = share.kept(sizes), {path: shape for path, shape in shapes.items() if path not in share.own}
        if not others:
            return Quota(by_hand)
        if allocate is not None:
            return Quota(by_hand, allocate(others, share.rest))
        if self.scope == "layer":
            return Quota(by_hand | uniform(others, share.rest))
        return Quota(by_hand, together=kept_count(sum(sizes[path] for path in others), share.rest))

    def shares(self, sizes: Mapping[str, int], scope: str) -> Shares:
        """How sparse each layer is by hand, and all others together.

        Args:
          sizes: weight path -> number of weights, of those that are ranked.
          scope: of the others, for what must have room.

        Raises:
          TostError: a layer would have to be empty, or sparsities contradict each other.
        """
        share = shares(sizes, self.sparsity, self.layer_sparsity or {})
        others = {path: size for path, size in sizes.items() if path not in share.own}
        if others:
            require_room(others, share.rest, scope)
        return share

    def found(self, masks: Masks) -> FoundMask:
        """Completes the masks of ranked weights by ones for the others.

        Logs kernels that no mask can reach, and layers that have no weight or a single channel left.
        """
        if self.names_left_dense:
            self.name_left_dense()
        weights = prunable_weights(self.model)
        found = Masks({path: masks.get(path, np.ones(tuple(w.shape))) for path, w in weights.items()})
        if self.names_left_dense:
            name_collapsed(found, self.model)
            if self.scope == "global":
                name_single_channels(found, self.model)
        return FoundMask(found)

    def name_left_dense(self) -> None:
        """Logs which kernels no mask can reach, with their fraction of the weights, if there are any."""
        left = left_dense(self.model, self.dense_layers)
        if left.unreachable:
            logging.warning("the mask of %s: %s", self.model.name, left)

    def pruned(self) -> dict[str, np.ndarray]:
        """Weight path -> its current mask, for the ranked weights that have one."""
        present = current_masks(self.model)
        masks = {}
        for path, weight in self.weights().items():
            nonzero = weight.numpy() != 0 if self.keep_zeros else np.ones(())
            if path in present or (nonzero.any() and not nonzero.all()):
                masks[path] = present.get(path, 1) * (nonzero if nonzero.any() else 1)
        return masks

    def start(self) -> Masks:
        """The current masks of the ranked weights: those of `pruned`, ones for the others."""
        current = self.pruned()
        return Masks({path: current.get(path, np.ones(tuple(w.shape))) for path, w in self.weights().items()})

    def require_one_copy(self) -> None:
        """Raises `TostError` if the model is on the devices of a strategy: derivatives are computed outside of it."""
        variables = self.model.variables
        mirrored = any(isinstance(variable, tf.distribute.DistributedValues) for variable in variables)
        if mirrored or tf.distribute.has_strategy():
            raise TostError(
                f"the mask of {self.model.name} cannot be found under a distribution strategy: build the model and "
                "find its mask outside the strategy's scope, and call sparsify inside it"
            )

    def require_finite_weights(self) -> None:
        """Raises `NotFinite`, naming the first weight of the model that is not finite.

        Call it before gradients are computed: these would spread it to the scores of other layers.
        """
        paths = {id(weight): path for path, weight in prunable_weights(self.model).items()}
        for weight in self.model.weights:
            if np.isfinite(weight.numpy()).all():
                continue
            if id(weight) in paths:
                raise NotFinite(f"the score of {paths[id(weight)]} is not finite everywhere, since its weights are not")
            name = weight.name.removesuffix(":0")
            raise NotFinite(f"{name} is not finite everywhere, so no weight can be scored")


def first_batches(dataset: Data, count: int | None) -> Callable[[int], list[Batch]]:
    """The first batches of a dataset, by default all, as `MaskSearch.examples`.

    Raises:
      TostError: `count` is not a whole number of at least 1; by the returned function, if there are fewer batches.
    """
    if count is not None:
        require_number("batches", count, whole=True, minimum=1)
    source = Batches(dataset)

    def take(_: int) -> list[Batch]:
        taken = list(itertools.islice(source, count))
        if not taken or (count is not None and len(taken) < count):
            raise TostError(f"{count or 'some'} batches are needed to find the mask, the dataset gave {len(taken)}")
        return taken

    return take
