"""Brightness, contrast and saturation of an image."""

import dataclasses

import tensorflow as tf

from kerasloc.configs import check_rules, field_rules, option
from kerasloc.data.augment.geometry import Example

LUMA = (0.299, 0.587, 0.114)


@dataclasses.dataclass(frozen=True)
class ColorJitter:
    """Brightness, contrast and saturation by random factors, in this order.

    A factor is uniform from 1 - limit to 1 + limit and multiplies the image, or its
    difference from its mean gray, or from its gray. Values are clipped to [0, 1].

    Raises:
        ValueError: If a value is outside [0, 1].

    Examples:
        >>> jitter = ColorJitter(brightness=0.5, contrast=0.0)
        >>> example = jitter({"image": tf.ones((2, 2, 1)) / 2}, seed=(0, 1))
        >>> bool(0.25 <= example["image"][0, 0, 0] <= 0.75)
        True
    """

    probability: float = option(1.0, "Probability of all three.", low=0, high=1)
    brightness: float = option(0.5, "Limit of the factor.", low=0, high=1)
    contrast: float = option(0.5, "Limit of the factor.", low=0, high=1)
    saturation: float = option(0.0, "Limit of the factor.", low=0, high=1)

    def __post_init__(self) -> None:
        check_rules(field_rules(self), self)

    def __call__(self, example: Example, seed: tf.Tensor) -> Example:
        """Change the image of the example; boxes and masks stay."""
        unit = tf.random.stateless_uniform([4], seed)
        limits = (self.brightness, self.contrast, self.saturation)
        bright, contrast, saturation = tf.unstack(1.0 + (2.0 * unit[1:] - 1.0) * limits)
        before = example["image"]

        def changed():
            image = tf.clip_by_value(before * bright, 0.0, 1.0)
            image = _blend(image, tf.reduce_mean(_gray(image)), contrast)
            return _blend(image, _gray(image), saturation) if self.saturation else image

        image = tf.cond(unit[0] < self.probability, changed, lambda: before)
        return {**example, "image": tf.ensure_shape(image, before.shape)}


def _gray(image: tf.Tensor) -> tf.Tensor:
    if image.shape[-1] == len(LUMA):
        return tf.reduce_sum(image * LUMA, axis=-1, keepdims=True)
    return image


def _blend(image: tf.Tensor, base: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    return tf.clip_by_value(base + factor * (image - base), 0.0, 1.0)
