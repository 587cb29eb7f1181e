"""Masks as a checked value: which weights of which kernels are kept."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

import numpy as np

from tost_tf.errors import TostError, first_of
from tost_tf.files import read_arrays, require_no_pickle, write_arrays
from tost_tf.graph.kernels import is_ranked
from tost_tf.graph.places import by_place
from tost_tf.ranges import require_expression
from tost_tf.seeds import derive_seed


class Masks(Mapping[str, np.ndarray]):
    """The masks of a network: weight path ("stage1_block1_conv1/kernel") -> 0/1 array, 1 = kept.

    Immutable: the arrays are read-only uint8 of the weights' shapes.

    Args:
      masks: weight path -> array of zeros and ones of any numeric or boolean type.

    Raises:
      TostError: there are no masks, or some have other values than 0 and 1; the message names up to ten of them.

    Examples:
      >>> masks = tost.Masks({"conv1/kernel": np.array([[1, 0, 0], [0, 1, 0]])})
      >>> masks
      Masks(1 layers, 2 of 6 weights kept, sparsity 0.6667)
      >>> masks.save(folder / "mask.npz")
      >>> tost.Masks.load(folder / "mask.npz").sparsity == masks.sparsity
      True
    """

    def __init__(self, masks: Mapping[str, np.ndarray]):
        if not isinstance(masks, Mapping):
            raise TostError(f"masks are a mapping of weight path to 0/1 array, got {type(masks).__name__}")
        if not masks:
            raise TostError("a mask needs at least one weight, got none")
        checked, wrong = {}, []
        for path, mask in masks.items():
            if not isinstance(path, str):
                raise TostError(f"a mask has the path of a weight as its name, got {path!r}")
            try:
                values = np.asarray(mask)
            except ValueError:
                raise TostError(f"the mask {path} is not an array: its rows differ in length") from None
            if values.dtype.kind == "V" and values.dtype.type.__module__ != "numpy":
                values = values.astype(np.float32)  # bfloat16 and the like
            is_number = values.dtype.kind in "buif"
            others = values[(values != 0) & (values != 1)] if is_number else values.ravel()
            if others.size or not values.size:
                wrong.append(f"{path} holds {others.tolist()[0]!r}" if others.size else f"{path} is empty")
                continue
            checked[path] = values.astype(np.uint8)
            checked[path].setflags(write=False)
        if wrong:
            raise TostError(f"a mask may hold only 0 and 1: {first_of(wrong, separator='; ')}")
        self._masks = checked

    def __getitem__(self, path: str) -> np.ndarray:
        return self._masks[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self._masks)

    def __len__(self) -> int:
        return len(self._masks)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Masks):
            return NotImplemented
        return set(self) == set(other) and all(np.array_equal(self[path], other[path]) for path in self)

    __hash__ = None  # type: ignore[assignment]  # as Python's own lists and dictionaries

    def __repr__(self) -> str:
        return f"Masks({len(self)} layers, {self.kept} of {self.size} weights kept, sparsity {self.sparsity:.4f})"

    @property
    def size(self) -> int:
        """The number of weights the masks cover."""
        return sum(mask.size for mask in self.values())

    @property
    def kept(self) -> int:
        """The number of weights kept."""
        return sum(int(mask.sum()) for mask in self.values())

    @property
    def sparsity(self) -> float:
        """Fraction of the weights that are zero, over all layers together."""
        return 1 - self.kept / self.size

    @property
    def layer_sparsity(self) -> dict[str, float]:
        """Fraction of the weights that are zero, by weight path."""
        return {path: 1 - int(mask.sum()) / mask.size for path, mask in self.items()}

    @property
    def pattern(self) -> str:
        """The most specific pattern that all masks hold which do not keep everything: "2:4", or "unstructured".

        Kernels are read as [..., inputs, outputs], or for a depthwise one [..., inputs, multiplier]; for the kernels of
        transposed convolutions and attention use `found_pattern(masks, model)` of `tost_tf.masks.patterns.pattern`.
        """
        from tost_tf.masks.patterns.pattern import found_pattern  # which selects masks

        return found_pattern(self).text

    @property
    def collapsed_layers(self) -> list[str]:
        """The paths of the kernels without kept weights."""
        return [path for path, mask in self.items() if not mask.any()]

    def require_match(self, shapes: Mapping[str, tuple[int, ...]], owner: str) -> None:
        """Raises `TostError`, naming up to ten differences, unless the masks fit these weights.

        Args:
          shapes: weight path -> shape of the weights to be masked.
          owner: the model of the weights, for the message.
        """
        wrong = [f"{path} is missing" for path in shapes if path not in self]
        wrong += [f"{path} is not a prunable weight of {owner}" for path in self if path not in shapes]
        wrong += [
            f"{path} has shape {list(mask.shape)} instead of {list(shapes[path])}"
            for path, mask in self.items()
            if path in shapes and mask.shape != tuple(shapes[path])
        ]
        if wrong:
            some = ""
            if all(difference.endswith(" is missing") for difference in wrong):
                some = " (layers left dense may be missing: name them with dense_layers)"
            elif all(" has shape " in difference for difference in wrong):
                some = " (name layers that should be initialised and not pruned with new_layers)"
            raise TostError(f"the mask does not fit {owner}: {first_of(wrong, separator='; ')}{some}")

    def for_weights(self, shapes: Mapping[str, tuple[int, ...]]) -> Masks:
        """These masks with the names of these weights, if they differ only in numbers that Keras gave to layers.

        Args:
          shapes: weight path -> shape of the weights to be masked. If these are other weights, the masks themselves are
            returned.
        """
        if set(self) == set(shapes):
            return self
        ours = {place: path for path, place in by_place(self).items()}
        places = by_place(shapes)
        fit = set(ours) == set(places.values()) and all(
            self[ours[place]].shape == tuple(shapes[path]) for path, place in places.items()
        )
        return Masks({path: self[ours[place]] for path, place in places.items()}) if fit else self

    def without(self, layers: str) -> Masks:
        """These masks without those of layers whose paths match the regular expression `layers`; all for ""."""
        require_expression("layers", layers)
        kept = {path: mask for path, mask in self.items() if is_ranked(path.rpartition("/")[0], layers)}
        return self if len(kept) == len(self) else Masks(kept)

    def completed(self, shapes: Mapping[str, tuple[int, ...]], dense_layers: str, new_layers: str = "") -> Masks:
        """These masks, as `for_weights`, with ones for weights without a mask in layers that are left dense or new.

        Args:
          shapes: weight path -> shape, of all weights to be masked.
          dense_layers: regular expression of the paths of layers that are left dense.
          new_layers: the same, of layers that did not exist when the masks were made.
        """
        old = {path: shape for path, shape in shapes.items() if is_ranked(path.rpartition("/")[0], new_layers)}
        masks = self.for_weights(old)
        missing = [
            path
            for path in shapes
            if path not in masks and not (path in old and is_ranked(path.rpartition("/")[0], dense_layers))
        ]
        return Masks({**masks, **{path: np.ones(shapes[path]) for path in missing}}) if missing else masks

    def shuffled(self, seed: int) -> Masks:
        """Masks without a pattern and with as many kept weights in each layer, at random places: the sanity check of Su
        et al. and Frankle et al. (both 2020), which shows whether more than the densities of a mask matters.
        """
        places = by_place(self)
        return Masks(
            {
                path: np.random.default_rng(derive_seed(seed, f"shuffle {places[path]}"))
                .permutation(mask.ravel())
                .reshape(mask.shape)
                for path, mask in self.items()
            }
        )

    def save(self, path: str | os.PathLike) -> None:
        """Writes an `.npz` file with an array for each weight; an existing file is replaced after it is complete."""
        if not str(path).endswith(".npz"):
            raise TostError(f"a mask file is an .npz file, got the name {str(path)!r}")
        write_arrays(path, self._masks)

    @classmethod
    def load(cls, path: str | os.PathLike) -> Masks:
        """Reads what `save` wrote, or a `.safetensors` file with the same names. Never unpickles.

        Raises:
          TostError: there is no such file, it has another format, is incomplete, or holds other values than masks.
        """
        arrays = read_mask_arrays(path)
        try:
            return cls(arrays)
        except TostError as error:
            raise TostError(f"{str(path)!r} cannot be read as a mask file: {error}") from None


def read_mask_arrays(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The arrays in a mask file, unchecked. Raises `TostError` if it cannot be read."""
    require_no_pickle(path)
    try:
        return read_arrays(path)
    except FileNotFoundError:
        raise TostError(f"there is no mask file {str(path)!r}") from None
    except ValueError as error:
        raise TostError(f"{str(path)!r} cannot be read as a mask file (.npz or .safetensors): {error}") from None
