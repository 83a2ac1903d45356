"""Where training runs, and in which precision."""

import contextlib

PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")


def set_precision(name: str):
    """Makes every layer that is built from now on compute in a precision.

    Args:
        name: ``float32``, ``mixed_float16`` (GPUs) or ``mixed_bfloat16`` (GPUs, and
            CPUs with AMX).

    Raises:
        ValueError: If the name is another.
    """
    import keras

    if name not in PRECISIONS:
        raise ValueError(
            f"A precision is one of {', '.join(PRECISIONS)}. Received: {name!r}."
        )
    keras.config.set_dtype_policy(name)


def select(gpus: str | None):
    """A distribution strategy over the asked devices, or None for a single one.

    Args:
        gpus: Numbers with commas, such as ``"0"`` or ``"0,1"``; ``"-1"`` for the CPU;
            None for TensorFlow's own choice.

    Raises:
        ValueError: If there is no such GPU.
    """
    import tensorflow as tf

    if gpus is None:
        return None
    found = tf.config.list_physical_devices("GPU")
    wanted = [part.strip() for part in str(gpus).split(",") if part.strip() != "-1"]
    if not all(part.isdigit() and int(part) < len(found) for part in wanted):
        raise ValueError(
            f"--gpu takes numbers of GPUs, of which TensorFlow sees {len(found)}. "
            f"Received: {gpus!r}. Leave it out, or give -1 for the CPU."
        )
    tf.config.set_visible_devices([found[int(part)] for part in wanted], "GPU")
    return tf.distribute.MirroredStrategy() if len(wanted) > 1 else None


def scope(strategy):
    """The context in which models for a strategy are built; None is fine."""
    return contextlib.nullcontext() if strategy is None else strategy.scope()
