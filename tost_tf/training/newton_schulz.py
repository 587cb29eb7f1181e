"""The nearest orthogonal matrix, nearly, by matrix products alone."""

from __future__ import annotations

from tost_tf.compat import tf

# Of the odd polynomial a·x + b·x³ + c·x⁵ that is applied to each singular value (Muon, Jordan et al. 2024): its slope
# at zero is steep, and applied five times it takes all values from 0.003 to 1 to between 0.68 and 1.21.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def orthogonalised(matrices: tf.Tensor, steps: int = 5) -> tf.Tensor:
    """U·S'·Vᵀ for matrices U·S·Vᵀ, with S' near 1: Newton-Schulz iterations after a division by the Frobenius norm.

    As every iteration multiplies X by a polynomial of its Gram matrix, only small Gram matrices are iterated, and what
    they come to is multiplied with X once: for a matrix of n times c that costs 4·n·c² operations, where iterating
    X itself costs 4·n·c² a step. Float32 is precise enough for it, types of 16 bits are not.

    Args:
      matrices: float32 or float64 [..., rows, columns]; all of them are divided by the norm of them all, as if they
        were the blocks of one matrix.
      steps: iterations, at least 1.

    Returns:
      The same shape; zeros for zeros.
    """
    identity = tf.eye(min(matrices.shape[-2:]), dtype=matrices.dtype)
    wide = matrices.shape[-2] < matrices.shape[-1]
    matrices = tf.math.divide_no_nan(matrices, tf.norm(matrices))
    gram = tf.matmul(matrices, matrices, transpose_a=not wide, transpose_b=wide)
    a, b, c = (tf.constant(value, matrices.dtype) for value in COEFFICIENTS)
    product = None
    for step in range(steps):
        factor = a * identity + b * gram + c * tf.matmul(gram, gram)
        product = factor if product is None else tf.matmul(product, factor)
        if step < steps - 1:
            gram = tf.matmul(tf.matmul(factor, gram), factor)
    return tf.matmul(product, matrices) if wide else tf.matmul(matrices, product)
