"""The embedded data: textured shapes on noisy ground, with exact boxes and masks.

Made on the spot, no download: folders ``train/CLASS`` and ``test/CLASS``, ``masks``
and ``annotations.json``, as ``kerasloc.data.read_folders`` reads them; or, with
several objects in an image, ``images`` and ``data.csv`` for ``kerasloc.data.read_csv``.
"""

import csv
import dataclasses
import hashlib
import json
import logging
import os
import shutil
import uuid
from pathlib import Path

import numpy as np

from kerasloc.data.datasets.csv_table import BOX
from kerasloc.data.datasets.folders import ANNOTATIONS
from kerasloc.data.drawing import SHAPES, draw, draw_several

SPLIT_NUMBERS = {"train": 0, "test": 1}
IN_NAME = ("classes", "size", "seed")
BAR_FROM = 200
FORMAT = 1
MULTI_LABEL = 3  # most objects of the data that is called just "multilabel"
CSV_NAME = "data.csv"

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class SyntheticConfig:
    """What synthetic data to make.

    Every image holds one object, of its class; with ``most_objects`` over 1 (data with
    several labels) it holds none to that many, each of another class.

    Args:
        classes: Number of classes, 2 to 12.
        size: Sides of the square images, pixels, 16 or more.
        train: Images for training, spread evenly over the classes.
        test: Images for testing.
        seed: An image depends on it, on its split and on its number only.
        distractors: Most small shapes that lie about in an image (at least half as
            many do); they can have any hue.
        object_share: Smallest and largest share of the image that the object covers; of
            several objects, that all of them cover.
        noise: Standard deviation of the grain, for values in [0, 1].
        most_objects: Most objects in an image; 1 to the number of classes.

    Raises:
        ValueError: If a value is out of its range.
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

    def __post_init__(self):
        """Check the ranges."""
        object.__setattr__(self, "object_share", tuple(self.object_share))
        low, high = self.object_share
        rules = {
            f"classes is 2 to {len(SHAPES)}": 2 <= self.classes <= len(SHAPES),
            "size is 16 pixels or more": self.size >= 16,
            "train is one image a class or more": self.train >= self.classes,
            "test is one image a class or more": self.test >= self.classes,
            "seed is 0 or more": self.seed >= 0,
            "distractors is 0 or more": self.distractors >= 0,
            "object_share lies in 0.02..0.2, the smaller first": 0.02
            <= low
            <= high
            <= 0.2,
            "noise lies in 0..0.5": 0 <= self.noise <= 0.5,
            "most_objects is 1 to the number of classes": 1
            <= self.most_objects
            <= self.classes,
        }
        broken = [rule for rule, kept in rules.items() if not kept]
        if broken:
            raise ValueError(f"{'; '.join(broken)}. Received: {self}.")

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in the order of their folders."""
        return tuple(sorted(shape.name for shape in SHAPES[: self.classes]))

    @property
    def name(self) -> str:
        """Name that tells this data from others: synthetic-96px-4classes-seed0."""
        rest = dataclasses.asdict(self)
        plain = dataclasses.asdict(SyntheticConfig())
        plain["most_objects"] = MULTI_LABEL if self.multi_label else 1
        own = {k: v for k, v in rest.items() if k not in IN_NAME and v != plain[k]}
        code = hashlib.md5(json.dumps(own, sort_keys=True).encode()).hexdigest()[:6]
        kind = "-multilabel" if self.multi_label else ""
        name = f"synthetic-{self.size}px-{self.classes}classes{kind}-seed{self.seed}"
        return f"{name}-{code}" if own else name

    @property
    def multi_label(self) -> bool:
        """Whether images hold any number of objects up to ``most_objects``."""
        return self.most_objects > 1


def default_folder(root="data", config: SyntheticConfig | None = None) -> Path:
    """Folder of the embedded data, made when absent.

    Args:
        root: Folder that holds it.
        config: What to make. None: the defaults.
    """
    config = SyntheticConfig() if config is None else config
    return write(Path(root) / config.name, config)


def write(folder, config: SyntheticConfig) -> Path:
    """The folder, with the images of the config, their masks and boxes in it.

    It appears when it is complete. One that is there with the same settings is used
    as it is.

    Args:
        folder: Where the data is to lie.
        config: What to make.

    Raises:
        ValueError: If the folder holds something else.
    """
    return make_folder(
        folder, _settings(config), lambda unfinished: _write_all(unfinished, config)
    )


def make_folder(folder, settings: dict, fill) -> Path:
    """The folder of data that ``fill`` makes, with annotations.json in it.

    It appears when it is complete. One that is there with the same settings is used
    as it is.

    Args:
        folder: Where the data is to lie.
        settings: What tells this data from other data, as JSON gives it back.
        fill: Function of a folder that writes all files there and gives what is to
            stand in annotations.json beside the settings.

    Raises:
        ValueError: If the folder holds something else.
    """
    folder = Path(folder)
    if _is_there(folder, settings):
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = folder.with_name(f".{folder.name}-{uuid.uuid4().hex[:8]}")
    try:
        content = json.dumps({"settings": settings, **fill(unfinished)})
        (unfinished / ANNOTATIONS).write_text(content, encoding="utf-8")
        if not _is_there(folder, settings):  # another process may have been faster
            os.replace(unfinished, folder)
            logger.info("wrote %s", folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def render(config: SyntheticConfig, split: str, number: int):
    """Picture uint8 (size, size, 3), mask (size, size) and shape index of one image.

    Args:
        config: What data it is of.
        split: "train" or "test".
        number: Of the image in its split; numbers go through the classes in turn.
    """
    rng = np.random.default_rng((config.seed, SPLIT_NUMBERS[split], number))
    shape = number % config.classes
    return *draw(rng, config.size, shape, config), shape


def render_several(config: SyntheticConfig, split: str, number: int):
    """Picture uint8 (size, size, 3), masks (k, size, size) and shape indices (k,).

    Args:
        config: What data it is of.
        split: "train" or "test".
        number: Of the image in its split; the first object's class goes through the
            classes in turn.
    """
    rng = np.random.default_rng((config.seed, SPLIT_NUMBERS[split], number))
    first = number % config.classes
    others = rng.permutation(np.delete(np.arange(config.classes), first))
    count = rng.integers(config.most_objects + 1)
    shapes = np.array([first, *others])[:count]
    picture, masks = draw_several(rng, config.size, shapes, config)
    seen = masks.any(axis=(1, 2))  # tiny ones may cover no pixel
    return picture, masks[seen], shapes[seen]


def _settings(config: SyntheticConfig) -> dict:
    """What annotations.json remembers of the config."""
    values = dataclasses.asdict(config)
    if not config.multi_label:
        del values["most_objects"]  # data of one object is older than the option
    return json.loads(json.dumps({"format": FORMAT, **values}))


def _is_there(folder: Path, settings: dict) -> bool:
    """Whether the folder holds this very data; raises if it holds something else."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    try:
        content = json.loads((folder / ANNOTATIONS).read_text(encoding="utf-8"))
        found = content["settings"]
    except (OSError, ValueError, KeyError, TypeError):
        found = None
    if found != settings:
        raise ValueError(
            "Synthetic data goes into a folder of its own. Received: "
            f"{folder}, which holds {'other files' if found is None else found} and "
            f"not {settings}. Remove it or name another folder."
        )
    return True


def _write_all(folder: Path, config: SyntheticConfig) -> dict:
    """Write every image; gives what is known of them."""
    jobs = [("train", i) for i in range(config.train)]
    jobs += [("test", i) for i in range(config.test)]
    write_images = _write_csv if config.multi_label else _write_folders
    return write_images(folder, config, with_bar(jobs))


def with_bar(jobs: list):
    """The jobs one by one, with a progress bar when they are many images."""
    from tqdm import tqdm

    return tqdm(jobs, "drawing", unit="image", disable=len(jobs) < BAR_FROM)


def _write_folders(folder: Path, config: SyntheticConfig, jobs) -> dict:
    """Write images and masks of one object each; gives their boxes and masks."""
    boxes, masks = {}, {}
    for split, number in jobs:
        picture, mask, shape = render(config, split, number)
        name = SHAPES[shape].name
        image = f"{split}/{name}/{number:04d}.png"
        masks[image] = f"masks/{image}"
        boxes[image] = [[*box_around(mask), name]]
        save_png(folder / image, picture)
        save_png(folder / masks[image], mask)
    return {"boxes": boxes, "masks": masks}


def _write_csv(folder: Path, config: SyntheticConfig, jobs) -> dict:
    """Write images of several objects, and data.csv; there is no more to be said."""
    names = config.class_names
    rows = [("image", "split", *names, "box_label", *BOX)]
    for split, number in jobs:
        picture, masks, shapes = render_several(config, split, number)
        image = f"images/{split}/{number:04d}.png"
        save_png(folder / image, picture)
        own = [SHAPES[shape].name for shape in shapes]
        labels = [int(name in own) for name in names]
        boxes = [
            (name, *box_around(mask)) for name, mask in zip(own, masks, strict=True)
        ]
        rows += [(image, split, *labels, *box) for box in boxes or [("",) * 5]]
    with (folder / CSV_NAME).open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return {}


def box_around(mask) -> list[int]:
    """x, y, w, h around a mask that is true somewhere."""
    y, x = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return [int(v) for v in (x[0], y[0], x[-1] + 1 - x[0], y[-1] + 1 - y[0])]


def save_png(path: Path, pixels) -> None:
    """Write an 8-bit PNG, and the folder that it lies in.

    Args:
        path: Of the file.
        pixels: uint8 (rows, cols) or (rows, cols, 3); a boolean mask becomes 0 and 255.
    """
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    if pixels.dtype == bool:
        pixels = pixels.astype(np.uint8) * 255
    Image.fromarray(pixels).save(path, compress_level=1)
