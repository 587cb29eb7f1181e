"""The interface of a pattern of masks."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from tost_tf.compat import keras
from tost_tf.errors import TostError, first_of
from tost_tf.graph.kernel_kinds.kind import Axes
from tost_tf.graph.kernels import is_ranked, prunable_kernels
from tost_tf.masks.allocate import require_sparsity
from tost_tf.masks.patterns.division import Division
from tost_tf.masks.select import CellSelection, Selection
from tost_tf.registry import MASK_PATTERNS

UNSTRUCTURED = "unstructured"
DEPTHWISE: Axes = ((-2,), (-2, -1))
ORDINARY: Axes = ((-2,), (-1,))


class Pattern(abc.ABC):
    """Which weights of a kernel are kept or removed together.

    A pattern is a frozen dataclass, made from its text by `parse`. It divides a kernel into cells, and each cell into
    units: the scores of weights are summed over a unit, and each cell keeps as many units, those with the highest sums.

    Attributes:
      form: how its text is written, for messages.
      has_scope: whether layers may differ in how many weights they keep.
      has_layer_sparsity: whether some layers can get a sparsity by hand.
      cannot_grow: why units cannot be dropped and grown while a network trains, "" if they can.
    """

    form: ClassVar[str]
    has_scope: ClassVar[bool] = True
    has_layer_sparsity: ClassVar[bool] = True
    cannot_grow: ClassVar[str] = ""

    @property
    def text(self) -> str:
        """What `parse` makes it from."""
        return self.form

    @property
    def sparsity(self) -> float | None:
        """The sparsity that the pattern fixes, if it does."""
        return None

    @classmethod
    def parse(cls, text: str) -> Pattern | None:
        """The pattern with this text; `None` if it is that of another. Raises `TostError` for wrong numbers in it."""
        return cls() if text == cls.form else None

    @classmethod
    def find(cls, kernels: Sequence[tuple[np.ndarray, Axes]]) -> Pattern | None:
        """The most specific pattern of this kind that all of some masks hold, if there is one."""
        pattern = cls()
        return pattern if all(pattern.holds(mask, axes) for mask, axes in kernels) else None

    @abc.abstractmethod
    def divide(self, shape: tuple[int, ...], axes: Axes) -> Division | None:
        """How a kernel is divided; `None` if its shape does not allow it."""

    @property
    def needs(self) -> str:
        """What a kernel's shape must be, for a message."""
        return "inputs and outputs"

    def at(self, sparsity: float) -> Pattern:
        """The pattern on the way to this one, when masks have a lower sparsity than it fixes."""
        del sparsity
        return self

    def has_units(self, mask: np.ndarray, axes: Axes) -> bool:
        """Whether a kernel's mask consists of whole units, as many in each cell."""
        division = self.divide(mask.shape, axes)
        if division is None:
            return False
        units = division.grouped(mask)
        counts = units[..., 0].sum(axis=1, dtype=np.int64)
        return bool((units == units[..., :1]).all() and (counts == counts[0]).all())

    def holds(self, mask: np.ndarray, axes: Axes) -> bool:
        """As `has_units`, with the sparsity that the pattern fixes, if it does."""
        fixed = self.sparsity is None or int(mask.sum(dtype=np.int64)) == round((1 - self.sparsity) * mask.size)
        return fixed and self.has_units(mask, axes)

    def selection(self, model: keras.Model, dense_layers: str = "") -> Selection:
        """How masks of the ranked kernels of a model are selected.

        Raises:
          TostError: a kernel's shape does not divide; the message names the layers.
        """
        return self.selection_of(ranked_kernels(model, dense_layers))

    def selection_of(self, kernels: Mapping[str, tuple[tuple[int, ...], Axes]]) -> CellSelection:
        """As `selection`, of weight path -> shape and axes."""
        divisions = {path: self.divide(shape, axes) for path, (shape, axes) in kernels.items()}
        self.require_none([path for path, division in divisions.items() if division is None], kernels)
        return CellSelection(divisions, uniform=not self.has_scope)

    def require_none(self, paths: Sequence[str], kernels: Mapping[str, tuple[tuple[int, ...], Axes]]) -> None:
        """Raises `TostError`, naming these kernels, which the pattern does not fit, unless there are none."""
        if paths:
            shown = first_of([f"{path} {list(kernels[path][0])}" for path in paths])
            raise TostError(
                f"the pattern {self.text} needs {self.needs}, which {shown} cannot give: leave these layers "
                "dense with dense_layers"
            )


def parsed_pattern(pattern: str | Pattern) -> Pattern:
    """The pattern with this text; a pattern itself is returned.

    Raises:
      TostError: there is none, or it has wrong numbers.
    """
    if isinstance(pattern, Pattern):
        return pattern
    kinds = [MASK_PATTERNS[name] for name in MASK_PATTERNS]
    for kind in kinds if isinstance(pattern, str) else ():
        found = kind.parse(pattern)
        if found is not None:
            return found
    forms = ", ".join(kind.form for kind in reversed(kinds))
    raise TostError(f"unknown mask pattern {str(pattern)[:60]!r}: known ones are {forms}, such as block:4x4 and 2:4")


def requested_sparsity(sparsity: float | None, pattern: Pattern) -> float:
    """The sparsity of masks with a pattern: the given one, or the one that the pattern fixes.

    Raises:
      TostError: there is none, it is out of range, or it contradicts the pattern.
    """
    if sparsity is None:
        if pattern.sparsity is None:
            raise TostError("a mask needs a sparsity, a number in [0, 1), such as sparsity=0.9")
        return pattern.sparsity
    require_sparsity(sparsity)
    if pattern.sparsity is not None and abs(sparsity - pattern.sparsity) > 1e-3:
        raise TostError(
            f"the pattern {pattern.text} has sparsity {pattern.sparsity:g}, which sparsity {sparsity:g} contradicts: "
            "leave it out"
        )
    return sparsity if pattern.sparsity is None else pattern.sparsity


def found_pattern(masks: Mapping[str, np.ndarray], model: keras.Model | None = None) -> Pattern:
    """The most specific pattern that all masks hold; those that keep everything are left dense and do not count.

    Args:
      masks: weight path -> 0/1.
      model: of the masks. Without it kernels are read as [..., inputs, outputs], which those of transposed
        convolutions and attention are not.
    """
    kernels = prunable_kernels(model) if model is not None else {}
    known = {path: kernel.axes for path, kernel in kernels.items()}
    sparse = [
        (mask, known.get(path, DEPTHWISE if path.endswith("depthwise_kernel") else ORDINARY))
        for path, mask in ((path, np.asarray(mask)) for path, mask in masks.items())
        if not mask.all()
    ]
    for name in MASK_PATTERNS if sparse else ():
        found = MASK_PATTERNS[name].find(sparse) if name != UNSTRUCTURED else None
        if found is not None:
            return found
    return MASK_PATTERNS[UNSTRUCTURED]()


def ranked_kernels(model: keras.Model, dense_layers: str) -> dict[str, tuple[tuple[int, ...], Axes]]:
    """Weight path -> shape and axes, of the kernels that are ranked."""
    return {
        path: (tuple(kernel.variable.shape), kernel.axes)
        for path, kernel in prunable_kernels(model).items()
        if is_ranked(path.rpartition("/")[0], dense_layers)
    }
