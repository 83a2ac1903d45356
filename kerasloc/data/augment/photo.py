"""Brightness, contrast and saturation of an image."""

import dataclasses

import tensorflow as tf

LUMA = (0.299, 0.587, 0.114)


@dataclasses.dataclass(frozen=True)
class ColorJitter:
    """Brightness, contrast and saturation by random factors, in this order.

    A factor is drawn evenly from 1 - limit to 1 + limit. Brightness multiplies the
    image; contrast multiplies its distance from the mean of its gray; saturation
    multiplies its distance from its own gray, which a gray image lacks. After each step
    values are cut to [0, 1].

    Attributes:
        probability: Of all three.
        brightness: Limit of the factor, in [0, 1].
        contrast: The same.
        saturation: The same.
    """

    probability: float = 1.0
    brightness: float = 0.5
    contrast: float = 0.5
    saturation: float = 0.0

    def __post_init__(self):
        if not all(0 <= value <= 1 for value in dataclasses.astuple(self)):
            raise ValueError(f"Probability and limits lie in [0, 1]. Received: {self}.")

    def __call__(self, example: dict, seed) -> dict:
        """The example with another image; boxes and mask stay."""
        unit = tf.random.stateless_uniform([4], seed)
        image = example["image"]
        changed = tf.cond(
            unit[0] < self.probability,
            lambda: self._change(image, 2.0 * unit[1:] - 1.0),
            lambda: image,
        )
        changed.set_shape(image.shape)
        return {**example, "image": changed}

    def _change(self, image, draws):
        bright, contrast, saturation = tf.unstack(
            1.0 + draws * (self.brightness, self.contrast, self.saturation)
        )
        image = tf.clip_by_value(image * bright, 0.0, 1.0)
        image = _blend(image, tf.reduce_mean(_gray(image)), contrast)
        if self.saturation and image.shape[-1] == len(LUMA):
            image = _blend(image, _gray(image), saturation)
        return image


def _gray(image):
    if image.shape[-1] == len(LUMA):
        return tf.reduce_sum(image * LUMA, axis=-1, keepdims=True)
    return image


def _blend(image, other, factor):
    return tf.clip_by_value(other + factor * (image - other), 0.0, 1.0)
