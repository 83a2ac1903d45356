"""Synthetic polygons: images with and without a target shape, its boxes and masks.

They are written as ``kerasloc.data.read_folders`` reads them::

    train|val|test/absent|present/0000.png, annotations.json
    masks/train/present/0000.png           visible pixels of the target
    others/train/absent/0000.png           visible pixels of all other shapes

Images of both classes are alike in number, positions, sizes and colors of shapes.
"""

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np

from kerasloc.configs import check_rules, option
from kerasloc.data.datasets.folders import ANNOTATIONS, FOLDERS
from kerasloc.data.synthetic.flat import cells_per_side, draw, nested_radius
from kerasloc.data.synthetic.folder import make_folder, with_bar, write_classes
from kerasloc.data.synthetic.stars import (
    CIRCLE,
    Star,
    inner_radius,
    parse_star,
    star_name,
)

RGB = tuple[int, int, int]
CLASSES = ("absent", "present")
FORMAT = 1
COLORS = ("color", "outer_color", "background")
CENTER_PIXEL = 0.75  # radius of a circle that holds a pixel's center at any position
SIMPLE: Mapping[str, Any] = {
    "others": (CIRCLE,),
    "shapes": (2, 2),
    "noise": 0.0,
    "color": (40, 90, 200),
    "outer_color": (240, 200, 60),
    "background": (255, 255, 255),
}


@dataclasses.dataclass(frozen=True)
class PolygonConfig:
    """Settings of synthetic images of polygons.

    A shape is a star polygon {p/q}, given as (p, q), as a text such as "5/2" or, for a
    circle, as "circle" or -1. With an outer shape, the target is the shape within that
    outer one, and its box and mask surround both.

    Raises:
        ValueError: If a value is out of range, or shapes are too small or too many.

    Examples:
        >>> config = PolygonConfig("5/2", train=10, seed=3)
        >>> config.target, config.train
        ((5, 2), (5, 5))
    """

    target: Star = option(
        (5, 2),
        "Shape that makes an image present: P corners, each joined to the Q-th next "
        "(5/2 is a pentagram), or circle.",
    )
    outer: Star | None = option(None, "Shape around the target, required, or none.")
    others: tuple[Star, ...] = option(
        (CIRCLE, (3, 1), (4, 1)), "Kinds of other shapes."
    )
    other_outers: tuple[Star | None, ...] = option(
        (None,), "Further shapes around other shapes, or none."
    )
    size: int = option(64, "Side of the square images, pixels, 16 or more.")
    train: tuple[int, int] = option(
        (200, 200),
        "Number of training images, over all classes; for polygons also two numbers, "
        "of absent and of present images.",
    )
    val: tuple[int, int] = option(
        (40, 40), "Number of validation images, the same; 0 for none."
    )
    test: tuple[int, int] = option((100, 100), "Number of test images, the same.")
    seed: int = option(0, "Seed of all images.")
    shapes: tuple[int, int] = option(
        (2, 3), "Smallest and largest number of shapes in an image, with the target."
    )
    radius: tuple[float, float] = option(
        (0.16, 0.25),
        "Smallest and largest radius, shares of the side up to 0.5 or pixels from 1.",
    )
    rotation: bool = option(True, "Turn shapes by any angle, or keep a corner on top.")
    overlap: bool = option(False, "Allow overlapping shapes; those of one color merge.")
    occlusion: float = option(0.0, "Largest hidden share of a target; needs --overlap.")
    noise: float = option(0.03, "Standard deviation of the noise, of values in 0..1.")
    antialias: bool = option(True, "Draw soft outlines; masks are the same.")
    color: RGB | None = option(
        (230, 200, 60),
        "Red, green and blue, 0 to 255, of all shapes, or any.",
    )
    outer_color: RGB | None = option(None, "Color of all outer shapes, the same.")
    background: RGB | None = option((30, 30, 30), "Color of the background, the same.")
    same_color: bool = option(False, "Use the same color for all shapes of an image.")

    def __post_init__(self) -> None:
        outers = (self.outer, *self.other_outers)
        outers = tuple(s if s is None else parse_star(s) for s in outers)
        values: dict[str, Any] = {n: _pair(getattr(self, n), n) for n in FOLDERS}
        values |= {"target": parse_star(self.target), "outer": outers[0]}
        values["others"] = tuple(map(parse_star, self.others))
        values["other_outers"] = outers[1:]
        for name in ("shapes", "radius", *COLORS):
            value = getattr(self, name)
            if value is not None:
                values[name] = tuple(value) if np.iterable(value) else (value,)
        for name, value in values.items():
            object.__setattr__(self, name, value)
        check_rules(_ranges(self), self)
        check_rules(_capacity(self), self)

    @classmethod
    def simplified(cls, **changes: Any) -> "PolygonConfig":
        """The target and one circle (absent: two), fixed colors, no noise, apart."""
        return cls(**{**SIMPLE, **changes})

    @property
    def kinds(self) -> tuple[tuple[Star, Star | None], ...]:
        """Pairs of a shape and an outer one or None, without the target."""
        outers = dict.fromkeys((self.outer, *self.other_outers))
        stars = dict.fromkeys((self.target, *self.others))
        pairs = [(star, outer) for star in stars for outer in outers]
        return tuple(pair for pair in pairs if pair != (self.target, self.outer))

    @property
    def pixels(self) -> tuple[float, float]:
        """Smallest and largest radius, pixels."""
        low, high = self.radius
        return (low, high) if low >= 1 else (low * self.size, high * self.size)

    @property
    def name(self) -> str:
        """Unique name of the data, such as ``polygons-64px-seed0``."""
        size = f"{self.size}px-seed{self.seed}"
        for kind, changes in (("polygons", {}), ("polygons-simplified", SIMPLE)):
            if self == PolygonConfig(**changes, size=self.size, seed=self.seed):
                return f"{kind}-{size}"
        code = json.dumps(_settings(self), sort_keys=True).encode()
        target = star_name(self.target).replace("/", "_")
        return f"polygons-{target}-{size}-{hashlib.md5(code).hexdigest()[:6]}"


def default_polygons(
    root: str | os.PathLike = "data", config: PolygonConfig | None = None
) -> Path:
    """Write synthetic polygons into ``root`` if absent and return their folder."""
    config = config or PolygonConfig()
    return write_polygons(Path(root) / config.name, config)


def write_polygons(folder: str | os.PathLike, config: PolygonConfig) -> Path:
    """Write images, masks and boxes, or reuse a folder of the same settings.

    Raises:
        ValueError: If the folder holds something else.
    """
    images, settings = _images(config), _settings(config)
    return make_folder(folder, settings, lambda new: write_classes(new, images))


def render_polygons(
    config: PolygonConfig, split: str, label: int, number: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw an image with the target (label 1) or without, by number in class and split.

    Returns:
        Picture uint8 (size, size, 3), and masks of the target and of all other shapes.

    Examples:
        >>> _, target, rest = render_polygons(PolygonConfig(size=32), "train", 0, 5)
        >>> bool(target.any()), bool(rest.any())
        (False, True)
    """
    rng = np.random.default_rng((config.seed, FOLDERS.index(split), label, number))
    return draw(rng, config, bool(label))


def other_masks(folder: str | os.PathLike) -> dict[str, str]:
    """Paths of the masks of the other shapes, by path of the image as in its table.

    Raises:
        ValueError: If the folder does not hold synthetic polygons.
    """
    folder = Path(folder)
    try:
        content = json.loads((folder / ANNOTATIONS).read_text(encoding="utf-8"))
        masks = content["others"].items()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"Expected a folder of synthetic polygons. Received: {folder}, whose "
            f"{ANNOTATIONS} lists no masks of other shapes ({error!r})."
        ) from error
    return {str(folder / image): str(folder / mask) for image, mask in masks}


def _pair(count: Any, name: str) -> tuple[int, ...]:
    """Number of images without and with the target; half of a single number each."""
    counts = np.atleast_1d(count)
    if counts.dtype.kind not in "iu" or counts.shape not in ((1,), (2,)):
        raise ValueError(
            f"Expected {name} to be a number of images, or two, of absent and present "
            f"ones. Received: {count!r}."
        )
    first = counts[0] - counts[0] // 2 if len(counts) == 1 else counts[0]
    return int(first), int(counts.sum() - first)


def _within(values: Iterable, low: float, high: float = np.inf, kind=Integral) -> bool:
    return all(isinstance(v, kind) and low <= v <= high for v in values)


def _ranges(config: PolygonConfig) -> dict[str, bool]:
    """Rules for the types and ranges of the values."""
    fixed = [rgb for n in COLORS if (rgb := getattr(config, n)) is not None]
    shapes, radius, val, test = config.shapes, config.radius, config.val, config.test
    limits = (1e-9, 0.5), (1, config.size / 2)
    return {
        "size as integer of 16 or more": _within([config.size], 16),
        "train of one image per class or more": min(config.train) >= 1,
        "val of one image per class or more, or 0": min(val) >= 1 or val == (0, 0),
        "test of one image per class or more, or 0": min(test) >= 1 or test == (0, 0),
        "seed as integer of 0 or more": _within([config.seed], 0),
        "other shapes than the target": bool(config.kinds),
        "others without the target": config.target not in config.others,
        "shapes as integers of 1 or more, ascending": (
            len(shapes) == 2 and _within(shapes, 1) and shapes[0] <= shapes[1]
        ),
        "radius in 0..0.5 of the side, or in pixels from 1 to half of it, ascending": (
            len(radius) == 2
            and any(_within(radius, low, high, Real) for low, high in limits)
            and radius[0] <= radius[1]
        ),
        "occlusion in 0..0.9": _within([config.occlusion], 0, 0.9, Real),
        "overlap for an occlusion": config.overlap or config.occlusion == 0,
        "noise in 0..0.5": _within([config.noise], 0, 0.5, Real),
        "red, green and blue for a color, integers in 0..255": all(
            len(rgb) == 3 and _within(rgb, 0, 255) for rgb in fixed
        ),
        "fixed colors that differ": len(set(fixed)) == len(fixed),
    }


def _capacity(config: PolygonConfig) -> dict[str, bool]:
    """Rules for the pixels of the smallest shape and the space for the most shapes."""
    smallest = config.pixels[0]
    kinds = ((config.target, config.outer), *config.kinds)
    fills = {pair: nested_radius(pair[1]) * inner_radius(pair[0]) for pair in kinds}
    pair = min(fills, key=lambda kind: fills[kind])
    words = " in ".join(star_name(star) for star in pair if star is not None)
    cell = config.size / cells_per_side(config.shapes[1])
    return {
        "a shape of the smallest radius that covers a pixel: "
        f"{words} needs a radius of {CENTER_PIXEL / fills[pair]:.1f} pixels, the "
        f"smallest is {smallest:.1f}": smallest * fills[pair] >= CENTER_PIXEL,
        f"space for {config.shapes[1]} shapes of the smallest radius without overlap: "
        f"{smallest:.1f} pixels may be {(cell - 1) / 2:.1f} at most": (
            config.overlap or 2 * smallest + 1 <= cell
        ),
    }


def _settings(config: PolygonConfig) -> dict:
    return {"format": FORMAT, "kind": "polygons", **dataclasses.asdict(config)}


def _images(config: PolygonConfig) -> Iterator[tuple]:
    jobs = [
        (split, label, number)
        for split in FOLDERS
        for label, count in enumerate(getattr(config, split))
        for number in range(count)
    ]
    for split, label, number in with_bar(jobs):
        picture, target, rest = render_polygons(config, split, label, number)
        masks = {"masks": target, "others": rest} if label else {"others": rest}
        yield split, CLASSES[label], number, picture, masks
