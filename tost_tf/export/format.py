"""What a format of exports is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tost_tf.compat import keras, tf

if TYPE_CHECKING:
    from tost_tf.export.fresh_process import FreshProcessResult


@dataclasses.dataclass(frozen=True)
class Tolerance:
    """How far a file may be from the network in memory.

    Attributes:
      accuracy: of the accuracy on the test set, as a fraction; one image is always allowed.
      logits: the largest difference, times the largest |logit|; `None`: any, as where a few images leave the ranges
        that int8 was measured on.
      logits_root_mean_square: that of the differences, times that of the logits; `None`: not looked at.
      more_zeros: whether a kernel may have more zeros than in memory, as small weights have that are quantised.
    """

    accuracy: float = 1e-3
    logits: float | None = 1e-5
    logits_root_mean_square: float | None = None
    more_zeros: bool = False


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """What is done with raw images before the network sees them, and some of them.

    Attributes:
      mean, deviation: by channel; the network is given (pixel / 255 - mean) / deviation.
      images: raw training images, [images, height, width, channels], to measure the ranges of activations on.
    """

    mean: Sequence[float]
    deviation: Sequence[float]
    images: np.ndarray


@dataclasses.dataclass(frozen=True)
class Format:
    """A kind of file.

    Attributes:
      file: the name of a file of this kind, or of its folder.
      label: what it is called in messages.
      takes_pixels: whether the file takes raw pixels, 0 to 255, or what the network takes.
      write: writes a model to a path, whole or not at all; gives whether kernels are stored sparsely.
      load: reads a file in a process that knows nothing of this project: the function is sent there as source code, so
        it must be written with `def`, use nothing from outside itself and import what it needs. From the path to a
        mapping of functions and a list of weights. The function `logits` is from a batch of images to their logits,
        and `logits_of_bytes`, if there is one, is from images as bytes to theirs. A weight is its name and array.
      places_of_kernels: from the model's kernels by path, the model and what the fresh process found, to the number of
        each kernel in the list of weights by path; `None` if that cannot be known, and then kernels are known by size.
      tolerance: how far the file may be from the network in memory.
      needs_keras: whether `load` imports Keras 3; otherwise it runs where no Keras can be imported.
      require: raises `TostError` if what is needed to write is not installed.
    """

    file: str
    label: str
    takes_pixels: bool
    write: Callable[[keras.Model, Path, Preprocessing], bool]
    load: Callable[[str], tuple[Mapping[str, Callable[[np.ndarray], Any]], Sequence[tuple[str, np.ndarray]]]]
    places_of_kernels: Callable[
        [Mapping[str, tf.Variable], keras.Model, FreshProcessResult], Mapping[str, int] | None
    ] = lambda kernels, model, found: None
    tolerance: Tolerance = Tolerance()
    needs_keras: bool = False
    require: Callable[[], object] = lambda: None
