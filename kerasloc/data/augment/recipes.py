"""Compositions of augmentations: chains, random choices, and the published recipes."""

import dataclasses
import functools
from collections.abc import Callable

import tensorflow as tf

from kerasloc.configs import check_rules, field_rules, option
from kerasloc.data.augment.color import ColorJitter
from kerasloc.data.augment.distort import MOVED, Distortion
from kerasloc.data.augment.geometry import Example, RotateCropFlip
from kerasloc.data.augment.imgaug import ImgaugAugmentation, imgaug_library


@dataclasses.dataclass(frozen=True)
class Chain:
    """Augmentations in sequence, each with a seed derived from the common seed.

    Examples:
        >>> chain = Chain((lambda example, seed: {"image": example["image"] + 1},) * 2)
        >>> float(chain({"image": tf.constant(1.0)}, seed=(0, 1))["image"])
        3.0
    """

    steps: tuple[Callable, ...]

    def __call__(self, example: Example, seed: tf.Tensor) -> Example:
        """Apply all steps."""
        for number, step in enumerate(self.steps):
            derived = tf.random.experimental.stateless_fold_in(seed, number)
            example = step(example, derived)
        return example


@dataclasses.dataclass(frozen=True)
class OneOf:
    """Random choice of one of several augmentations, all equally likely.

    Raises:
        ValueError: If the probability is not in [0, 1].
    """

    choices: tuple[Callable, ...]
    probability: float = option(1.0, "Probability of applying one.", low=0, high=1)

    def __post_init__(self) -> None:
        check_rules(field_rules(self), self.probability)

    def __call__(self, example: Example, seed: tf.Tensor) -> Example:
        """Apply one of them, or none."""
        draw, rest = tf.unstack(tf.random.split(tf.cast(seed, tf.int64), 2))
        unit = tf.random.stateless_uniform([2], draw)
        branch = 1 + tf.cast(unit[1] * len(self.choices), tf.int32)
        moving = {name: example[name] for name in MOVED if name in example}

        def applied(choice):
            out = choice(moving, rest)
            return {name: out[name] for name in moving}

        branches = [lambda: moving]
        branches += [functools.partial(applied, choice) for choice in self.choices]
        branch = tf.where(unit[0] < self.probability, branch, 0)
        result = tf.switch_case(branch, branches)
        for name, tensor in moving.items():
            result[name].set_shape([None, 5] if name == "boxes" else tensor.shape)
        return {**example, **result}


def xray() -> Chain:
    """Recipe for chest X-rays, as in the training of PYLON."""
    return Chain((RotateCropFlip(), ColorJitter(probability=0.5)))


def voc() -> Chain:
    """Recipe for Pascal VOC, as in the training of PYLON."""
    geometry = RotateCropFlip(
        rotation=10.0, rotate=1.0, area=(0.5, 1.0), aspect=(1.0, 1.0), crop=0.5
    )
    return Chain((geometry, ColorJitter(1.0, 0.2, 0.2, 0.2)))


class Strong:
    """Seven changes in sequence, each with a probability.

    1. A flip, a turn by 180 degrees or, for square images, one by 90 or 270 or a
       transposition; 2. Gaussian noise; 3. a Gaussian, median or motion blur; 4. shift,
       scale and rotation; 5. a :class:`Distortion`; 6. CLAHE, or sharpening, or
       embossing, or brightness and contrast; 7. hue and saturation, of color images.

    All but the distortions go through imgaug.

    Args:
        probability: Probability of each.

    Raises:
        ValueError: If the probability is not in [0, 1].

    Reference:
        Rio-Torto, Fernandes, Teixeira, Understanding the decisions of CNNs: an in-model
        approach, Pattern Recognition Letters 133, 2020.
    """

    def __init__(self, probability: float = 0.2) -> None:
        self._chains = {
            (square, color): Chain(
                tuple(OneOf(c, probability) for c in _geometry(square) + _light(color))
            )
            for square in (False, True)
            for color in (False, True)
        }

    @tf.autograph.experimental.do_not_convert  # not needed; halves the time to trace
    def __call__(self, example: Example, seed: tf.Tensor) -> Example:
        """Apply all changes."""
        rows, cols, channels = example["image"].shape
        square = rows is not None and rows == cols
        return self._chains[square, channels == 3](example, seed)


def _geometry(square: bool) -> list[tuple]:
    """Choices of the changes 1 to 5."""
    iaa = imgaug_library().augmenters
    turns = [iaa.Fliplr(1.0), iaa.Flipud(1.0), iaa.Rot90(2)]
    if square:
        transposition = iaa.Sequential([iaa.Rot90(1), iaa.Fliplr(1.0)])
        turns += [iaa.Rot90(1), iaa.Rot90(3), transposition]
    shift = dict.fromkeys("xy", (-0.0625, 0.0625))
    affine = iaa.Affine((0.8, 1.2), shift, rotate=(-45, 45), order=1, cval=0)
    noise = iaa.AdditiveGaussianNoise(scale=(2.5, 12.5), per_channel=True)
    blurs = [iaa.GaussianBlur((0.5, 1.5)), iaa.MedianBlur((3, 5)), iaa.MotionBlur(5)]
    wrapped = [_wrapped(*kind) for kind in (turns, [noise], blurs, [affine])]
    return [*wrapped, (Distortion(),)]


def _light(color: bool) -> list[tuple]:
    """Choices of the changes 6 and, for color images, 7."""
    iaa = imgaug_library().augmenters
    lights = _wrapped(
        iaa.CLAHE(clip_limit=(1, 4)),
        iaa.Sharpen(alpha=(0.2, 0.5), lightness=(0.5, 1.0)),
        iaa.Emboss(alpha=(0.2, 0.5), strength=(0.2, 0.7)),
        iaa.Sequential([iaa.Multiply((0.8, 1.2)), iaa.LinearContrast((0.8, 1.2))]),
    )
    hue = iaa.AddToHueAndSaturation(value_hue=(-20, 20), value_saturation=(-30, 30))
    return [lights, _wrapped(hue)] if color else [lights]


def _wrapped(*augmenters) -> tuple[Callable, ...]:
    return tuple(map(ImgaugAugmentation, augmenters))
