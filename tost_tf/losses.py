"""What training minimises."""

from tost_tf.compat import keras


def cross_entropy(label_smoothing: float = 0.0) -> keras.losses.Loss:
    """Cross-entropy of logits against one-hot labels smoothed to y(1-a) + a/K (ToST, Section 2.3).

    The authors' released code spreads a over the K-1 wrong classes instead; the paper's formula is kept here.

    Args:
      label_smoothing: the smooth ratio a, in [0, 1).
    """
    return keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=label_smoothing)
