"""Writers of PyTorch's and safetensors' files, and goldens of published networks."""

import contextlib
import json
import pathlib
import pickle
import struct
import zipfile

import numpy as np
import pytest

GOLDENS = pathlib.Path(__file__).parents[1] / "goldens"
STORAGES = {"float32": "FloatStorage", "int64": "LongStorage"}


def body(value) -> bytes:
    """The pickled value without the opcodes that begin and end a pickle."""
    return pickle.dumps(value, 2)[2:-1]


def named(module, name) -> bytes:
    return f"c{module}\n{name}\n".encode()


def tensor(key, array) -> bytes:
    """A pickled tensor whose numbers are the whole storage ``key``, in C order."""
    storage = named("torch", STORAGES[str(array.dtype)])
    strides = tuple(step // array.itemsize for step in array.strides)
    layout = b"".join(body(part) for part in (0, array.shape, strides, False))
    hooks = named("collections", "OrderedDict") + b")R"
    location = b"(" + body("storage") + storage + body(key) + body("cpu")
    reference = location + body(array.size) + b"tQ"
    rebuild = named("torch._utils", "_rebuild_tensor_v2")
    return rebuild + b"(" + reference + layout + hooks + b"tR"


def pickled(entries) -> bytes:
    """A pickled dict; the values are pickled already."""
    pairs = b"".join(body(name) + value for name, value in entries.items())
    return b"\x80\x02}(" + pairs + b"u."


def write_archive(path, content, storages):
    """A file as of ``torch.save``.

    Args:
        path: Of the file.
        content: A pickle.
        storages: Bytes by key.
    """
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", content)
        for key, data in storages.items():
            archive.writestr(f"archive/data/{key}", data)
    return path


def write_torch(path, arrays):
    """A file as of ``torch.save(state_dict)``."""
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    entries = {n: tensor(str(k), a) for k, (n, a) in enumerate(arrays.items())}
    storages = {str(k): a.tobytes() for k, a in enumerate(arrays.values())}
    return write_archive(path, pickled(entries), storages)


def write_safetensors(path, entries, metadata=None):
    """A safetensors file of (type, shape, bytes) by name."""
    header, data = {"__metadata__": metadata or {}}, b""
    for name, (dtype, shape, content) in entries.items():
        offsets = [len(data), len(data) + len(content)]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": offsets}
        data += content
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


@contextlib.contextmanager
def unchanged_weights(model):
    before = model.get_weights()
    yield
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.fixture(scope="session")
def unchanged():
    """Context in which a model keeps its weights."""
    return unchanged_weights


@pytest.fixture(scope="session")
def published():
    """Function from arrays to the state of a network trained on several GPUs."""

    def state(arrays, prefix="module."):
        counters = {
            name.replace("running_var", "num_batches_tracked"): np.array(9)
            for name in arrays
            if name.endswith("running_var")
        }
        return {f"{prefix}{name}": array for name, array in (arrays | counters).items()}

    return state


@pytest.fixture(scope="session")
def torch_writer():
    return write_torch


@pytest.fixture(scope="session")
def archive_writer():
    return write_archive


@pytest.fixture(scope="session")
def safetensors_writer():
    return write_safetensors


@pytest.fixture(scope="session")
def ham_golden(network_golden):
    """Function from a name to a golden network of HAM and its outputs by name."""
    kind = type(network_golden("baseline_max"))
    facts = json.loads((GOLDENS / "ham.json").read_text())
    arrays = np.load(GOLDENS / "ham.npz")

    def load(name):
        keys = [key for key in arrays if key.startswith(f"{name}/")]
        outputs = {key.partition("/")[2]: arrays[key] for key in keys}
        return kind(name, facts[name], arrays), outputs

    return load
