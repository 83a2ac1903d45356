"""Pictures of textured shapes among distractors on a noisy ground, with exact masks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from kerasloc.data.synthetic.stars import CIRCLE, Star, area, polar, signed_distance

if TYPE_CHECKING:
    from kerasloc.data.synthetic.shapes import SyntheticConfig

HUES = np.array([0, 6, 3, 9, 1, 7, 4, 10, 2, 8, 5, 11]) / 12
HUE_JITTER = 0.03
TRIES = 50
WAVE = 2 * np.pi


class Shape(NamedTuple):
    """Class of shapes: its star polygon and its texture.

    The texture has values in [-1, 1] of u and v, wavelengths from the center, turned
    with the shape.
    """

    star: Star
    texture: Callable[[np.ndarray, np.ndarray], np.ndarray]

    @property
    def name(self) -> str:
        """Name of the class, such as ``star_5_2``."""
        return "circle" if self.star == CIRCLE else "star_{}_{}".format(*self.star)


SHAPES = (
    Shape((5, 2), lambda u, v: np.sin(WAVE * u)),
    Shape(CIRCLE, lambda u, v: np.sin(WAVE * np.hypot(u, v))),
    Shape((3, 1), lambda u, v: np.sin(np.pi * u) * np.sin(np.pi * v) * 3),
    Shape((7, 3), lambda u, v: np.sin(WAVE * (u + 0.35 * np.sin(np.pi * v)))),
    Shape((4, 1), lambda u, v: np.cos(WAVE * u) + np.cos(WAVE * v) - 0.7),
    Shape((8, 3), lambda u, v: np.sin(8 * np.arctan2(v, u))),
    Shape((6, 2), lambda u, v: (np.sin(np.pi * u) + np.sin(np.pi * v)) / 2),
    Shape((5, 1), lambda u, v: np.sin(WAVE * (u + 2 * np.abs(v / 2 % 1 - 0.5)))),
    Shape(
        (7, 2), lambda u, v: 1 - 6 * ((v % 1 < 0.2) | ((u + v // 1 / 2) / 2 % 1 < 0.1))
    ),
    Shape((10, 3), lambda u, v: u / 3),
    Shape(
        (6, 1),
        lambda u, v: (
            2 - 8 * np.minimum(np.abs((u + v) % 1 - 0.5), np.abs((u - v) % 1 - 0.5))
        ),
    ),
    Shape((12, 5), lambda u, v: np.sin(WAVE * np.hypot(u, v) + 2 * np.arctan2(v, u))),
)


def draw(
    rng: np.random.Generator, shape: int, config: SyntheticConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Draw one of ``SHAPES``, after surroundings that do not depend on its class.

    Returns:
        Picture uint8 (size, size, 3) and boolean mask (size, size) of the shape.
    """
    picture = _surroundings(rng, config)
    radius = _radius(rng, shape, config.size, config.object_share)
    center = rng.uniform(radius, config.size - radius, 2)
    mask = _put_object(rng, picture, shape, center, radius)
    return _quantized(rng, picture, config.noise), mask


def draw_several(
    rng: np.random.Generator, shapes: np.ndarray, config: SyntheticConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Draw several shapes, as far from each other as some tries allow.

    Returns:
        Picture uint8 (size, size, 3) and boolean masks (k, size, size) of the visible
        pixels of the shapes, which share ``config.object_share``.
    """
    size = config.size
    picture = _surroundings(rng, config)
    share = np.array(config.object_share) / max(len(shapes), 1)
    masks = np.zeros((len(shapes), size, size), bool)
    circles = np.zeros((0, 3))  # rows: center, radius
    for number, shape in enumerate(shapes):
        radius = _radius(rng, shape, size, share)
        tries = rng.uniform(radius, size - radius, (TRIES, 2))
        gaps = np.linalg.norm(tries[:, None] - circles[:, :2], axis=2) - circles[:, 2]
        gap = gaps.min(axis=1, initial=2 * size) - radius
        center = tries[np.argmax(np.minimum(gap, 0))]  # the first that is free
        circles = np.vstack([circles, [*center, radius]])
        masks[number] = _put_object(rng, picture, shape, center, radius)
        masks[:number] &= ~masks[number]
    return _quantized(rng, picture, config.noise), masks


def _surroundings(rng, config: SyntheticConfig) -> np.ndarray:
    """Draw ground and distractors, float32 (size, size, 3)."""
    picture = _ground(rng, config.size)
    for _ in range(rng.integers(config.distractors // 2, config.distractors + 1)):
        _put_distractor(rng, picture)
    return picture


def _quantized(rng, picture: np.ndarray, noise: float) -> np.ndarray:
    """Add the grain and convert to uint8."""
    picture += np.float32(noise) * rng.standard_normal(picture.shape, np.float32)
    return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)


def _radius(rng, shape: int, size: int, object_share) -> float:
    """Draw the radius, in pixels, of a shape that covers a share of the picture."""
    share = np.exp(rng.uniform(*np.log(object_share)))
    return size * np.sqrt(share / area(SHAPES[shape].star))


def _ground(rng, size: int) -> np.ndarray:
    """Mix two dull colors by smooth noise of four scales."""
    dark, light = (
        _rgb(rng.random(), rng.uniform(0.1, 0.5), value)
        for value in (rng.uniform(0.15, 0.5), rng.uniform(0.45, 0.9))
    )
    noise = sum(
        _smooth_noise(rng, size, cells) * weight
        for cells, weight in ((2, 1.0), (5, 0.7), (11, 0.5), (25, 0.35))
    )
    mix = 0.5 + 0.5 * np.tanh(noise / 0.6)[..., None]
    return dark + (light - dark) * mix


def _smooth_noise(rng, size: int, cells: int) -> np.ndarray:
    """Interpolate random values in [-1, 1] on a grid linearly, (size, size)."""
    position = np.linspace(0, cells, size, dtype=np.float32)[:, None]
    nodes = np.arange(cells + 1, dtype=np.float32)
    weights = np.maximum(0, 1 - np.abs(position - nodes))  # (size, cells + 1)
    values = rng.uniform(-1, 1, (cells + 1, cells + 1)).astype(np.float32)
    return weights @ values @ weights.T


def _put_distractor(rng, picture: np.ndarray) -> None:
    """Draw a small bar, disk, ring or polygon of any hue."""
    size = len(picture)
    radius = size * rng.uniform(0.025, 0.07)
    window, distance, angle = polar(rng.uniform(0, size, 2), size, 2.1 * radius + 2)
    angle = angle + rng.uniform(0, WAVE)
    kind = rng.integers(4)
    if kind == 0:  # bar
        along, across = distance * np.cos(angle), distance * np.sin(angle)
        inside = np.minimum(2 * radius - np.abs(along), radius / 4 - np.abs(across))
    elif kind == 1:  # soft disk
        inside = (radius - distance) / 3
    elif kind == 2:  # ring
        inside = radius / 4 - np.abs(distance - radius)
    else:
        corners = int(rng.integers(3, 7))
        inside = signed_distance((corners, 1), distance, angle, radius)
    color = _rgb(rng.random(), rng.uniform(0.3, 0.9), rng.uniform(0.3, 0.95))
    _blend(picture[window], inside, color)


def _put_object(rng, picture, shape: int, center, radius: float) -> np.ndarray:
    """Draw a shape and return its mask (size, size)."""
    size = len(picture)
    star, texture = SHAPES[shape]
    window, distance, angle = polar(center, size, radius + 2)
    inside = signed_distance(star, distance, angle + rng.uniform(0, WAVE), radius)
    wave = size * rng.uniform(0.06, 0.08)
    turn = angle + rng.uniform(0, WAVE)
    u, v = distance / wave * np.cos(turn), distance / wave * np.sin(turn)
    values = 0.5 + 0.5 * np.tanh(1.5 * texture(u, v))[..., None]
    hue = HUES[shape] + rng.uniform(-HUE_JITTER, HUE_JITTER)
    bright = _rgb(hue, rng.uniform(0.55, 0.85), rng.uniform(0.8, 1.0))
    deep = _rgb(hue, rng.uniform(0.75, 1.0), rng.uniform(0.3, 0.55))
    _blend(picture[window], inside, deep * (1 - values) + bright * values)
    mask = np.zeros((size, size), bool)
    mask[window] = inside > 0
    return mask


def _blend(window: np.ndarray, inside: np.ndarray, color: np.ndarray) -> None:
    """Paint, in place, where ``inside`` is positive, with a soft outline."""
    cover = np.clip(inside + 0.5, 0, 1)[..., None]
    window += cover * (color - window)


def _rgb(hue: float, saturation: float, value: float) -> np.ndarray:
    """Convert a hue (1 is once around), saturation and value to RGB in [0, 1], (3,)."""
    ramp = np.clip(np.abs((hue * 6 + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
    return (value * (1 - saturation + saturation * ramp)).astype(np.float32)
