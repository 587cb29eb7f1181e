"""Which pixels of its input a convolution reads, so that its ghost skip can read the same ones.

Everything is along one dimension of the image. Sizes are integers, or scalar integer tensors if not known statically.
"""

from __future__ import annotations

from tost_tf.compat import tf

Length = int | tf.Tensor


def first_centre(size: Length, kernel_size: int, stride: int, dilation: int, padding: str) -> Length:
    """The pixel under the centre of the kernel for the first output; for output i it is i·stride pixels further.

    The centre is the middle of all pixels from the kernel's first tap to its last; if their number is even, the earlier
    of the two in the middle. It is never outside the image. For a causal kernel, which reads only earlier pixels, the
    centre would be outside at first, so the pixel of its last tap is used.

    Args:
      size: of the input.
      kernel_size, stride, dilation: of the convolution, at least 1.
      padding: "valid", "same" (as TensorFlow pads: an odd pixel goes to the end) or "causal".
    """
    if padding == "causal":
        return 0
    reach = (kernel_size - 1) * dilation
    if padding == "valid" or stride == 1:
        return reach // 2 if padding == "valid" else 0
    outputs = -(-size // stride)
    padded = _larger((outputs - 1) * stride + reach + 1 - size, 0)
    return reach // 2 - padded // 2


def first_window(centre: Length, size: Length, stride: int, outputs: Length) -> Length:
    """The start of the first of the windows that are as wide as the stride and hold one centre each.

    The centre is in the middle of its window. For an even stride it is the first of the two pixels in the middle, or
    the second if the last window would otherwise leave the image.

    Args:
      centre: the first centre, from `first_centre`.
      size: of the input.
      stride: at least 1.
      outputs: the number of windows.
    """
    first, second = centre - (stride - 1) // 2, centre - stride // 2
    return _larger(_smaller(first, _larger(size - outputs * stride, second)), 0)


def read_length(start: Length, size: Length, stride: int, outputs: Length) -> Length:
    """How many pixels there are from `start` on for windows as wide as the stride; the last may leave the image."""
    return _smaller(outputs * stride, size - start)


def _larger(one: Length, other: Length) -> Length:
    return tf.maximum(one, other) if tf.is_tensor(one) or tf.is_tensor(other) else max(one, other)


def _smaller(one: Length, other: Length) -> Length:
    return tf.minimum(one, other) if tf.is_tensor(one) or tf.is_tensor(other) else min(one, other)
