"""Whether the backend computes on more than a CPU."""

import keras


def has_accelerator() -> bool:
    """Whether the backend has a GPU (or the like) to compute on."""
    backend = keras.backend.backend()
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
