"""What each device's part of a batch counts for."""

from __future__ import annotations

from tost_tf.compat import tf


def share_of_batch(examples: tf.Tensor) -> tf.Tensor:
    """How many times an equal share of the batch this replica has: its examples · replicas / all examples.

    Keras takes the mean loss of each replica and then the mean over replicas, which is that of the batch only where
    all replicas have as many examples. Times this factor it is the batch's for the last, smaller batch too.
    To be called in the replicas' context, where it costs the sum of one number over them.

    Args:
      examples: images this replica has, a whole number.
    """
    context = tf.distribute.get_replica_context()
    here = tf.cast(examples, tf.float32)
    return here * context.num_replicas_in_sync / context.all_reduce(tf.distribute.ReduceOp.SUM, here)
