"""ImageNet weights: where they lie, and into the backbone of a network."""

import dataclasses
import hashlib
import http.client
import logging
import os
import pathlib
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from kerasloc import io
from kerasloc.backbones import resnet
from kerasloc.weights import torch_match
from kerasloc.weights.torch_files import SUFFIXES
from kerasloc.weights.torch_match import Matched, as_numpy, bare


def load_backbone(model: Any, source: Any) -> Matched:
    """Fill the backbone of a network, and nothing else in it, with a ResNet's arrays.

    A first convolution for three channels also fits networks for one (its kernel
    summed over the channels) and two (the first two channels times 1.5).

    Args:
        model: Keras model with a ResNet, or a wrapper with one as ``model``.
        source: A torchvision or timm ResNet, or a checkpoint with one inside, as for
            :func:`kerasloc.weights.load_torch`, whose errors are raised.

    Examples:
        >>> import keras
        >>> image = keras.Input((8, 8, 1))
        >>> conv = keras.layers.Conv2D(2, 3, use_bias=False, name="conv1")
        >>> model = keras.Model(image, conv(image))
        >>> str(load_backbone(model, {"conv1.weight": np.ones((2, 3, 3, 3))}))
        '1 of 1 arrays matched'
        >>> float(conv.kernel[0, 0, 0, 0])  # summed over three channels
        3.0
    """
    network = torch_match.network_of(model)
    layers = {layer.name: layer for layer in resnet.layers_of(network)}
    if not layers:
        raise ValueError(
            "Expected a network with a backbone, the layers conv1, bn1, "
            f"layer1_0_conv1, ... Received: {network.name}, which has none of them."
        )
    arrays = torch_match.arrays_of(source)
    backbone = {
        name: as_numpy(array)
        for name, array in arrays.items()
        if re.match(r"(conv1|bn1|layer\d+)\.", bare(name))
    }
    for name, array in backbone.items():
        if bare(name) == "conv1.weight" and "conv1" in layers:
            backbone[name] = fit_channels(array, layers["conv1"].kernel.shape[2])
    matches = torch_match.match(layers, backbone)
    matches.ignored += [name for name in arrays if name not in backbone]
    return matches.fill(torch_match.title_of(source))


def fit_channels(kernel: np.ndarray, channels: int) -> np.ndarray:
    """Adapt a first kernel (out, in, rows, cols) to another channel count.

    One channel gets the sum over three, so that a gray image has the features of a
    color image with equal channels; two get the first two times 1.5.

    Raises:
        ValueError: If the counts do not fit.

    Examples:
        >>> fit_channels(np.array([1.0, 2.0, 4.0]).reshape(1, 3, 1, 1), 2).ravel()
        array([1.5, 3. ])
    """
    published = kernel.shape[1] if kernel.ndim == 4 else None
    if published == channels or published is None:
        return kernel
    if published == 3 and channels == 1:
        return kernel.sum(axis=1, keepdims=True)
    if published == 3 and channels == 2:
        return kernel[:, :2] * 1.5
    raise ValueError(
        "A first convolution fits images of as many channels, and one of 3 channels "
        f"also images of 1 and 2. Received: one of {published} for {channels}. Build "
        "the network with 1, 2 or 3 channels, or train it without these weights."
    )


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
TIMEOUT = 30  # seconds until a server that does not respond counts as unreachable

logger = logging.getLogger(__name__)


def cache_folder() -> pathlib.Path:
    """Return the folder of fetched weights."""
    home = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(home) / "kerasloc"


def _user_folder() -> pathlib.Path | None:
    folder = os.environ.get(FOLDER_VARIABLE)
    return pathlib.Path(folder) if folder else None


@dataclasses.dataclass(frozen=True)
class ImageNetFiles:
    """Files with published ImageNet weights, by default torchvision's.

    Attributes:
        names: File names by backbone, ``NAME-HASH.pth`` with the first digits of the
            SHA-256.
        url: Start of the address that files are fetched from.
        folder: Folder that is searched first; that of the environment variable
            ``KERASLOC_WEIGHTS`` by default.
        cache: Folder that is searched then and that files are fetched into.

    Examples:
        >>> files = ImageNetFiles(folder=None, cache=pathlib.Path("/nowhere"))
        >>> files.find("resnet18") is None
        True
    """

    names: Mapping[str, str] = dataclasses.field(default_factory=PUBLISHED.copy)
    url: str = URL
    folder: pathlib.Path | None = dataclasses.field(default_factory=_user_folder)
    cache: pathlib.Path = dataclasses.field(default_factory=cache_folder)

    def find(self, backbone: str) -> pathlib.Path | None:
        """Return the local file of a backbone such as ``resnet50``, or None.

        It has the published name, or simply ``resnet50.pth`` (``.safetensors``, ...).

        Raises:
            ValueError: If there are no such weights, ``folder`` is missing, or a file
                of the published name has another content.
        """
        published = self._name(backbone)
        if self.folder is not None and not self.folder.is_dir():
            raise ValueError(
                f"Expected {FOLDER_VARIABLE} to name a folder with weights. Received: "
                f"{self.folder}, which is missing. Make it, or unset the variable."
            )
        for folder in filter(None, (self.folder, self.cache)):
            for name in (published, *(f"{backbone}{suffix}" for suffix in SUFFIXES)):
                path = folder / name
                if path.is_file():
                    if name == published:
                        _check_hash(path, name)
                    return path
        return None

    def fetch(self, backbone: str) -> pathlib.Path:
        """Fetch the file of a backbone into the cache.

        Raises:
            ValueError: If the file cannot be fetched, or has another content.
        """
        name = self._name(backbone)
        path, url = self.cache / name, f"{self.url}{name}"
        logger.info("Fetching %s into %s", url, self.cache)
        try:
            urllib.request.urlopen(url, timeout=TIMEOUT).close()  # reachable?
            with io.atomic_write(path) as partial:
                target = {"cache_dir": partial.parent, "cache_subdir": ""}
                keras.utils.get_file(partial.name, url, force_download=True, **target)
                _check_hash(partial, name)
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()  # it is an open response
            raise ValueError(
                f"Expected to fetch ImageNet weights from {url}. Received: {error}. "
                f"Offline, fetch that file elsewhere and copy it to {self.cache} or to "
                f"a folder that the environment variable {FOLDER_VARIABLE} names; or "
                "train without ImageNet weights."
            ) from error
        return path

    def _name(self, backbone):
        if backbone not in self.names:
            raise ValueError(
                f"Expected a backbone with ImageNet weights, {', '.join(self.names)}. "
                f"Received: {backbone!r}."
            )
        return self.names[backbone]


def load_imagenet(
    model: Any, backbone: str, files: ImageNetFiles | None = None
) -> Matched:
    """Fill the backbone of a network with ImageNet weights.

    The file is searched in the folder that the environment variable
    ``KERASLOC_WEIGHTS`` names and in the cache, and else fetched once into the cache.

    Args:
        model: Keras model with a ResNet, or a wrapper with one as ``model``.
        backbone: Name such as ``resnet50``.
        files: Files with the weights; torchvision's by default.

    Raises:
        ValueError: If no such weights exist, can be fetched, or fit.
    """
    files = files or ImageNetFiles()
    path = files.find(backbone)
    return load_backbone(model, files.fetch(backbone) if path is None else path)


def find_imagenet(
    backbone: str, files: ImageNetFiles | None = None
) -> pathlib.Path | None:
    """Return the local file with a backbone's ImageNet weights, or None.

    Arguments and errors as for :func:`load_imagenet`.

    Examples:
        >>> find_imagenet("vgg16")
        Traceback (most recent call last):
        ValueError: Expected a backbone with ImageNet weights, resnet18, ...'vgg16'.
    """
    return (files or ImageNetFiles()).find(backbone)


def _check_hash(path, name):
    """Raise unless a file's SHA-256 begins as its published name ends."""
    expected = name.rpartition("-")[2].partition(".")[0]
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if not digest.startswith(expected):
        raise ValueError(
            f"Expected {name} with a SHA-256 that begins with {expected}. Received: "
            f"{digest[:8]} for the {path.stat().st_size} bytes of {path}. It may be "
            "cut short; remove it and fetch it again."
        )
