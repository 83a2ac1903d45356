"""Models in other processes: pickled ones, and forks, in which TensorFlow hangs."""

import functools
import os
import pathlib
import re
import sys
import tempfile
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # ``import kerasloc`` loads no deep-learning library
    import keras

THREADS = pathlib.Path("/proc/self/task")  # of this process, on Linux
# of Keras, and of users' layers that are made again
_ERRORS = (
    *(AttributeError, ImportError, LookupError, NameError),
    *(RuntimeError, TypeError, ValueError),
)


def is_unsafe_fork(backend: str = "tensorflow") -> bool:
    """Test for a process where TensorFlow hangs: a fork of one that has used it.

    A fork has no threads but its first, and TensorFlow waits for its threads for ever.

    Args:
        backend: Backend to compute with; TensorFlow alone is tested.

    Examples:
        >>> is_unsafe_fork()
        False
    """
    return backend == "tensorflow" and _runs_tensorflow() and _owner() != os.getpid()


def check_process(backend: str = "tensorflow") -> None:
    """Raise in a process where TensorFlow hangs; see :func:`is_unsafe_fork`.

    Raises:
        RuntimeError: If it is such a fork.

    Examples:
        >>> check_process()
    """
    if is_unsafe_fork(backend):
        raise RuntimeError(
            "Expected a process that TensorFlow can compute in. Received: a fork of a "
            "process that has used it, which would hang. Use spawn, such as "
            'multiprocessing.get_context("spawn").Pool(); models and wrappers pickle.'
        )


def _runs_tensorflow() -> bool:
    """Test if the runtime has started; TensorFlow has no public test of it."""
    module = sys.modules.get("tensorflow.python.eager.context")
    context = module.context_safe() if module is not None else None
    return getattr(context, "_context_handle", None) is not None


@functools.cache
def _owner() -> int:
    """Process that the runtime was first seen in; 0 for a fork that lacks its threads.

    The cache goes into forks, as it is filled before the first that matters.
    """
    lost = THREADS.is_dir() and len([*THREADS.iterdir()]) <= threading.active_count()
    return 0 if lost else os.getpid()


def _before_fork() -> None:
    if _runs_tensorflow():
        _owner()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(before=_before_fork)


def pack_model(model: "keras.Model") -> bytes:
    """Write a model, without its optimizer, as a `.keras` archive that loads again.

    Raises:
        ValueError: If Keras cannot make the model again.

    Examples:
        >>> import keras
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
        >>> unpack_model(pack_model(model)).count_params()
        9
    """
    import keras

    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "model.keras")
        try:
            keras.saving.save_model(model, path)
        except _ERRORS as error:
            raise ValueError(_problem(error)) from error
        _load(path)  # an error here is seen; in a pool's workers it may hang the pool
        return path.read_bytes()


def unpack_model(archive: bytes) -> "keras.Model":
    """Make a model of the archive of :func:`pack_model`.

    Raises:
        ValueError: If Keras cannot make the model, such as for layers not imported.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "model.keras")
        path.write_bytes(archive)
        return _load(path)


def _load(path: pathlib.Path) -> "keras.Model":
    import keras

    check_process(keras.backend.backend())
    try:  # a pickle can run any code: the safe mode would add nothing
        return keras.saving.load_model(path, compile=False, safe_mode=False)
    except _ERRORS as error:
        raise ValueError(_problem(error)) from error


def _problem(error: Exception) -> str:
    """Message with the line of Keras' long one that names the layer."""
    text = str(error).strip()
    missing = re.search(r"Could not [^.\n]*", text)
    line = missing[0] if missing else (text or repr(error)).splitlines()[0]
    return (
        "Expected a model that Keras can save and load, to pickle it. Received: "
        f"{line[:160]} ({type(error).__name__}). Use registered layers and functions "
        "(keras.saving.register_keras_serializable), imported before unpickling, with "
        "get_config(); no lambdas; or send get_weights() to a model built there."
    )
