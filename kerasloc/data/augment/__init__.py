"""Augmentations of an image together with its boxes and mask.

An augmentation is a function ``(example, seed) -> example``: ``example`` is a dict of
tensors ``image`` (rows, cols, channels) in [0, 1] and, where there are any, ``boxes``
(k, 5) rows x, y, w, h, class in pixels, ``mask`` (rows, cols) and ``class_masks``
(rows, cols, classes) boolean, and ``file_size``, the rows and columns that the image
had in its file; ``seed`` is two integers that decide everything that is drawn.
"""

from kerasloc.data.augment.affine import AffineFlip
from kerasloc.data.augment.distort import Distortion
from kerasloc.data.augment.geometry import EnlargeCropFlip, RotateCropFlip
from kerasloc.data.augment.imgaug import ImgaugAugmentation, published_imgaug
from kerasloc.data.augment.photo import ColorJitter
from kerasloc.data.augment.recipes import Chain, voc, xray
from kerasloc.data.augment.strong import OneOf, Strong
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

MAKERS = {
    "affine": AffineFlip,
    "imgaug": ImgaugAugmentation,
    "xray": xray,
    "voc": voc,
    "ham": EnlargeCropFlip,
    "strong": Strong,
}


def augmentation(choice):
    """The augmentation that a name or an imgaug augmenter stands for, or None.

    Args:
        choice: ``"affine"`` (the published recipe in TensorFlow), ``"imgaug"`` (the
            same through imgaug), ``"xray"``, ``"voc"`` (see :func:`xray`,
            :func:`voc`), ``"ham"`` (:class:`EnlargeCropFlip`), ``"strong"``
            (:class:`Strong`, through imgaug), ``"none"`` or None, an imgaug augmenter,
            or a function ``(example, seed) -> example``.

    Raises:
        ValueError: If the name is another.
        TypeError: If it is none of these.
    """
    if choice is None or (isinstance(choice, str) and choice == "none"):
        return None
    if isinstance(choice, str):
        if choice not in MAKERS:
            raise ValueError(
                f"An augmentation is one of {', '.join(MAKERS)}, none. "
                f"Received: {choice!r}."
            )
        return MAKERS[choice]()
    if type(choice).__module__.startswith("imgaug"):
        return ImgaugAugmentation(choice)
    if callable(choice):
        return choice
    raise TypeError(
        "An augmentation is a name, an imgaug augmenter or a function. "
        f"Received: {type(choice).__name__}."
    )
