"""Augmentations of an image together with its boxes and masks.

An augmentation is a function ``(example, seed) -> example``: ``example`` is a dict of
tensors ``image`` (rows, cols, channels) in [0, 1] and, if present, ``boxes`` (k, 5)
rows x, y, w, h, class in pixels, ``mask`` (rows, cols) and ``class_masks``
(rows, cols, classes) boolean, and ``file_size``, rows and columns of the image in its
file; ``seed`` is two integers that determine all draws.
"""

from collections.abc import Callable
from typing import Any

from kerasloc.data.augment.color import ColorJitter
from kerasloc.data.augment.distort import Distortion
from kerasloc.data.augment.geometry import (
    AffineFlip,
    EnlargeCropFlip,
    RotateCropFlip,
    warp,
)
from kerasloc.data.augment.imgaug import ImgaugAugmentation, published_imgaug
from kerasloc.data.augment.recipes import Chain, OneOf, Strong, voc, xray
from kerasloc.data.problems import check_choice

__all__ = [
    "AffineFlip",
    "Chain",
    "ColorJitter",
    "Distortion",
    "EnlargeCropFlip",
    "ImgaugAugmentation",
    "OneOf",
    "RotateCropFlip",
    "Strong",
    "augmentation",
    "published_imgaug",
    "voc",
    "warp",
    "xray",
]

RECIPES: dict[str, Callable] = {
    "affine": AffineFlip,  # HRCAM's
    "imgaug": ImgaugAugmentation,  # the same through imgaug
    "xray": xray,
    "voc": voc,
    "ham": EnlargeCropFlip,
    "strong": Strong,
}


def augmentation(choice: Any) -> Callable | None:
    """Return the augmentation of a name or of an imgaug augmenter, or None.

    Args:
        choice: A name of ``RECIPES``, ``"none"`` or None, an imgaug augmenter, or a
            function ``(example, seed) -> example``.

    Raises:
        ValueError: If there is no such name.
        TypeError: If it is neither a name, an augmenter nor a function.

    Examples:
        >>> augmentation("ham")
        EnlargeCropFlip(scale=(1.0, 1.12), flip=0.5)
        >>> augmentation("none") is None
        True
    """
    if isinstance(choice, str):
        check_choice("augmentation", choice, (*RECIPES, "none"))
        return None if choice == "none" else RECIPES[choice]()
    if type(choice).__module__.startswith("imgaug"):
        return ImgaugAugmentation(choice)
    if choice is None or callable(choice):
        return choice
    raise TypeError(
        "Expected a name, an imgaug augmenter or a function as augmentation. "
        f"Received: {type(choice).__name__}."
    )
