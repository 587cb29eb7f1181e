"""The weight of each device's part of a batch in the loss."""

from __future__ import annotations

from tost_tf.compat import tf


def share_of_batch(examples: tf.Tensor) -> tf.Tensor:
    """The size of this replica's part relative to an equal part: its examples · replicas / all examples.

    Keras averages the loss over the examples of each replica and then over replicas. That is the mean over the batch
    only if all replicas have equally many examples. Multiplied by this factor it is right for any batch, also the last,
    smaller one. Must be called in replica context, where it costs the sum of one number over replicas.

    Args:
      examples: the number of examples of this replica, an integer.
    """
    context = tf.distribute.get_replica_context()
    here = tf.cast(examples, tf.float32)
    return here * context.num_replicas_in_sync / context.all_reduce(tf.distribute.ReduceOp.SUM, here)
