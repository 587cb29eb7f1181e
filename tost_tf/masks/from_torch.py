"""Masks made in PyTorch, in this project's layouts and under this model's names.

PyTorch keeps a convolution as [out, in, height, width] and a linear layer as [out, in]; TensorFlow as
[height, width, in, out] and [in, out], and a depthwise convolution as [height, width, channels, multiplier]; in one and
three dimensions likewise.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping

import numpy as np

from tost_tf.errors import TostError
from tost_tf.masks.masks import MOST_SHOWN, Masks


def from_torch(
    arrays: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int, ...]], names: Mapping[str, str] | None = None
) -> Masks:
    """Masks of this model from those of the same network in PyTorch.

    Tensors named in `names` go where it says. Of the others, those of convolutions and linear layers are taken in the
    order of their names (numbers in them compared as numbers), and go to this model's layers of the same shape in the
    order of the layers. That is refused where the counts by shape differ.

    Args:
      arrays: PyTorch name ("layer1.0.conv1.weight_mask") -> array in PyTorch's layout.
      shapes: weight path -> shape of this model's prunable weights, in the order of its layers.
      names: PyTorch name -> weight path, for what order and shape do not decide.

    Raises:
      TostError: a name in `names` is unknown, a shape does not fit, or the match is ambiguous; all are shown.
    """
    names = dict(names or {})
    unknown = [name for name in names if name not in arrays] + [path for path in names.values() if path not in shapes]
    if unknown:
        raise TostError(f"the name map has {_shown(unknown)}, which neither the mask file nor the model knows")
    found = {path: _converted(name, arrays[name], path, shapes[path]) for name, path in names.items()}

    theirs, ours = defaultdict(list), defaultdict(list)
    for name in sorted(arrays, key=_natural):
        if name not in names and arrays[name].ndim >= 2:
            theirs[_kernel_shape(arrays[name])].append(name)
    for path, shape in shapes.items():
        if path not in found:
            ours[_comparable(path, shape)].append(path)
    ambiguous = []
    for shape in {**ours, **theirs}:
        if len(ours[shape]) != len(theirs[shape]):
            ambiguous.append(
                f"shape {list(shape)}: {len(theirs[shape])} in the file ({_shown(theirs[shape])}), "
                f"{len(ours[shape])} in the model ({_shown(ours[shape])})"
            )
        else:
            for name, path in zip(theirs[shape], ours[shape], strict=True):
                found[path] = _converted(name, arrays[name], path, shapes[path])
    if ambiguous:
        raise TostError(f"the masks cannot be matched by order and shape, give a name_map: {'; '.join(ambiguous)}")
    return Masks({path: found[path] for path in shapes})


def _converted(name: str, array: np.ndarray, path: str, shape: tuple[int, ...]) -> np.ndarray:
    if path.endswith("/depthwise_kernel"):
        outputs, _, *size = array.shape
        channels = shape[-2]
        converted = np.moveaxis(array, (0, 1), (-2, -1)).reshape(*size, channels, outputs // channels)
    else:
        converted = np.moveaxis(array, (0, 1), (-1, -2))
    if converted.shape != tuple(shape):
        raise TostError(f"{name} has shape {list(array.shape)}, which is not that of {path} ({list(shape)})")
    return converted


def _kernel_shape(array: np.ndarray) -> tuple[int, ...]:
    """The shape a PyTorch kernel has here, if it is not a depthwise one."""
    outputs, inputs, *size = array.shape
    return (*size, inputs, outputs)


def _comparable(path: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape in which a kernel of this model is compared: a depthwise one looks like PyTorch's [h, w, 1, out]."""
    if path.endswith("/depthwise_kernel"):
        return (*shape[:-2], 1, shape[-2] * shape[-1])
    return tuple(shape)


def _natural(name: str) -> list[tuple[int, int | str]]:
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", name)]


def _shown(names: list[str]) -> str:
    return ", ".join(names[:MOST_SHOWN]) + (", ..." if len(names) > MOST_SHOWN else "") if names else "none"
