"""The input of an exported network."""

from __future__ import annotations

import dataclasses

import numpy as np

from tost_tf.compat import keras, tf

ANY_SIZE = 32  # height or width of examples if the model takes any
LARGEST_PIXEL = 255


@dataclasses.dataclass(frozen=True)
class ExportedInput:
    """The input of an export's signature.

    Attributes:
      name: "image" for images, otherwise the name of the model's input.
      dtype: float32, or the type of the model's input if the model takes the values unchanged.
      shape: with `None` for the batch and unknown sizes.
      are_images: whether it has height, width and channels.
      values: the model accepts at least all integers from 0 to `values - 1`.
    """

    name: str
    dtype: tf.DType
    shape: tuple[int | None, ...]
    are_images: bool
    values: int

    @classmethod
    def of(cls, model: keras.Model, unchanged: bool) -> ExportedInput:
        """The input of a model with one input; `unchanged`: whether the model gets the values unchanged."""
        first = model.inputs[0]
        are_images = first.shape.rank == 4
        tables = [layer.input_dim for layer in model.submodules if isinstance(layer, keras.layers.Embedding)]
        return cls(
            "image" if are_images else model.input_names[0],
            first.dtype if unchanged and not are_images else tf.float32,
            (None, *first.shape[1:]),
            are_images,
            min(tables, default=LARGEST_PIXEL),
        )

    def examples(self, count: int) -> np.ndarray:
        """Random numbers that the model accepts, [count, ...]."""
        shape = (count, *(ANY_SIZE if size is None else size for size in self.shape[1:]))
        generator = np.random.default_rng(0)
        return generator.integers(0, self.values, shape).astype(self.dtype.as_numpy_dtype)

    def text(self, are_pixels: bool) -> str:
        """A description: "image: float32 [batch, height, width, channels], pixels 0 to 255"."""
        sizes = ", ".join("any" if size is None else str(size) for size in self.shape[1:])
        axes = "height, width, channels" if self.are_images else sizes
        values = "pixels 0 to 255" if self.are_images and are_pixels else "as in the data"
        return f"{self.name}: {self.dtype.name} [batch, {axes}], {values}"
