"""Pictures of flat star polygons and circles, with the exact masks of all of them.

Every polygon of a picture is drawn alike; the target is a random one of them, so that
neither position, size, number nor color reveals it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kerasloc.data.synthetic.stars import Star, inner_radius, polar, signed_distance

if TYPE_CHECKING:
    from kerasloc.data.synthetic.polygons import PolygonConfig

NESTED = 0.85  # share of the largest radius that fits into an outer shape
TRIES = 100
RESTARTS = 20
COLORS = 32
LIGHTNESS_GAP = 0.35  # mean of RGB in [0, 1]
COLOR_GAP = 0.45  # distance of two colors, RGB in [0, 1]
UP = np.pi / 2  # direction of the first corner, as rows go down


def nested_radius(outer: Star | None) -> float:
    """Radius of a shape within an outer one of radius 1; 1 without an outer one."""
    return 1.0 if outer is None else NESTED * inner_radius(outer)


@dataclasses.dataclass(frozen=True)
class Polygon:
    """Shape in a picture, with or without an outer shape around it."""

    star: Star
    outer: Star | None
    center: np.ndarray  # row and column, pixels
    radius: float  # of the circle around both, pixels
    turns: np.ndarray  # angles of the shape and of the outer one, radians
    colors: np.ndarray  # RGB in [0, 1] of the shape and of the outer one, (2, 3)

    def layers(self, size: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Signed distances (size, size) and colors of the outer shape and the shape."""
        _, distance, angle = polar(self.center, size)
        stars = [(self.star, self.radius * nested_radius(self.outer), 0)]
        if self.outer is not None:
            stars.insert(0, (self.outer, self.radius, 1))
        angles = angle + UP + self.turns[:, None, None]
        return [
            (signed_distance(star, distance, angles[i], radius), self.colors[i])
            for star, radius, i in stars
        ]

    def mask(self, size: int) -> np.ndarray:
        """Mask (size, size) of the shape with its outer shape, occluded or not."""
        return self.layers(size)[0][0] > 0


def draw(
    rng: np.random.Generator, config: PolygonConfig, present: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw a picture with or without the target.

    A pixel belongs to a shape when its center does.

    Returns:
        Picture uint8 (size, size, 3), and the masks (size, size) of the visible pixels
        of the target and of all other shapes.
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


def scene(
    rng: np.random.Generator, config: PolygonConfig, present: bool
) -> tuple[list[Polygon], np.ndarray]:
    """Draw the polygons of a picture, the target first, and the color of the ground."""
    low, high = config.shapes
    count = int(rng.integers(low, high + 1))
    centers, radii = _positions(rng, config, count)
    kinds = [config.kinds[i] for i in rng.integers(len(config.kinds), size=count)]
    if present:
        kinds[0] = (config.target, config.outer)
    turns = rng.uniform(0, 2 * np.pi, (count, 2)) * config.rotation
    colors, ground = _colors(rng, config, count)
    rows = zip(kinds, centers, radii, turns, colors, strict=True)
    return [Polygon(*kind, *geometry) for kind, *geometry in rows], ground


def _depths(rng, polygons: list[Polygon], config: PolygonConfig) -> list[int]:
    """Order the polygons; the target, number 0, rises until enough is visible."""
    count = len(polygons)
    if config.occlusion == 0:
        return [*range(1, count), 0]
    depth = int(rng.integers(count))
    target, *rest = (polygon.mask(config.size) for polygon in polygons)
    above = np.array(rest, bool).reshape(-1, *target.shape)
    while np.mean(above[depth:].any(axis=0), where=target) > config.occlusion:
        depth += 1
    return [*range(1, depth + 1), 0, *range(depth + 1, count)]


def _positions(rng, config: PolygonConfig, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw centers (count, 2) and radii (count,) of shapes, pixels, in random order."""
    for _ in range(1 if config.overlap else RESTARTS):
        radii = rng.uniform(*config.pixels, count)
        if config.overlap:
            far = config.size - radii[:, None]
            return rng.uniform(radii[:, None], far, (count, 2)), radii
        centers = _separate(rng, np.sort(radii)[::-1], config.size)
        if centers is not None:
            order = rng.permutation(count)
            return centers[order], np.sort(radii)[::-1][order]
    side = cells_per_side(count)  # there is space for the smallest radius in a grid
    cell, radius = config.size / side, config.pixels[0]
    chosen = rng.choice(side * side, count, replace=False)
    free = (cell - 1) / 2 - radius
    centers = (np.stack(np.divmod(chosen, side), axis=1) + 0.5) * cell
    return centers + rng.uniform(-free, free, (count, 2)), np.full(count, radius)


def _separate(rng, radii: np.ndarray, size: int) -> np.ndarray | None:
    """Draw centers (k, 2) of circles that do not touch; None if all tries fail."""
    centers = np.zeros((0, 2))
    for number, radius in enumerate(radii):
        tries = rng.uniform(radius, size - radius, (TRIES, 2))
        gaps = np.linalg.norm(tries[:, None] - centers, axis=2) - radii[:number]
        free = (gaps > radius + 1).all(axis=1)  # a pixel for the soft outlines
        if not free.any():
            return None
        centers = np.vstack([centers, tries[np.argmax(free)]])
    return centers


def cells_per_side(count: int) -> int:
    """Side of the smallest square grid with at least ``count`` cells."""
    return int(np.ceil(np.sqrt(count)))


def _colors(rng, config: PolygonConfig, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Colors (count, 1 or 2, 3) of shapes and outer shapes, and of the ground (3,)."""
    nested = any(outer for _, outer in config.kinds)
    settings = [config.background, config.color, config.outer_color][: 2 + nested]
    ground, *layers = (None if c is None else np.array(c) / 255 for c in settings)
    fixed = [color for color in layers if color is not None]
    ground = _distinct_color(rng, fixed, []) if ground is None else ground
    sets: list = []
    used: list = []
    for _ in range(1 if config.same_color else count):
        colors = [ground, *fixed]
        for c in layers:
            colors.append(_distinct_color(rng, colors, used) if c is None else c)
        sets.append(colors[-len(layers) :])
        used += colors if config.overlap else []
    return np.broadcast_to(sets, (count, len(layers), 3)), ground


def _distinct_color(rng, below: Sequence, used: Sequence) -> np.ndarray:
    """Draw RGB in [0, 1], (3,); differ from colors below in lightness, as in gray."""
    tries = rng.random((COLORS, 3))
    grays = np.reshape(below, (-1, 3)).mean(axis=1)
    lightness = np.abs(tries.mean(axis=1)[:, None] - grays) / LIGHTNESS_GAP
    distance = np.linalg.norm(tries[:, None] - np.reshape(used, (-1, 3)), axis=2)
    gaps = np.concatenate([lightness, distance / COLOR_GAP], axis=1)
    return tries[np.argmax(gaps.min(axis=1, initial=1))]
