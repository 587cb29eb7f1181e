"""An approximation of the nearest orthogonal matrix by matrix products only."""

from __future__ import annotations

from tost_tf.compat import tf

# Of the odd polynomial a·x + b·x³ + c·x⁵ that is applied to each singular value (Muon, Jordan et al. 2024). Its slope
# at zero is steep; applied five times it maps all values from 0.003 to 1 into [0.68, 1.21].
COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def orthogonalised(matrices: tf.Tensor, steps: int = 5) -> tf.Tensor:
    """U·S'·Vᵀ for matrices U·S·Vᵀ, with S' near 1: Newton-Schulz iterations after division by the Frobenius norm.

    Every iteration multiplies X by a polynomial of its Gram matrix. So only the small Gram matrices are iterated, and X
    is multiplied once, by the product of the polynomials. For an n × c matrix this costs about 4·n·c² operations in
    all, while iterating X costs as much in each step. Float32 is precise enough for this, 16-bit types are not.

    Args:
      matrices: float32 or float64 [..., rows, columns]; all are divided by their common norm, as blocks of one matrix.
      steps: number of iterations, at least 1.

    Returns:
      A tensor of the same shape; zero if `matrices` is zero.
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
