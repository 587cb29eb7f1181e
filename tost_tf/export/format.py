"""The interface of an export format."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tost_tf.compat import keras, tf

if TYPE_CHECKING:
    from tost_tf.export.fresh_process import FreshProcessResult


@dataclasses.dataclass(frozen=True)
class Tolerance:
    """How much a file may differ from the network in memory.

    Attributes:
      accuracy: allowed difference of test accuracies, as a fraction; one image is always allowed.
      logits: allowed difference of a logit, as a multiple of the largest |logit| (at least 1); `None`: any, since a few
        images can leave the ranges measured for int8.
      logits_root_mean_square: allowed root mean square of the differences, as a multiple of that of the logits; `None`:
        not checked.
      more_zeros: whether a kernel may have more zeros than in memory: quantisation rounds small weights to zero.
    """

    accuracy: float = 1e-3
    logits: float | None = 1e-5
    logits_root_mean_square: float | None = None
    more_zeros: bool = False


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """How raw images are preprocessed for the network, and some examples.

    Attributes:
      mean, deviation: by channel; the network takes (pixel / 255 - mean) / deviation.
      images: raw training images, [images, height, width, channels], to measure the ranges of activations on.
    """

    mean: Sequence[float]
    deviation: Sequence[float]
    images: np.ndarray

    @property
    def are_pixels(self) -> bool:
        """Whether the images are bytes, not other numbers such as those of scans."""
        return self.images.dtype == np.uint8


@dataclasses.dataclass(frozen=True)
class Format:
    """A kind of file.

    Attributes:
      file: the name of a file of this kind, or of its folder.
      label: its name in messages.
      takes_pixels: true if the file takes raw pixels, 0 to 255; false if it takes preprocessed images.
      write: writes a model to a path, completely or not at all; returns whether kernels are stored sparsely.
      load: reads a file in a process that cannot import this project. The function is sent there as source code, so it
        must be written with `def`, use nothing from outside and import what it needs. It takes the path and returns a
        mapping of functions and a list of weights as pairs (name, array). The function `logits` takes a batch of
        images and returns their logits; `logits_of_bytes`, if there is one, does so for images as bytes.
      places_of_kernels: takes the model's kernels by path, the model and what the fresh process found; returns the
        index of each kernel in the list of weights, by path, or `None` if unknown: then kernels are matched by size.
      tolerance: how much the file may differ from the network in memory.
      needs_keras: whether `load` imports Keras 3; if not, it runs in a process where no Keras can be imported.
      require: raises `TostError` if a package that `write` needs is not installed.
      opened: opens a file to measure how long it takes, in a process as that of `load`, and is sent there as `load` is.
        It takes the path, a batch of images and the number of threads, and returns a function without arguments that
        computes the logits of the batch and waits for them. `None`: files of this kind cannot be measured.
      sources: the code of `load` and `opened`, as it was when the format was made: after a long training
        the file they are written in may be another one. Functions whose code cannot be read are left out.
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
    opened: Callable[[str, np.ndarray, int], Callable[[], Any]] | None = None
    sources: Mapping[Callable[..., Any], str] = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self):
        sources: dict[Callable[..., Any], str] = {}
        for function in filter(None, (self.load, self.opened)):
            with contextlib.suppress(OSError, TypeError):
                sources[function] = textwrap.dedent(inspect.getsource(function))
        object.__setattr__(self, "sources", sources)
