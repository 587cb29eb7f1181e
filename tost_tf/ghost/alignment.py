"""Which pixels of its input a convolution looks at, so that what stands beside it can read the same ones.

All along one dimension of the image. Sizes are numbers, or scalar integer tensors where only the run knows them.
"""

from __future__ import annotations

from tost_tf.compat import tf

Length = int | tf.Tensor


def first_centre(size: Length, kernel_size: int, stride: int, dilation: int, padding: str) -> Length:
    """The pixel under the middle of the kernel for the first output; output i has it at i·stride pixels further on.

    The middle is that of all pixels from the kernel's first tap to its last, the earlier one of the two in the middle
    where their number is even. It is never outside the image. A causal kernel looks back only; its middle would be
    outside at first, and the pixel of its last tap is taken.

    Args:
      size: of the input.
      kernel_size, stride, dilation: of the convolution, at least 1.
      padding: "valid", "same" (as TensorFlow pads: what is odd in it goes to the end) or "causal".
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
    """Where windows as wide as the stride begin that hold the centres, one each.

    The centre is in the middle of its window. Of an even stride it is one of the two pixels in the middle: the first,
    unless the last window would then leave the image and does not with the second.

    Args:
      centre: the first, from `first_centre`.
      size: of the input.
      stride: at least 1.
      outputs: how many windows there are.
    """
    first, second = centre - (stride - 1) // 2, centre - stride // 2
    return _larger(_smaller(first, _larger(size - outputs * stride, second)), 0)


def _larger(one: Length, other: Length) -> Length:
    return tf.maximum(one, other) if tf.is_tensor(one) or tf.is_tensor(other) else max(one, other)


def _smaller(one: Length, other: Length) -> Length:
    return tf.minimum(one, other) if tf.is_tensor(one) or tf.is_tensor(other) else min(one, other)
