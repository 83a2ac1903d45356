"""Pretrained ResNets in the backbone of a network: from a file, or fetched once."""

import hashlib
import http.client
import logging
import os
import pathlib
import urllib.request

from tqdm import tqdm

from kerasloc.weights.backbone import load_backbone
from kerasloc.weights.torch_files import SUFFIXES
from kerasloc.weights.torch_match import Matched

URL = "https://download.pytorch.org/models/"
# torchvision's IMAGENET1K_V1; the name's end begins the file's SHA-256
PUBLISHED = {
    "resnet18": "resnet18-f37072fd.pth",
    "resnet34": "resnet34-b627a593.pth",
    "resnet50": "resnet50-0676ba61.pth",
    "resnet101": "resnet101-63fe2227.pth",
    "resnet152": "resnet152-394f9c45.pth",
    "resnext50_32x4d": "resnext50_32x4d-7cdf4587.pth",
    "resnext101_32x8d": "resnext101_32x8d-8ba56ff5.pth",
}
FOLDER_VARIABLE = "KERASLOC_WEIGHTS"
TIMEOUT = 30  # seconds without an answer
CHUNK = 1 << 20

logger = logging.getLogger(__name__)


def load_imagenet(model, backbone: str) -> Matched:
    """Gives the backbone of a network torchvision's ImageNet weights.

    The file is looked for in the folder that the environment variable
    ``KERASLOC_WEIGHTS`` names and in the cache, and else fetched once into the cache.

    Args:
        model: A Keras model with a ResNet, or a wrapper that holds one as ``model``.
        backbone: Such as ``resnet50``.

    Returns:
        How many arrays matched.

    Raises:
        ValueError: If there are no such weights, the file cannot be had or does not
            fit.
    """
    path = find_imagenet(backbone)
    return load_backbone(model, fetch(backbone) if path is None else path)


def find_imagenet(backbone: str) -> pathlib.Path | None:
    """The local file with a backbone's ImageNet weights, or None.

    Args:
        backbone: Such as ``resnet50``. Its file is called as torchvision's, or simply
            ``resnet50.pth`` (``.pt``, ``.bin``, ``.safetensors``).

    Raises:
        ValueError: If there are no such weights, ``KERASLOC_WEIGHTS`` is no folder, or
            a file of torchvision's name is not that file.
    """
    name = _published(backbone)
    names = [name, *(f"{backbone}{suffix}" for suffix in SUFFIXES)]
    for folder in _folders():
        for path in (folder / one for one in names):
            if path.is_file():
                if path.name == name:
                    _check(path)
                return path
    return None


def fetch(backbone: str) -> pathlib.Path:
    """Fetches a backbone's ImageNet weights into the cache; the file.

    Args:
        backbone: Such as ``resnet50``.

    Raises:
        ValueError: If the file cannot be had, or is another one than published.
    """
    name = _published(backbone)
    path = cache_folder() / name
    partial = path.with_name(f"partial-{os.getpid()}-{name}")
    logger.info("Fetching %s%s into %s", URL, name, path.parent)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _download(URL + name, partial)
        _check(partial, name)
        os.replace(partial, path)
    except (OSError, http.client.HTTPException) as error:
        raise ValueError(
            f"ImageNet weights are fetched once from {URL}{name}. Received: {error}. "
            f"Offline, fetch that file elsewhere and put it into {path.parent} or into "
            f"a folder that the environment variable {FOLDER_VARIABLE} names; or train "
            "without ImageNet weights."
        ) from error
    finally:
        partial.unlink(missing_ok=True)
    return path


def cache_folder() -> pathlib.Path:
    """Where fetched weights are kept."""
    home = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(home) / "kerasloc"


def _published(backbone) -> str:
    if backbone not in PUBLISHED:
        raise ValueError(
            f"ImageNet weights are published for {', '.join(PUBLISHED)}. "
            f"Received: {backbone!r}."
        )
    return PUBLISHED[backbone]


def _folders() -> list[pathlib.Path]:
    given = os.environ.get(FOLDER_VARIABLE)
    if not given:
        return [cache_folder()]
    if not pathlib.Path(given).is_dir():
        raise ValueError(
            f"{FOLDER_VARIABLE} names a folder of weight files. Received: {given}, "
            "which is none. Make it, or unset the variable."
        )
    return [pathlib.Path(given), cache_folder()]


def _download(url, path):
    with urllib.request.urlopen(url, timeout=TIMEOUT) as answer, path.open("wb") as out:
        size = int(answer.headers.get("Content-Length") or 0) or None
        bar = tqdm(total=size, desc=path.name, unit="B", unit_scale=True, leave=False)
        with bar:
            while chunk := answer.read(CHUNK):
                out.write(chunk)
                bar.update(len(chunk))


def _check(path, name=None):
    """Raise unless a file's SHA-256 begins as its published name ends."""
    name = name or path.name
    wanted = name.rpartition("-")[2].partition(".")[0]
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if not digest.startswith(wanted):
        raise ValueError(
            f"The SHA-256 of {name} begins with {wanted}. Received: {digest[:8]} for "
            f"the {path.stat().st_size} bytes of {path}. It may be cut short; remove "
            "it and fetch it again."
        )
