"""Embedded data: textured shapes on a noisy ground, with exact boxes and masks.

Images of one object are folders ``train/CLASS``, ``test/CLASS``, ``masks`` and
``annotations.json`` for ``kerasloc.data.read_folders``; images of several objects are
``images`` and ``data.csv`` for ``kerasloc.data.read_csv``.
"""

import csv
import dataclasses
import hashlib
import json
import os
from pathlib import Path

import numpy as np

from kerasloc.configs import check_rules
from kerasloc.data.datasets.reading import XYWH
from kerasloc.data.synthetic.folder import box_around, make_folder, save_png, with_bar
from kerasloc.data.synthetic.textured import SHAPES, draw, draw_several

SPLIT_NUMBERS = {"train": 0, "test": 1}
IN_NAME = ("classes", "size", "seed")
FORMAT = 1
MULTI_LABEL = 3  # most objects of the data that is called just "multilabel"
CSV_NAME = "data.csv"
Jobs = list[tuple[str, int]]  # split and number of each image


@dataclasses.dataclass(frozen=True)
class SyntheticConfig:
    """Settings of synthetic images of textured shapes.

    An image holds one object, of its class. With ``most_objects`` over 1 (multi-label
    data) it holds up to that number of objects, or none, all of different classes.

    Args:
        classes: Number of classes, 2 to 12.
        size: Side of the square images, pixels, 16 or more.
        train: Number of training images, spread evenly over the classes.
        test: Number of test images.
        seed: Random seed; with split and number it determines an image.
        distractors: Largest number of small shapes of any hue in an image; the
            smallest is half of it.
        object_share: Smallest and largest share of the image that the objects cover
            together.
        noise: Standard deviation of the grain, for values in [0, 1].
        most_objects: Largest number of objects in an image, 1 to ``classes``.

    Raises:
        ValueError: If a value is out of its range.

    Examples:
        >>> config = SyntheticConfig(classes=3)
        >>> config.class_names, config.name
        (('circle', 'star_3_1', 'star_5_2'), 'synthetic-96px-3classes-seed0')
    """

    classes: int = 4
    size: int = 96
    train: int = 640
    test: int = 200
    seed: int = 0
    distractors: int = 8
    object_share: tuple[float, float] = (0.06, 0.16)
    noise: float = 0.03
    most_objects: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "object_share", tuple(self.object_share))
        low, high = self.object_share
        rules = {
            f"classes in 2..{len(SHAPES)}": 2 <= self.classes <= len(SHAPES),
            "size of 16 pixels or more": self.size >= 16,
            "train of one image per class or more": self.train >= self.classes,
            "test of one image per class or more": self.test >= self.classes,
            "seed of 0 or more": self.seed >= 0,
            "distractors of 0 or more": self.distractors >= 0,
            "object_share in 0.02..0.2, ascending": 0.02 <= low <= high <= 0.2,
            "noise in 0..0.5": 0 <= self.noise <= 0.5,
            "most_objects in 1..classes": 1 <= self.most_objects <= self.classes,
        }
        check_rules(rules, self)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in the order of their folders."""
        return tuple(sorted(shape.name for shape in SHAPES[: self.classes]))

    @property
    def name(self) -> str:
        """Unique name of the data, such as ``synthetic-96px-4classes-seed0``."""
        defaults = dataclasses.asdict(SyntheticConfig())
        defaults["most_objects"] = MULTI_LABEL if self.multi_label else 1
        changed = {
            key: value
            for key, value in dataclasses.asdict(self).items()
            if key not in IN_NAME and value != defaults[key]
        }
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
    """Write the embedded data if absent and return its folder.

    Args:
        root: Parent folder.
        config: Settings of the data. None: the defaults.
    """
    config = config or SyntheticConfig()
    return write(Path(root) / config.name, config)


def write(folder: str | os.PathLike, config: SyntheticConfig) -> Path:
    """Write images, masks and boxes, or reuse a folder of the same settings.

    Args:
        folder: Folder to write; it appears when it is complete.
        config: Settings of the data.

    Raises:
        ValueError: If the folder holds something else.
    """
    settings = dataclasses.asdict(config)
    if not config.multi_label:
        del settings["most_objects"]  # older than this option
    settings = json.loads(json.dumps({"format": FORMAT, **settings}))
    jobs = [
        (split, number)
        for split, count in (("train", config.train), ("test", config.test))
        for number in range(count)
    ]
    write_images = _write_csv if config.multi_label else _write_folders
    return make_folder(folder, settings, lambda new: write_images(new, config, jobs))


def render(
    config: SyntheticConfig, split: str, number: int
) -> tuple[np.ndarray, np.ndarray, int]:
    """Draw an image of one object.

    Args:
        config: Settings of the data.
        split: "train" or "test".
        number: Number of the image in its split; classes take turns.

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

    Args:
        config: Settings of the data.
        split: "train" or "test".
        number: Number of the image in its split; the classes of the first object take
            turns.

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


def _write_folders(folder: Path, config: SyntheticConfig, jobs: Jobs) -> dict:
    """Write images and masks of one object each; return their boxes and masks."""
    boxes, masks = {}, {}
    for split, number in with_bar(jobs):
        picture, mask, shape = render(config, split, number)
        name = SHAPES[shape].name
        image = f"{split}/{name}/{number:04d}.png"
        masks[image] = f"masks/{image}"
        boxes[image] = [[*box_around(mask), name]]
        save_png(folder / image, picture)
        save_png(folder / masks[image], mask)
    return {"boxes": boxes, "masks": masks}


def _write_csv(folder: Path, config: SyntheticConfig, jobs: Jobs) -> dict:
    """Write images of several objects, and data.csv with labels and boxes."""
    rows: list[tuple] = [("image", "split", *config.class_names, "box_label", *XYWH)]
    for split, number in with_bar(jobs):
        picture, masks, shapes = render_several(config, split, number)
        image = f"images/{split}/{number:04d}.png"
        save_png(folder / image, picture)
        names = [SHAPES[shape].name for shape in shapes]
        labels = [int(name in names) for name in config.class_names]
        boxes = [(name, *box_around(m)) for name, m in zip(names, masks, strict=True)]
        rows += [(image, split, *labels, *box) for box in boxes or [("",) * 5]]
    with (folder / CSV_NAME).open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return {}
