"""Sums over all replicas of a distribution strategy."""

import keras


def sum_over_replicas(values):
    """The sum of what every replica has; the values themselves without replicas.

    Gradients reach every replica's values. Keras adds the replicas' gradients up, so a
    loss made of such sums is divided by :func:`replicas`.

    Args:
        values: A tensor of the same shape on every replica.
    """
    if keras.backend.backend() != "tensorflow":
        return values
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return values
    return context.all_reduce(tf.distribute.ReduceOp.SUM, values)


def replicas() -> int:
    """How many replicas compute in step; 1 without a strategy."""
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync
