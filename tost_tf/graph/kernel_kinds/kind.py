"""What a kind of layer says of its kernels."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from tost_tf.compat import keras, tf

Axes = tuple[tuple[int, ...], tuple[int, ...]]  # of the inputs and of the outputs, from the end


@dataclasses.dataclass(frozen=True)
class Kernel:
    """A kernel of a layer.

    Attributes:
      name: in the layer: "kernel", "query/kernel", "forward/recurrent_kernel".
      holder: the layer, or the layer in it, that has the kernel.
      attribute: of the holder, in which it is.
      axes: those along which the kernel's inputs lie and those of its outputs, counted from the end (-1 is the last).
    """

    name: str
    holder: keras.layers.Layer
    attribute: str
    axes: Axes = ((-2,), (-1,))

    @property
    def variable(self) -> tf.Variable:
        return getattr(self.holder, self.attribute)

    @property
    def options(self) -> tuple[str, str]:
        """The attributes of the holder with the regulariser and the constraint that the kernel is created with."""
        start = self.attribute.removesuffix("_kernel")
        return f"{start}_regularizer", f"{start}_constraint"


@dataclasses.dataclass(frozen=True)
class KernelKind:
    """Where the layers of some classes, and of their subclasses, hold kernels.

    Attributes:
      classes: the classes.
      kernels: from a layer to attribute -> axes of the kernels it holds itself; also before it is built.
      parts: from a layer to the layers in it that may hold kernels, by what they are called in the kernels' names, ""
        for one that needs no name beside the layer's own. A part's own kind says where it holds them.
      build: makes the weights of a layer from the shapes of the tensors it is called with, where its `build`, which is
        told of the first one only, does not. To be called with the layer and shapes by the names of arguments.
      make_parts: as `build`, for what has to be there before: the parts.
    """

    classes: Sequence[type]
    kernels: Callable[[keras.layers.Layer], Mapping[str, Axes]] = lambda layer: {}
    parts: Callable[[keras.layers.Layer], Mapping[str, keras.layers.Layer]] = lambda layer: {}
    build: Callable[[keras.layers.Layer, Mapping[str, tf.TensorShape]], None] | None = None
    make_parts: Callable[[keras.layers.Layer, Mapping[str, tf.TensorShape]], None] | None = None
