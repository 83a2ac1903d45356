"""Devices that the backend computes on: accelerators, and replicas of a strategy."""

from typing import Any

import keras


def has_accelerator(backend: str | None = None) -> bool:
    """Detect a GPU (or the like) for a backend, Keras' by default.

    Examples:
        >>> has_accelerator("numpy")
        False
    """
    backend = backend or keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return bool(tf.config.list_logical_devices("GPU"))
    if backend == "jax":
        import jax

        return jax.default_backend() != "cpu"
    if backend == "torch":
        import torch

        return torch.cuda.is_available()
    return False


def sum_over_replicas(values: Any) -> Any:
    """Sum a tensor over the replicas of a distribution strategy.

    Gradients reach the values of every replica. Keras adds the replicas' gradients up,
    so a loss made of such sums is divided by :func:`replicas`.

    Examples:
        >>> float(sum_over_replicas(keras.ops.array(2.0)))
        2.0
    """
    if keras.backend.backend() != "tensorflow":
        return values
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return values
    return context.all_reduce(tf.distribute.ReduceOp.SUM, values)


def replicas() -> int:
    """Count the replicas that compute in step; 1 without a strategy.

    Examples:
        >>> replicas()
        1
    """
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync
