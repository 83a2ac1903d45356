"""Augmentations one after the other, and the published ones by name."""

import dataclasses
from collections.abc import Callable

import tensorflow as tf

from kerasloc.data.augment.geometry import RotateCropFlip
from kerasloc.data.augment.photo import ColorJitter


@dataclasses.dataclass(frozen=True)
class Chain:
    """Augmentations one after the other, each with its own seed made from the one.

    Attributes:
        steps: Functions ``(example, seed) -> example``.
    """

    steps: tuple[Callable, ...]

    def __call__(self, example: dict, seed) -> dict:
        """The example after all steps."""
        for place, step in enumerate(self.steps):
            example = step(
                example, tf.random.experimental.stateless_fold_in(seed, place)
            )
        return example


def xray() -> Chain:
    """The augmentation of chest X-rays that PYLON was trained with.

    Rotation by up to 90 degrees for every second image, a crop of 0.7 to 1 of the area,
    a flip, and brightness and contrast by up to half for every second image.
    """
    return Chain((RotateCropFlip(), ColorJitter(probability=0.5)))


def voc() -> Chain:
    """The augmentation of Pascal VOC that PYLON was trained with.

    Rotation by up to 10 degrees, for every second image a square crop of 0.5 to 1 of
    the area, a flip, and brightness, contrast and saturation by up to a fifth.
    """
    geometry = RotateCropFlip(
        rotation=10.0, rotate=1.0, area=(0.5, 1.0), aspect=(1.0, 1.0), crop=0.5
    )
    return Chain((geometry, ColorJitter(1.0, 0.2, 0.2, 0.2)))
