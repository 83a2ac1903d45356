"""A strong augmentation: geometry, distortions, noise, blurs and light.

Through imgaug, but for the distortions.

Reference:
    The list of changes is that of Rio-Torto, Fernandes, Teixeira, Understanding the
    decisions of CNNs: an in-model approach, Pattern Recognition Letters 133, 2020.
"""

import dataclasses
from collections.abc import Callable

import tensorflow as tf

from kerasloc.data.augment.distort import MOVED, Distortion
from kerasloc.data.augment.imgaug import ImgaugAugmentation, imgaug_library
from kerasloc.data.augment.recipes import Chain


@dataclasses.dataclass(frozen=True)
class OneOf:
    """With some probability one of several augmentations, each as often.

    Attributes:
        choices: Functions ``(example, seed) -> example``.
        probability: That one of them is applied.

    Raises:
        ValueError: If the probability is not in [0, 1].
    """

    choices: tuple[Callable, ...]
    probability: float = 1.0

    def __post_init__(self):
        if not 0 <= self.probability <= 1:
            raise ValueError(
                f"A probability lies in [0, 1]. Received: {self.probability}."
            )

    def __call__(self, example: dict, seed) -> dict:
        """The example after one of them, or as it was."""
        own, theirs = tf.unstack(tf.random.split(tf.cast(seed, tf.int64), 2))
        unit = tf.random.stateless_uniform([2], own)
        which = 1 + tf.cast(unit[1] * len(self.choices), tf.int32)
        parts = {name: example[name] for name in MOVED if name in example}

        def after(choice):
            return lambda: {
                k: v for k, v in choice(parts, theirs).items() if k in parts
            }

        branches = [lambda: parts, *map(after, self.choices)]
        which = tf.where(unit[0] < self.probability, which, 0)
        answer = tf.switch_case(which, branches)
        for name, part in parts.items():
            answer[name].set_shape([None, 5] if name == "boxes" else part.shape)
        return {**example, **answer}


class Strong:
    """Each of seven changes with some probability, in this order.

    1. A flip, a turn by 180 degrees or, for square images, one by 90 or 270 or a
       transposition; 2. Gaussian noise; 3. a Gaussian, median or motion blur; 4. shift,
       scale and rotation; 5. a :class:`Distortion`; 6. CLAHE, or sharpening, or
       embossing, or brightness and contrast; 7. hue and saturation, of color images.

    Args:
        probability: Of each.

    Raises:
        ImportError: If imgaug is not installed or cannot be imported.
        ValueError: If the probability is not in [0, 1].
    """

    def __init__(self, probability: float = 0.2):
        self._chains = {
            (square, color): Chain(
                tuple(
                    OneOf(choices, probability)
                    for choices in (*_geometry(square), *_light(color))
                )
            )
            for square in (False, True)
            for color in (False, True)
        }

    @tf.autograph.experimental.do_not_convert  # needs none, and is traced in half
    def __call__(self, example: dict, seed) -> dict:
        """The example after all changes."""
        rows, cols, channels = example["image"].shape
        square = rows is not None and rows == cols
        return self._chains[square, channels == 3](example, seed)


def _geometry(square: bool) -> list[tuple]:
    """What each of the changes 1 to 5 chooses from."""
    iaa = imgaug_library().augmenters
    turns = [iaa.Fliplr(1.0), iaa.Flipud(1.0), iaa.Rot90(2)]
    if square:
        transposition = iaa.Sequential([iaa.Rot90(1), iaa.Fliplr(1.0)])
        turns += [iaa.Rot90(1), iaa.Rot90(3), transposition]
    affine = iaa.Affine(
        scale=(0.8, 1.2),
        translate_percent={"x": (-0.0625, 0.0625), "y": (-0.0625, 0.0625)},
        rotate=(-45, 45),
        order=1,
        cval=0,
    )
    return [
        _ours(*turns),
        _ours(iaa.AdditiveGaussianNoise(scale=(2.5, 12.5), per_channel=True)),
        _ours(iaa.GaussianBlur((0.5, 1.5)), iaa.MedianBlur((3, 5)), iaa.MotionBlur(5)),
        _ours(affine),
        (Distortion(),),
    ]


def _light(color: bool) -> list[tuple]:
    """What the changes 6 and, of color images, 7 choose from."""
    iaa = imgaug_library().augmenters
    lights = _ours(
        iaa.CLAHE(clip_limit=(1, 4)),
        iaa.Sharpen(alpha=(0.2, 0.5), lightness=(0.5, 1.0)),
        iaa.Emboss(alpha=(0.2, 0.5), strength=(0.2, 0.7)),
        iaa.Sequential([iaa.Multiply((0.8, 1.2)), iaa.LinearContrast((0.8, 1.2))]),
    )
    hue = iaa.AddToHueAndSaturation(value_hue=(-20, 20), value_saturation=(-30, 30))
    return [lights, _ours(hue)] if color else [lights]


def _ours(*augmenters) -> tuple[Callable, ...]:
    """Augmenters of imgaug as augmentations of ours."""
    return tuple(map(ImgaugAugmentation, augmenters))
