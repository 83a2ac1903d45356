"""Embedded data: textured shapes on a noisy ground, with exact boxes and masks.

Images of one object are folders ``train/CLASS``, ``test/CLASS``, ``masks`` and
``annotations.json`` for ``kerasloc.data.read_folders``; images of several objects are
``images`` and ``data.csv`` for ``kerasloc.data.read_csv``.
"""

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from kerasloc.configs import check_rules, field_rules, option
from kerasloc.data.datasets.reading import XYWH
from kerasloc.data.synthetic.folder import (
    box_around,
    make_folder,
    save_png,
    with_bar,
    write_classes,
)
from kerasloc.data.synthetic.textured import SHAPES, draw, draw_several
from kerasloc.io import write_csv

SPLIT_NUMBERS = {"train": 0, "test": 1}
IN_NAME = ("classes", "size", "seed")
FORMAT = 1
MULTI_LABEL = 3  # most objects of the data that is called just "multilabel"
CSV_NAME = "data.csv"


@dataclasses.dataclass(frozen=True)
class SyntheticConfig:
    """Settings of synthetic images of textured shapes.

    An image holds one object, of its class. With ``most_objects`` over 1 (multi-label
    data) it holds up to that number of objects, or none, all of different classes.

    Raises:
        ValueError: If a value is out of its range.

    Examples:
        >>> config = SyntheticConfig(classes=3)
        >>> config.class_names, config.name
        (('circle', 'star_3_1', 'star_5_2'), 'synthetic-96px-3classes-seed0')
    """

    classes: int = option(4, "Number of classes, 2 to 12.", low=2, high=len(SHAPES))
    size: int = option(96, "Side of the square images, pixels, 16 or more.", low=16)
    train: int = option(640, "Number of training images, over all classes.")
    test: int = option(200, "Number of test images, the same.")
    seed: int = option(0, "Seed of all images.", low=0)
    distractors: int = option(
        8, "Largest number of small further shapes in an image; half at least.", low=0
    )
    object_share: tuple[float, float] = option(
        (0.06, 0.16),
        "Smallest and largest share of the image that the objects cover, together.",
    )
    noise: float = option(
        0.03, "Standard deviation of the noise, of values in 0..1.", low=0, high=0.5
    )
    most_objects: int = option(
        1,
        "Largest number of objects of different classes in an image; over 1, images "
        "have several labels or none, in data.csv.",
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "object_share", tuple(self.object_share))
        low, high = self.object_share
        rules = {
            "train of one image per class or more": self.train >= self.classes,
            "test of one image per class or more": self.test >= self.classes,
            "object_share in 0.02..0.2, ascending": 0.02 <= low <= high <= 0.2,
            "most_objects in 1..classes": 1 <= self.most_objects <= self.classes,
        }
        check_rules(field_rules(self) | rules, self)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in the order of their folders."""
        return tuple(sorted(shape.name for shape in SHAPES[: self.classes]))

    @property
    def name(self) -> str:
        """Unique name of the data, such as ``synthetic-96px-4classes-seed0``."""
        defaults = dataclasses.asdict(SyntheticConfig())
        defaults["most_objects"] = MULTI_LABEL if self.multi_label else 1
        values = dataclasses.asdict(self).items()
        changed = {k: v for k, v in values if k not in IN_NAME and v != defaults[k]}
        code = hashlib.md5(json.dumps(changed, sort_keys=True).encode()).hexdigest()
        kind = "-multilabel" if self.multi_label else ""
        name = f"synthetic-{self.size}px-{self.classes}classes{kind}-seed{self.seed}"
        return f"{name}-{code[:6]}" if changed else name

    @property
    def multi_label(self) -> bool:
        """Whether images hold any number of objects up to ``most_objects``."""
        return self.most_objects > 1


def default_folder(
    root: str | os.PathLike = "data", config: SyntheticConfig | None = None
) -> Path:
    """Write the embedded data into ``root`` if absent and return its folder."""
    config = config or SyntheticConfig()
    return write(Path(root) / config.name, config)


def write(folder: str | os.PathLike, config: SyntheticConfig) -> Path:
    """Write images, masks and boxes, or reuse a folder of the same settings.

    Raises:
        ValueError: If the folder holds something else.
    """
    settings = {"format": FORMAT, **dataclasses.asdict(config)}
    if config.multi_label:
        return make_folder(folder, settings, lambda new: _write_csv(new, config))
    del settings["most_objects"]  # older than this option
    images = _images(config)
    return make_folder(folder, settings, lambda new: write_classes(new, images))


def render(
    config: SyntheticConfig, split: str, number: int
) -> tuple[np.ndarray, np.ndarray, int]:
    """Draw an image of one object; the classes of a split's images take turns.

    Returns:
        Picture uint8 (size, size, 3), mask (size, size) and shape index.

    Examples:
        >>> picture, mask, shape = render(SyntheticConfig(size=32), "train", 5)
        >>> picture.shape, mask.shape, shape
        ((32, 32, 3), (32, 32), 1)
    """
    rng = np.random.default_rng((config.seed, SPLIT_NUMBERS[split], number))
    shape = number % config.classes
    return *draw(rng, shape, config), shape


def render_several(
    config: SyntheticConfig, split: str, number: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw an image of up to ``most_objects`` objects.

    Returns:
        Picture uint8 (size, size, 3), masks (k, size, size) and shape indices (k,).
    """
    rng = np.random.default_rng((config.seed, SPLIT_NUMBERS[split], number))
    first = number % config.classes
    rest = rng.permutation(np.delete(np.arange(config.classes), first))
    count = rng.integers(config.most_objects + 1)
    shapes = np.array([first, *rest])[:count]
    picture, masks = draw_several(rng, shapes, config)
    visible = masks.any(axis=(1, 2))  # tiny objects may cover no pixel
    return picture, masks[visible], shapes[visible]


def _jobs(config: SyntheticConfig) -> Iterable[tuple[str, int]]:
    return with_bar([(s, n) for s in SPLIT_NUMBERS for n in range(getattr(config, s))])


def _images(config: SyntheticConfig) -> Iterator[tuple]:
    for split, number in _jobs(config):
        picture, mask, shape = render(config, split, number)
        yield split, SHAPES[shape].name, number, picture, {"masks": mask}


def _write_csv(folder: Path, config: SyntheticConfig) -> dict:
    """Write images of several objects, and data.csv with labels and boxes."""
    columns = "image", "split", *config.class_names, "box_label", *XYWH
    rows: list[dict] = []
    for split, number in _jobs(config):
        picture, masks, shapes = render_several(config, split, number)
        image = f"images/{split}/{number:04d}.png"
        save_png(folder / image, picture)
        names = [SHAPES[shape].name for shape in shapes]
        labels = [int(name in names) for name in config.class_names]
        boxes = [(name, *box_around(m)) for name, m in zip(names, masks, strict=True)]
        lines = [(image, split, *labels, *box) for box in boxes or [("",) * 5]]
        rows += [dict(zip(columns, line, strict=True)) for line in lines]
    write_csv(folder / CSV_NAME, rows)
    return {}
