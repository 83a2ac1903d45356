"""What a network is, apart from its weights, as it stands in a run folder."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class NetworkConfig:
    """Everything needed to build a network again.

    Attributes:
        family: Which wrapper: ``half``, ``full``, ...
        class_names: One name per class, in the order of the logits.
        im_size: Rows and columns of the images.
        channels: Of the images.
        multi_label: Whether an image may have several classes (sigmoid) or has exactly
            one (softmax).
        options: Keyword arguments of the family's builder.
        mean: Of the images, per channel (or one for all), taken off before the network.
        std: What they are then divided by.
        thresholds: Probability above which a class is said to be there, one for all
            or one per class (multi-label only).
        folded: Whether the batch normalization is folded into the convolutions.
    """

    family: str
    class_names: tuple[str, ...]
    im_size: tuple[int, int]
    channels: int = 3
    multi_label: bool = False
    options: dict = dataclasses.field(default_factory=dict)
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    thresholds: tuple[float, ...] = (0.5,)
    folded: bool = False

    def __post_init__(self):
        object.__setattr__(self, "class_names", tuple(map(str, self.class_names)))
        object.__setattr__(self, "im_size", tuple(self.im_size))
        for name, most in (
            ("mean", self.channels),
            ("std", self.channels),
            ("thresholds", len(self.class_names)),
        ):
            object.__setattr__(self, name, _numbers(name, getattr(self, name), most))
        if min(self.std) <= 0:
            raise ValueError(f"std is above 0. Received: {self.std}.")
        if not all(0 <= value <= 1 for value in self.thresholds):
            raise ValueError(
                f"Thresholds are probabilities, 0 to 1. Received: {self.thresholds}."
            )

    @property
    def num_classes(self) -> int:
        """How many classes there are."""
        return len(self.class_names)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Rows, columns, channels."""
        return (*self.im_size, self.channels)

    @property
    def name(self) -> str:
        """A readable name, such as ``full-4classes-96x96x3-growth8``."""
        size = "x".join(map(str, self.input_shape))
        options = [f"{key}{value}" for key, value in sorted(self.options.items())]
        return "-".join([self.family, f"{self.num_classes}classes", size, *options])

    def __str__(self):
        parts = [classes_in_words(self.class_names)]
        parts.append(" x ".join(map(str, self.input_shape)))
        for key, value in sorted(self.options.items()):
            known = key in ("backbone", "classifier")  # whose values say what they are
            parts.append(str(value) if known else f"{key}={value}")
        parts += ["multi-label"] if self.multi_label else []
        parts += ["folded"] if self.folded else []
        return "; ".join(parts)


def classes_in_words(names, most: int = 5) -> str:
    """How many classes and the first of them, such as ``2 classes: cat, dog``.

    Args:
        names: Of the classes.
        most: How many are named.
    """
    count, more = len(names), len(names) - most
    named = f"{', '.join(names[:most])}{f' and {more} more' if more > 0 else ''}"
    return f"{count} class{'es' * (count != 1)}: {named}"


def _numbers(name, values, most: int) -> tuple[float, ...]:
    """One number, or as many as there are channels or classes."""
    try:
        numbers = np.atleast_1d(np.asarray(values, float))
    except (TypeError, ValueError):
        numbers = np.empty(0)
    if numbers.shape not in ((1,), (most,)) or not np.isfinite(numbers).all():
        raise ValueError(
            f"{name} is one number or {most} of them. Received: {values!r}."
        )
    return tuple(numbers.tolist())
