"""Pictures of star polygons {p/q} and circles, with the exact masks of all of them.

{p/q} has p corners on a circle, each joined to the q-th next; it is filled by the
non-zero winding rule, so that the core of a pentagram {5/2} is part of it. {6/2}, which
is two triangles, is their union. p = -1 is a circle.

Every polygon of a picture is drawn alike, whatever it is; which one is the target is
drawn by lot among them, so that neither place, size, number nor color tells.
"""

import dataclasses
import operator

import numpy as np

from kerasloc.data.drawing import Shape

CIRCLE = (-1, 1)
NESTED = 0.85  # radius of what lies in an outer shape, of the one that fits exactly
PLACES = 100
RESTARTS = 20
COLORS = 32
LIGHTER = 0.35  # or darker, mean of RGB in 0..1
APART = 0.45  # distance of two colors, RGB in 0..1
UP = np.pi / 2  # the first corner, as rows go down


def as_star(value) -> tuple[int, int]:
    """(p, q) of a star polygon; a circle is (-1, 1).

    Args:
        value: A pair, a text such as "5/2" or "circle", or p alone (q is 1).

    Raises:
        ValueError: If there is no such polygon.
    """
    text = isinstance(value, str)
    words = str(value).replace("circle", "-1").split("/") if text else value
    words = np.atleast_1d(words)
    try:
        p, q = [*map(int if text else operator.index, words), 1][:2]
        good = len(words) <= 2 and (p == -1 or (p >= 3 and 1 <= q < p / 2))
    except (TypeError, ValueError):
        good = False
    if not good:
        raise ValueError(
            "A shape is p/q: p corners, 3 or more, each joined to the q-th next, q "
            "being less than half of p; or circle (p is -1). Received: "
            f"{value!r}. For instance 3/1 is a triangle and 5/2 a pentagram."
        )
    return CIRCLE if p == -1 else (p, q)


def star_name(star) -> str:
    """Text that ``as_star`` reads: "circle", "5/2"."""
    return "circle" if tuple(star) == CIRCLE else "{}/{}".format(*star)


def inner_radius(star) -> float:
    """Radius of the largest circle inside a shape whose own radius is 1."""
    p, q = star
    return 1.0 if p == -1 else float(np.cos(np.pi * q / p))


def nested_radius(outer) -> float:
    """Radius of what lies in an outer shape (or None) whose radius is 1."""
    return 1.0 if outer is None else NESTED * inner_radius(outer)


@dataclasses.dataclass(frozen=True)
class Polygon:
    """One shape, with or without an outer shape around it, in its place.

    Attributes:
        star: (p, q) of the shape.
        outer: (p, q) of the shape around it, or None.
        center: Row and column, pixels.
        radius: Of the circle around all of it, pixels.
        turns: Angles of the shape and of the outer one, radians.
        colors: RGB in [0, 1] of the shape and of the outer one, (2, 3).
    """

    star: tuple[int, int]
    outer: tuple[int, int] | None
    center: np.ndarray
    radius: float
    turns: np.ndarray
    colors: np.ndarray

    def layers(self, size: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Outer shape, if any, and shape: pixels from the outline, and color.

        Pixels (size, size) are positive inside.

        Args:
            size: Sides of the picture.
        """
        rows = np.arange(size)[:, None] + 0.5 - self.center[0]
        cols = np.arange(size) + 0.5 - self.center[1]
        distance, angle = np.hypot(rows, cols), np.arctan2(rows, cols)
        stars = [(self.star, self.radius * nested_radius(self.outer), 0)]
        if self.outer is not None:
            stars.insert(0, (self.outer, self.radius, 1))
        return [
            (
                Shape("", max(p, 0), q, "").inside(
                    distance, angle + UP + self.turns[number], radius
                ),
                self.colors[number],
            )
            for (p, q), radius, number in stars
        ]


def draw(rng, config, present: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A picture, uint8 (size, size, 3), and the masks of the target and of all others.

    The masks (size, size) hold what is seen: where a shape hides another, the mask of
    the hidden one lacks it. A pixel belongs to a shape when its center does.

    Args:
        rng: NumPy random generator.
        config: :class:`kerasloc.data.polygons.PolygonConfig`.
        present: Whether the target is one of the shapes.
    """
    polygons, ground = scene(rng, config, present)
    order = _depths(rng, polygons, config) if present else range(len(polygons))
    picture = np.full((config.size, config.size, 3), ground)
    owner = np.full(picture.shape[:2], -1)
    for number in order:
        layers = polygons[number].layers(config.size)
        for inside, color in layers:
            cover = np.clip(inside + 0.5, 0, 1) if config.antialias else inside > 0
            picture += cover[..., None] * (color - picture)
        owner[layers[0][0] > 0] = number
    picture += config.noise * rng.standard_normal(picture.shape)
    picture = (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)
    target = (owner == 0) & present
    return picture, target, (owner >= 0) & ~target


def scene(rng, config, present: bool) -> tuple[list[Polygon], np.ndarray]:
    """The polygons of a picture, the target first when it is present, and the ground.

    Args:
        rng: NumPy random generator.
        config: :class:`kerasloc.data.polygons.PolygonConfig`.
        present: Whether the target is one of them.
    """
    low, high = config.shapes
    count = int(rng.integers(low, high + 1))
    centers, radii = _places(rng, config, count)
    kinds = [config.kinds[i] for i in rng.integers(len(config.kinds), size=count)]
    if present:
        kinds[0] = (config.target, config.outer)
    turns = rng.uniform(0, 2 * np.pi, (count, 2)) * config.rotation
    colors, ground = _colors(rng, config, count)
    polygons = [
        Polygon(*kind, *how)
        for kind, *how in zip(kinds, centers, radii, turns, colors, strict=True)
    ]
    return polygons, ground


def whole_mask(polygon: Polygon, size: int) -> np.ndarray:
    """Mask (size, size) of a polygon with its outer shape, hidden or not.

    Args:
        polygon: Which.
        size: Sides of the picture.
    """
    return polygon.layers(size)[0][0] > 0


def _depths(rng, polygons, config) -> list[int]:
    """Numbers of the polygons from the lowest to the one on top.

    The target, number 0, rises until no more of it is hidden than may be.
    """
    count = len(polygons)
    if config.occlusion == 0:
        return [*range(1, count), 0]
    depth = int(rng.integers(count))
    target, *others = (whole_mask(polygon, config.size) for polygon in polygons)
    others = np.reshape(others, (-1, *target.shape))
    while others[depth:].any(axis=0)[target].mean() > config.occlusion:
        depth += 1
    return [*range(1, depth + 1), 0, *range(depth + 1, count)]


def _places(rng, config, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Centers (count, 2) and radii (count,) of shapes, pixels, in random order."""
    for _ in range(1 if config.overlap else RESTARTS):
        radii = rng.uniform(*config.pixels, count)
        if config.overlap:
            far = config.size - radii[:, None]
            return rng.uniform(radii[:, None], far, (count, 2)), radii
        centers = _apart(rng, np.sort(radii)[::-1], config.size)
        if centers is not None:
            order = rng.permutation(count)
            return centers[order], np.sort(radii)[::-1][order]
    return _in_cells(rng, config, count)


def _apart(rng, radii, size: int) -> np.ndarray | None:
    """Centers (k, 2) of circles that do not touch, or None where tries found none."""
    centers = np.zeros((0, 2))
    for number, radius in enumerate(radii):
        tries = rng.uniform(radius, size - radius, (PLACES, 2))
        gaps = np.linalg.norm(tries[:, None] - centers, axis=2) - radii[:number]
        free = (gaps > radius + 1).all(axis=1)  # a pixel for the soft outlines
        if not free.any():
            return None
        centers = np.vstack([centers, tries[np.argmax(free)]])
    return centers


def _in_cells(rng, config, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Places of many shapes, the smallest there are: each in a cell of a grid."""
    side = cells_a_side(count)
    cell, radius = config.size / side, config.pixels[0]
    chosen = rng.choice(side * side, count, replace=False)
    free = (cell - 1) / 2 - radius
    middles = (np.stack(np.divmod(chosen, side), axis=1) + 0.5) * cell
    return middles + rng.uniform(-free, free, (count, 2)), np.full(count, radius)


def cells_a_side(count: int) -> int:
    """Sides of the smallest square grid of as many cells."""
    return int(np.ceil(np.sqrt(count)))


def _colors(rng, config, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Colors of shapes and, if any, outer shapes (count, 1 or 2, 3); the ground's (3,).

    Fixed ones are as they are fixed; the others are drawn so that they differ from what
    they lie on.
    """
    nested = any(outer for _, outer in config.kinds)
    fixed = [config.background, config.color, config.outer_color][: 2 + nested]
    ground, *own = (None if c is None else np.array(c) / 255 for c in fixed)
    known = [color for color in own if color is not None]
    ground = _color(rng, known, []) if ground is None else ground
    sets, seen = [], []
    for _ in range(1 if config.same_color else count):
        colors = [ground, *known]
        for color in own:
            colors.append(_color(rng, colors, seen) if color is None else color)
        sets.append(colors[-len(own) :])
        seen += colors if config.overlap else []
    return np.broadcast_to(sets, (count, len(own), 3)), ground


def _color(rng, below, seen) -> np.ndarray:
    """RGB in [0, 1], (3,): the first of some that differs from others, or the best.

    Args:
        rng: NumPy random generator.
        below: Colors (k, 3) to differ from in lightness, so that it shows in gray, too.
        seen: Colors (k, 3) to differ from in any way.
    """
    tries = rng.random((COLORS, 3))
    below, seen = np.reshape(below, (-1, 3)), np.reshape(seen, (-1, 3))
    lighter = np.abs(tries.mean(axis=1)[:, None] - below.mean(axis=1)) / LIGHTER
    apart = np.linalg.norm(tries[:, None] - seen, axis=2) / APART
    gaps = np.concatenate([lighter, apart], axis=1)
    return tries[np.argmax(gaps.min(axis=1, initial=1))]
