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
from kerasloc.data.augment.geometry import AffineFlip, EnlargeCropFlip, RotateCropFlip
from kerasloc.data.augment.imgaug import ImgaugAugmentation, published_imgaug
from kerasloc.data.augment.recipes import Chain, OneOf, Strong, voc, xray
from kerasloc.data.augment.warp import warp

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
    "affine": AffineFlip,
    "imgaug": ImgaugAugmentation,
    "xray": xray,
    "voc": voc,
    "ham": EnlargeCropFlip,
    "strong": Strong,
}


def augmentation(choice: Any) -> Callable | None:
    """Return the augmentation of a name or of an imgaug augmenter, or None.

    Args:
        choice: ``"affine"`` (HRCAM's recipe in TensorFlow), ``"imgaug"`` (the same
            through imgaug), ``"xray"``, ``"voc"`` (see :func:`xray`, :func:`voc`),
            ``"ham"`` (:class:`EnlargeCropFlip`), ``"strong"`` (:class:`Strong`, through
            imgaug), ``"none"`` or None, an imgaug augmenter, or a function
            ``(example, seed) -> example``.

    Raises:
        ValueError: If there is no such name.
        TypeError: If it is neither a name, an augmenter nor a function.

    Examples:
        >>> augmentation("ham")
        EnlargeCropFlip(scale=(1.0, 1.12), flip=0.5)
        >>> augmentation("none") is None
        True
    """
    if choice is None or (isinstance(choice, str) and choice == "none"):
        return None
    if isinstance(choice, str):
        if choice not in RECIPES:
            raise ValueError(
                f"Expected an augmentation among {', '.join(RECIPES)}, none. "
                f"Received: {choice!r}."
            )
        return RECIPES[choice]()
    if type(choice).__module__.startswith("imgaug"):
        return ImgaugAugmentation(choice)
    if callable(choice):
        return choice
    raise TypeError(
        "Expected a name, an imgaug augmenter or a function as augmentation. "
        f"Received: {type(choice).__name__}."
    )
