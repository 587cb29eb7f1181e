"""The interface of a kind of layer: where its kernels are."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from tost_tf.compat import keras, tf

Axes = tuple[tuple[int, ...], tuple[int, ...]]  # of the inputs and of the outputs, from the end


@dataclasses.dataclass(frozen=True)
class Kernel:
    """A kernel of a layer.

    Attributes:
      name: within the layer: "kernel", "query/kernel", "forward/recurrent_kernel".
      holder: the layer, or the layer in it, that has the kernel.
      attribute: the holder's attribute with the kernel.
      axes: the axes of the kernel's inputs and those of its outputs, counted from the end (-1 is the last).
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
      kernels: takes a layer, built or not; returns attribute -> axes, of the kernels that the layer holds itself.
      parts: takes a layer; returns the layers in it that may hold kernels, by their names in the kernels' names ("" for
        a part that needs no name). The kind of each part says where its kernels are.
      build: creates the weights of a layer, if its `build` method cannot, since that gets only the shape of the first
        argument. Takes the layer, and shapes by the names of arguments.
      make_parts: takes the same arguments as `build`, and creates the parts before it.
    """

    classes: Sequence[type]
    kernels: Callable[[keras.layers.Layer], Mapping[str, Axes]] = lambda layer: {}
    parts: Callable[[keras.layers.Layer], Mapping[str, keras.layers.Layer]] = lambda layer: {}
    build: Callable[[keras.layers.Layer, Mapping[str, tf.TensorShape]], None] | None = None
    make_parts: Callable[[keras.layers.Layer, Mapping[str, tf.TensorShape]], None] | None = None
