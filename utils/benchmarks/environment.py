"""Environment of a measurement: versions, machine, devices, threads, precision."""

import contextlib
import os
import pathlib
import platform
from collections.abc import Mapping

import numpy as np

BFLOAT16 = {"amx_bf16", "avx512_bf16"}


def environment(variables: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Collect versions, cores and load, devices, threads, and support of bfloat16."""
    import keras
    import tensorflow as tf

    tf.get_logger().setLevel("ERROR")  # it warns of retracing for many networks
    info = pathlib.Path("/proc/cpuinfo")
    flags = set(info.read_text().split()) if info.is_file() else set()
    vectors = sorted(flags & {*BFLOAT16, "avx512f", "avx2"})
    threads = tf.config.threading.get_intra_op_parallelism_threads()
    devices = tf.config.list_physical_devices()
    native = flags & BFLOAT16 or any(d.device_type == "GPU" for d in devices)
    return {
        "versions": f"python {platform.python_version()}, numpy {np.__version__}, "
        f"keras {keras.__version__} on {keras.backend.backend()} {tf.__version__}",
        "machine": f"{os.cpu_count()} cores ({' '.join(vectors) or platform.machine()})"
        f", load {os.getloadavg()[0]:.1f} at the start",
        "devices": ", ".join(device.name for device in devices),
        "threads": f"{threads or 'one per core'}, TF_ENABLE_ONEDNN_OPTS "
        f"{variables.get('TF_ENABLE_ONEDNN_OPTS', 'unset (as TensorFlow chooses)')}",
        "bfloat16": "by the machine" if native else "emulated, so slow on this machine",
    }


@contextlib.contextmanager
def in_precision(name: str):
    """Build networks of a precision inside the context."""
    import keras

    from kerasloc.training.compiling import set_precision

    policy = keras.config.dtype_policy()
    set_precision(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)
