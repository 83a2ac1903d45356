"""Synthetic polygons: images with and without a target shape, its boxes and masks.

Made on the spot, no download, as ``kerasloc.data.read_folders`` reads them::

    train|val|test/absent|present/0000.png
    masks/train/present/0000.png           the target, where it is seen
    others/train/absent/0000.png           all other shapes, where they are seen
    annotations.json                       settings, boxes, masks, others

Every image holds some shapes. The label is whether the target is one of them; images
of both classes are alike in number, places, sizes and colors of their shapes.
"""

import dataclasses
import hashlib
import json
import numbers
from pathlib import Path

import numpy as np

from kerasloc.data.datasets.folders import ANNOTATIONS, FOLDERS
from kerasloc.data.polygon_drawing import (
    CIRCLE,
    as_star,
    cells_a_side,
    draw,
    inner_radius,
    nested_radius,
    star_name,
)
from kerasloc.data.synthetic import box_around, make_folder, save_png, with_bar

CLASSES = ("absent", "present")
FORMAT = 1
IN_NAME = ("size", "seed")
CENTER_PIXEL = 0.75  # radius of a circle that holds a pixel's center wherever it is
SIMPLE = {
    "others": (CIRCLE,),
    "shapes": (2, 2),
    "noise": 0.0,
    "color": (40, 90, 200),
    "outer_color": (240, 200, 60),
    "background": (255, 255, 255),
}


@dataclasses.dataclass(frozen=True)
class PolygonConfig:
    """What images of polygons to make.

    A shape is a star polygon {p/q}, given as (p, q), as a text such as "5/2" or, for a
    circle, as "circle" or -1. With an outer shape, the target is the one within the
    other, and its box and mask go around both.

    Args:
        target: The shape that makes an image "present".
        outer: Shape around the target, without which it does not count. None: none.
        others: What other shapes there are. With outer shapes, any pair of a shape (the
            target's, too) and an outer shape is another shape, but the target's pair.
        other_outers: What outer shapes, beside the target's, others may have; None is
            to have none.
        size: Sides of the square images, pixels, 16 or more.
        train: Images for training, (absent, present); one number is both together.
        val: Images for validation, the same; 0 for none.
        test: Images for testing, the same; 0 for none.
        seed: An image depends on it and on its split, class and number only.
        shapes: Fewest and most shapes in an image, the target included. An absent image
            holds one at least.
        radius: Smallest and largest radius of the circle around a shape: shares of the
            side up to 0.5, or pixels from 1.
        rotation: Whether shapes are turned by any angle; else a corner is on top.
        overlap: Whether shapes may overlap. Those of one color then melt together.
        occlusion: Largest share of the target that others may hide, up to 0.9; at 0 the
            target is drawn last. It needs overlap.
        noise: Standard deviation of the grain, for values in [0, 1].
        antialias: Whether outlines are soft. Masks are the same.
        color: RGB (0 to 255) of all shapes. None: any.
        outer_color: RGB of all outer shapes. None: any.
        background: RGB of the ground. None: any, which takes far more images to learn.
        same_color: Whether all shapes of an image have one color.

    Raises:
        ValueError: If a value is out of its range, or the shapes are too small for
            their pixels or too many for their image.
    """

    target: tuple[int, int] = (5, 2)
    outer: tuple[int, int] | None = None
    others: tuple = (CIRCLE, (3, 1), (4, 1))
    other_outers: tuple = (None,)
    size: int = 64
    train: tuple[int, int] = (200, 200)
    val: tuple[int, int] = (40, 40)
    test: tuple[int, int] = (100, 100)
    seed: int = 0
    shapes: tuple[int, int] = (2, 3)
    radius: tuple[float, float] = (0.16, 0.25)
    rotation: bool = True
    overlap: bool = False
    occlusion: float = 0.0
    noise: float = 0.03
    antialias: bool = True
    color: tuple[int, int, int] | None = (230, 200, 60)
    outer_color: tuple[int, int, int] | None = None
    background: tuple[int, int, int] | None = (30, 30, 30)
    same_color: bool = False

    def __post_init__(self):
        """Give every value its type, and check the ranges."""
        values = {name: _pair(getattr(self, name), name) for name in FOLDERS}
        values |= {
            "target": as_star(self.target),
            "outer": _star_or_none(self.outer),
            "others": tuple(as_star(star) for star in self.others),
            "other_outers": tuple(_star_or_none(star) for star in self.other_outers),
        }
        for name in ("shapes", "radius", "color", "outer_color", "background"):
            value = getattr(self, name)
            value = value if value is None or np.iterable(value) else (value,)
            values[name] = None if value is None else tuple(value)
        for name, value in values.items():
            object.__setattr__(self, name, value)
        for rules in (_types, _ranges, _room):
            broken = [rule for rule, kept in rules(self).items() if not kept]
            if broken:
                raise ValueError(f"{'; '.join(broken)}. Received: {self}.")

    @classmethod
    def simplified(cls, **changes) -> "PolygonConfig":
        """The target and one circle (absent: two), fixed colors, no noise, no overlap.

        Args:
            changes: What is to be otherwise, as for the class.
        """
        return cls(**{**SIMPLE, **changes})

    @property
    def kinds(self) -> tuple:
        """What other shapes there are, pairs of a shape and an outer one or None."""
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
        """Name that tells this data from others: polygons-64px-seed0."""
        rest = f"{self.size}px-seed{self.seed}"
        own = {key: getattr(self, key) for key in IN_NAME}
        for kind, usual in (("polygons", {}), ("polygons-simplified", SIMPLE)):
            plain = {**_defaults(), **usual, **own}
            if all(getattr(self, key) == value for key, value in plain.items()):
                return f"{kind}-{rest}"
        code = json.dumps(_settings(self), sort_keys=True).encode()
        target = star_name(self.target).replace("/", "_")
        return f"polygons-{target}-{rest}-{hashlib.md5(code).hexdigest()[:6]}"


def _defaults() -> dict:
    """Default of every setting."""
    return {field.name: field.default for field in dataclasses.fields(PolygonConfig)}


def default_polygons(root="data", config: PolygonConfig | None = None) -> Path:
    """Folder of synthetic polygons, made when absent.

    Args:
        root: Folder that holds it.
        config: What to make. None: the defaults.
    """
    config = PolygonConfig() if config is None else config
    return write_polygons(Path(root) / config.name, config)


def write_polygons(folder, config: PolygonConfig) -> Path:
    """The folder, with the images of the config, their masks and boxes in it.

    It appears when it is complete. One that is there with the same settings is used
    as it is.

    Args:
        folder: Where the data is to lie.
        config: What to make.

    Raises:
        ValueError: If the folder holds something else.
    """
    return make_folder(folder, _settings(config), lambda new: _write_all(new, config))


def render_polygons(config: PolygonConfig, split: str, label: int, number: int):
    """Picture uint8 (size, size, 3), masks (size, size) of the target and of others.

    Args:
        config: What data it is of.
        split: "train", "val" or "test".
        label: 1 for an image with the target, 0 for one without.
        number: Of the image in its class and split.
    """
    rng = np.random.default_rng((config.seed, FOLDERS.index(split), label, number))
    return draw(rng, config, bool(label))


def other_masks(folder) -> dict[str, str]:
    """Path of the mask of the other shapes, by path of the image.

    Args:
        folder: Of synthetic polygons; paths begin with it, as in the table of
            ``kerasloc.data.read_folders``.

    Raises:
        ValueError: If the folder is none of synthetic polygons.
    """
    folder = Path(folder)
    file = folder / ANNOTATIONS
    try:
        others = json.loads(file.read_text(encoding="utf-8"))["others"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            "Masks of other shapes come with synthetic polygons. Received: "
            f"{folder}, whose {ANNOTATIONS} names none ({error!r})."
        ) from error
    return {str(folder / image): str(folder / mask) for image, mask in others.items()}


def _pair(count, name: str) -> tuple[int, int]:
    """Images without and with the target; of one number, half each."""
    counts = np.atleast_1d(count)
    if counts.dtype.kind not in "iu" or counts.shape not in ((1,), (2,)):
        raise ValueError(
            f"{name} is a number of images, or one of absent and one of present "
            f"images. Received: {count!r}."
        )
    if len(counts) == 1:
        counts = (counts[0] - counts[0] // 2, counts[0] // 2)
    return tuple(int(number) for number in counts)


def _star_or_none(star) -> tuple[int, int] | None:
    return None if star is None else as_star(star)


def _types(config: PolygonConfig) -> dict[str, bool]:
    """What has to be a number, and whether it is."""
    whole = (config.size, config.seed, *config.shapes)
    real = (*config.radius, config.occlusion, config.noise)
    return {
        "size, seed and shapes are whole numbers": _are(whole, numbers.Integral),
        "radius, occlusion and noise are numbers": _are(real, numbers.Real),
        "a color is red, green and blue, each 0 to 255": all(
            len(rgb) == 3 and _are(rgb, numbers.Integral)
            for rgb in _fixed_colors(config)
        ),
    }


def _are(values, kind) -> bool:
    return all(isinstance(value, kind) for value in values)


def _fixed_colors(config: PolygonConfig) -> list[tuple]:
    rgb = (config.color, config.outer_color, config.background)
    return [color for color in rgb if color is not None]


def _ranges(config: PolygonConfig) -> dict[str, bool]:
    """What every value has to be, and whether it is."""
    fixed = _fixed_colors(config)
    return {
        "size is 16 pixels or more": config.size >= 16,
        "train is one image of either class or more": min(config.train) >= 1,
        **{
            f"{name} is one image of either class or more, or none": min(pair) >= 1
            or pair == (0, 0)
            for name, pair in (("val", config.val), ("test", config.test))
        },
        "seed is 0 or more": config.seed >= 0,
        "there are other shapes than the target": bool(config.kinds),
        "others does not name the target": config.target not in config.others,
        "shapes is 1 or more, the smaller first": _is_range(config.shapes, 1, np.inf),
        "radius lies in 0..0.5 of the side, or is pixels from 1 to half of it, the "
        "smaller first": _is_range(config.radius, 1e-9, 0.5)
        or _is_range(config.radius, 1, config.size / 2),
        "occlusion lies in 0..0.9": 0 <= config.occlusion <= 0.9,
        "occlusion needs overlap": config.overlap or config.occlusion == 0,
        "noise lies in 0..0.5": 0 <= config.noise <= 0.5,
        "a color lies in 0..255": all(0 <= v <= 255 for rgb in fixed for v in rgb),
        "fixed colors differ from one another": len(set(fixed)) == len(fixed),
    }


def _is_range(pair, least, most) -> bool:
    return len(pair) == 2 and least <= pair[0] <= pair[1] <= most


def _room(config: PolygonConfig) -> dict[str, bool]:
    """Whether the smallest shape has pixels, and the most shapes have their places."""
    smallest = config.pixels[0]
    kinds = ((config.target, config.outer), *config.kinds)
    fills = {pair: nested_radius(pair[1]) * inner_radius(pair[0]) for pair in kinds}
    pair = min(fills, key=fills.get)
    words = " in ".join(star_name(star) for star in pair if star is not None)
    cell = config.size / cells_a_side(config.shapes[1])
    return {
        f"a shape of the smallest radius covers a pixel: {words} needs a radius of "
        f"{CENTER_PIXEL / fills[pair]:.1f} pixels, the smallest is {smallest:.1f}": (
            smallest * fills[pair] >= CENTER_PIXEL
        ),
        f"{config.shapes[1]} shapes of the smallest radius lie in an image without "
        f"overlap: {smallest:.1f} pixels may be {(cell - 1) / 2:.1f} at most": (
            config.overlap or 2 * smallest + 1 <= cell
        ),
    }


def _settings(config: PolygonConfig) -> dict:
    """What annotations.json remembers of the config."""
    values = {"format": FORMAT, "kind": "polygons", **dataclasses.asdict(config)}
    return json.loads(json.dumps(values))


def _write_all(folder: Path, config: PolygonConfig) -> dict:
    """Write images and masks; gives boxes and masks of targets, masks of others."""
    boxes, masks, others = {}, {}, {}
    jobs = [
        (split, label, number)
        for split in FOLDERS
        for label, count in enumerate(getattr(config, split))
        for number in range(count)
    ]
    for split, label, number in with_bar(jobs):
        picture, target, rest = render_polygons(config, split, label, number)
        image = f"{split}/{CLASSES[label]}/{number:04d}.png"
        others[image] = f"others/{image}"
        save_png(folder / image, picture)
        save_png(folder / others[image], rest)
        if label:
            masks[image] = f"masks/{image}"
            boxes[image] = [[*box_around(target), CLASSES[label]]]
            save_png(folder / masks[image], target)
    return {"boxes": boxes, "masks": masks, "others": others}
