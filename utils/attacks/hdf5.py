"""Files of Keras that attack their reader."""

import json
import pathlib
import zipfile
import zlib
from collections.abc import Callable

import h5py
import numpy as np

HUGE = 1 << 34  # numbers


def kernel(file: h5py.File) -> str:
    """Return the path of a kernel, ``layers/NAME/vars/0``."""
    names = sorted(name for name in file["layers"] if "conv2d" in name)
    return f"layers/{names[0]}/vars/0"


def wrapper(**options):
    """Return the smallest wrapper."""
    import kerasloc

    size = {"growth": 2, "layers_per_block": 1, "initial_filters": 4, "blocks": 2}
    return kerasloc.HalfModel(**size, **options)


INTACT = ("half.weights.h5", "half.keras", "legacy.h5")


def write_intact(folder: pathlib.Path) -> None:
    """Write the files of names INTACT."""
    model = wrapper(num_classes=2, im_size=32, channels=1).model
    model.save_weights(folder / INTACT[0])
    model.save(folder / INTACT[1])
    with h5py.File(folder / INTACT[2], "w") as file:
        for layer in model.layers:
            group = file.create_group(layer.name)
            names = [f"{layer.name}/{v.name}:0" for v in layer.weights]
            group.attrs["weight_names"] = np.array(names, "S")
            for name, variable in zip(names, layer.weights, strict=True):
                group[name] = variable.numpy()


def changes(folder: pathlib.Path) -> dict[str, Callable[[h5py.File], None]]:
    """Return changes of an intact `.weights.h5` by the name of the attack.

    ``folder`` gets the files that they try to read.
    """
    secret, target = folder / "secret.bin", str(folder / "secret.h5")
    secret.write_bytes(b"secret!!" * 100)
    with h5py.File(target, "w") as file:
        file["a"] = np.ones((2, 2), np.float32)
    return _links(target) | _references(target, str(secret)) | _declared() | _objects()


def _links(target: str) -> dict[str, Callable[[h5py.File], None]]:
    def link(value, up=0):
        return _replaced(lambda group, name: group.__setitem__(name, value), up)

    return {
        "external-link": link(h5py.ExternalLink(target, "a")),
        "external-link-group": link(h5py.ExternalLink(target, "/"), 2),
        "external-link-layers": link(h5py.ExternalLink(target, "/"), 3),
        "soft-link": link(h5py.SoftLink("/layers")),
        "soft-link-nowhere": link(h5py.SoftLink("/nowhere")),
        "soft-link-cycle": _replaced(
            lambda group, name: group.__setitem__(
                name, h5py.SoftLink(f"{group.name}/{name}")
            )
        ),
        "cycle": lambda file: file[kernel(file)].parent.__setitem__(
            "x", file["layers"]
        ),
        "cycle-root": lambda file: file["layers"].__setitem__("x", file["/"]),
        "hard-links": lambda file: [
            file[kernel(file)].parent.__setitem__(str(k), file[kernel(file)])
            for k in range(2, 1000)
        ],
    }


def _references(target: str, secret: str) -> dict[str, Callable[[h5py.File], None]]:
    """Datasets whose numbers are in other files."""
    layout = h5py.VirtualLayout((2, 2), "f4")
    layout[:] = h5py.VirtualSource(target, "a", (2, 2))
    endless = h5py.VirtualLayout((2, 2), "f4", maxshape=(None, 2))
    endless[: h5py.h5s.UNLIMITED] = h5py.VirtualSource(
        target, "a", (2, 2), maxshape=(None, 2)
    )[: h5py.h5s.UNLIMITED]
    return {
        "external-storage": _dataset(external=[(secret, 0, 16)]),
        "virtual": _replaced(lambda g, n: g.create_virtual_dataset(n, layout)),
        "virtual-endless": _replaced(lambda g, n: g.create_virtual_dataset(n, endless)),
    }


def _declared() -> dict[str, Callable[[h5py.File], None]]:
    """Datasets that are larger than what is stored."""
    return {
        "unstored": _dataset((HUGE,)),
        "unstored-small": _dataset(),
        "unstored-fill": _dataset((HUGE,), fillvalue=3.0),
        "unstored-chunks": _dataset((HUGE,), chunks=(1 << 16,)),
        "unstored-classes": _dataset((16, 10**9), chunks=(16, 1 << 10)),
        "chunk-huge": _dataset((2,), maxshape=(None,), chunks=(1 << 29,)),
        "bomb": _stored(np.zeros(10**8, np.int8), compression=9),
        "bomb-lying": _replaced(_lying),
        "bomb-lying-twice": _replaced(_nested),
        "lzf": _stored(np.zeros(10**6, np.int8), compression="lzf"),
    }


def _objects() -> dict[str, Callable[[h5py.File], None]]:
    """Objects that no weight file has, or too many."""
    return {
        "texts": lambda file: file.__setitem__("layers/x", ["a" * 1000] * 10),
        "text-attribute": lambda file: file[kernel(file)].parent.attrs.__setitem__(
            "name", ["a" * 3000] * 3000
        ),
        "references": lambda file: file.create_dataset(
            "r", data=file["layers"].ref, dtype=h5py.ref_dtype
        ),
        "compound": lambda file: file.__setitem__("c", np.zeros(3, "i4,f4")),
        "named-type": lambda file: file.__setitem__("t", np.dtype("f8")),
        "array-type": lambda file: file.create_dataset("t", (), "(1000000,)f8"),
        "deep": lambda file: file.create_group("a/" * 5000),
        "many": lambda file: [file.create_group(f"g/{k}") for k in range(30_000)],
        "nothing": lambda file: file.clear(),
        "more-blocks": many_layers,
    }


def _replaced(make, up=0):
    """Change of a file that replaces its kernel, or a group above."""

    def change(file):
        path = "/".join(kernel(file).split("/")[: 4 - up])
        del file[path]
        group, _, name = path.rpartition("/")
        make(file[group or "/"], name)

    return change


def _dataset(shape=(2, 2), **options):
    return _replaced(
        lambda group, name: group.create_dataset(name, shape, "f4", **options)
    )


def _stored(data, **options):
    return _replaced(
        lambda group, name: group.create_dataset(name, data=data, **options)
    )


def _lying(group, name):
    """Store a chunk that unpacks to a million times its size."""
    data = group.create_dataset(
        name, (128, 128), "f4", chunks=(128, 128), compression=9
    )
    data.id.write_direct_chunk((0, 0), zlib.compress(bytes(2 * 10**8), 9))


def _nested(group, name):
    """Store a chunk that is packed twice."""
    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    layout.set_chunk((128, 128))
    layout.set_deflate(9)
    layout.set_filter(h5py.h5z.FILTER_DEFLATE, 0, (9,))
    space = h5py.h5s.create_simple((128, 128))
    data = h5py.h5d.create(
        group.id, name.encode(), h5py.h5t.NATIVE_FLOAT, space, layout
    )
    data.write_direct_chunk((0, 0), zlib.compress(zlib.compress(bytes(2 * 10**8), 9)))


def many_layers(file):
    """Add layers whose names describe a network of millions."""
    for prefix in ("tr_{}_conv2D", "dense_0_{}_conv2D"):
        for index in range(1500):
            group = file.create_group(f"layers/{prefix.format(index)}/vars")
            group.attrs["name"] = prefix.format(index)
            group["0"] = np.ones((1, 1, 1, 1), np.float32)


def write_attacks(folder: pathlib.Path, intact: list[pathlib.Path]):
    """Iterate over attacks, each written when its turn comes."""
    weights, model, _ = intact
    with zipfile.ZipFile(model) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for name, change in changes(folder).items():
        path = folder / f"{name}.weights.h5"
        path.write_bytes(weights.read_bytes())
        with h5py.File(path, "a") as file:
            change(file)
        yield path
        inner = folder / "inner.h5"
        inner.write_bytes(members["model.weights.h5"])
        with h5py.File(inner, "a") as file:
            change(file)
        yield write_keras(
            folder / f"{name}.keras", members | {"model.weights.h5": inner.read_bytes()}
        )
    path = folder / "texts-endless.weights.h5"
    path.write_bytes(endless_texts(weights.read_bytes()))
    yield path
    path = folder / "many-links.weights.h5"  # damaged ones end the process in HDF5
    with h5py.File(path, "w", libver="latest") as file:
        for index in range(12):
            file[f"layers/{index}"] = np.ones(3)
    yield path
    for name, content in configs(members).items():
        yield write_keras(folder / f"{name}.keras", content)


def endless_texts(content: bytes) -> bytes:
    """Return a file whose first heap of texts has an item of no size."""
    start = content.index(b"GCOL") + 16
    return content[:start] + bytes(16) + content[start + 16 :]


def write_keras(path: pathlib.Path, members: dict[str, bytes]) -> pathlib.Path:
    """Write a `.keras` file of members by name; returns its path."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def configs(members):
    """Return attacks with the description of a `.keras` file, as members by name."""
    config = json.loads(members["config.json"])

    def changed(**layer):
        text = json.loads(members["config.json"])
        target = next(
            x for x in text["config"]["layers"] if x["config"]["name"] == "aux_output"
        )
        config = layer.pop("config", {})
        target["config"] = target["config"] | config if layer == {} else config
        target |= layer
        return {**members, "config.json": json.dumps(text).encode()}

    code = {"class_name": "Lambda", "module": "keras.layers", "registered_name": None}
    return {
        "units": changed(config={"units": 10**9}),
        "kernel": changed(config={"units": 10**5, "dtype": "float64"}),
        "bomb-config": {
            **members,
            "config.json": json.dumps(config).encode() + b" " * 10**8,
        },
        "lambda": changed(**code),
        "module": changed(class_name="system", module="os"),
        "module-function": changed(
            class_name="function", module="builtins", config="eval"
        ),
        "no-config": {k: v for k, v in members.items() if k != "config.json"},
        "no-weights": {k: v for k, v in members.items() if k != "model.weights.h5"},
        "assets": {**members, "assets/../../x": b"x"},
        "array": {**members, "config.json": b"[" * 100_000},
    }
