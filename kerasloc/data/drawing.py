"""Pictures of one textured shape on a noisy ground, with the exact mask of the shape.

A shape is a star polygon {p/q} (p corners, each joined to the q-th next) or a circle.
It is drawn by the distance to its nearest edge: folded into one of its 2p equal
sectors, a star polygon is what lies below one straight line. The edge line of {p/q}
is R cos(pi q / p) away from the center, its normal pi q / p away from a corner.
"""

import dataclasses

import numpy as np

HUES = np.array([0, 6, 3, 9, 1, 7, 4, 10, 2, 8, 5, 11]) / 12
HUE_JITTER = 0.03
TRIES = 50


@dataclasses.dataclass(frozen=True)
class Shape:
    """A class of shapes: {p/q} with a texture of its own.

    Args:
        name: Name of the class.
        p: Number of corners, 0 for a circle.
        q: Every how many corners are joined.
        texture: A key of ``TEXTURES``.
    """

    name: str
    p: int
    q: int
    texture: str

    def inside(self, distance, angle, radius: float) -> np.ndarray:
        """Pixels from the outline, positive inside.

        Args:
            distance: From the center, pixels, any shape.
            angle: Around the center, radians, same shape.
            radius: Of the circle around the shape, pixels.
        """
        if self.p == 0:
            return radius - distance
        sector = np.pi / self.p
        folded = np.abs((angle + sector) % (2 * sector) - sector)
        edge = np.pi * self.q / self.p
        return radius * np.cos(edge) - distance * np.cos(folded - edge)

    @property
    def area(self) -> float:
        """Area of the shape in a circle of radius 1."""
        if self.p == 0:
            return np.pi
        edge, sector = np.pi * self.q / self.p, np.pi / self.p
        return self.p * np.sin(sector) * np.cos(edge) / np.cos(edge - sector)


SHAPES = (
    Shape("star_5_2", 5, 2, "stripes"),
    Shape("circle", 0, 0, "rings"),
    Shape("star_3_1", 3, 1, "checks"),
    Shape("star_7_3", 7, 3, "waves"),
    Shape("star_4_1", 4, 1, "dots"),
    Shape("star_8_3", 8, 3, "spokes"),
    Shape("star_6_2", 6, 2, "plaid"),
    Shape("star_5_1", 5, 1, "zigzag"),
    Shape("star_7_2", 7, 2, "bricks"),
    Shape("star_10_3", 10, 3, "shade"),
    Shape("star_6_1", 6, 1, "diamonds"),
    Shape("star_12_5", 12, 5, "spiral"),
)

WAVE = 2 * np.pi

# values in [-1, 1] of u, v (wavelengths from the center, turned with the shape)
TEXTURES = {
    "stripes": lambda u, v: np.sin(WAVE * u),
    "rings": lambda u, v: np.sin(WAVE * np.hypot(u, v)),
    "checks": lambda u, v: np.sin(np.pi * u) * np.sin(np.pi * v) * 3,
    "waves": lambda u, v: np.sin(WAVE * (u + 0.35 * np.sin(np.pi * v))),
    "dots": lambda u, v: np.cos(WAVE * u) + np.cos(WAVE * v) - 0.7,
    "spokes": lambda u, v: np.sin(8 * np.arctan2(v, u)),
    "plaid": lambda u, v: (np.sin(np.pi * u) + np.sin(np.pi * v)) / 2,
    "zigzag": lambda u, v: np.sin(WAVE * (u + 2 * np.abs(v / 2 % 1 - 0.5))),
    "bricks": lambda u, v: 1 - 6 * ((v % 1 < 0.2) | ((u + v // 1 / 2) / 2 % 1 < 0.1)),
    "shade": lambda u, v: u / 3,
    "diamonds": lambda u, v: (
        2 - 8 * np.minimum(np.abs((u + v) % 1 - 0.5), np.abs((u - v) % 1 - 0.5))
    ),
    "spiral": lambda u, v: np.sin(WAVE * np.hypot(u, v) + 2 * np.arctan2(v, u)),
}


def draw(rng, size: int, shape: int, config) -> tuple[np.ndarray, np.ndarray]:
    """A picture, uint8 (size, size, 3), and the boolean mask (size, size) of its shape.

    What surrounds the shape is drawn first and without regard to its class.

    Args:
        rng: NumPy random generator.
        size: Sides of the picture, pixels.
        shape: Index in ``SHAPES``.
        config: Has ``distractors``, ``object_share`` and ``noise``.
    """
    picture = _surroundings(rng, size, config.distractors)
    radius = _radius(rng, size, shape, config.object_share)
    center = rng.uniform(radius, size - radius, 2)
    mask = _put_object(rng, picture, shape, center, radius)
    return _finished(rng, picture, config.noise), mask


def draw_several(rng, size: int, shapes, config) -> tuple[np.ndarray, np.ndarray]:
    """A picture, uint8 (size, size, 3), and the masks (k, size, size) of its shapes.

    Shapes lie as far from one another as some tries allow; where they overlap, the mask
    of the one below lacks what is hidden.

    Args:
        rng: NumPy random generator.
        size: Sides of the picture, pixels.
        shapes: Indices in ``SHAPES``, (k,).
        config: As for ``draw``; the shapes share ``object_share``.
    """
    picture = _surroundings(rng, size, config.distractors)
    share = np.array(config.object_share) / max(len(shapes), 1)
    masks = np.zeros((len(shapes), size, size), bool)
    taken = np.zeros((0, 3))  # rows: center, radius
    for number, shape in enumerate(shapes):
        radius = _radius(rng, size, shape, share)
        tries = rng.uniform(radius, size - radius, (TRIES, 2))
        apart = np.linalg.norm(tries[:, None] - taken[:, :2], axis=2) - taken[:, 2]
        gap = apart.min(axis=1, initial=2 * size) - radius
        center = tries[np.argmax(np.minimum(gap, 0))]  # the first that is free
        taken = np.vstack([taken, [*center, radius]])
        masks[number] = _put_object(rng, picture, shape, center, radius)
        masks[:number] &= ~masks[number]
    return _finished(rng, picture, config.noise), masks


def _surroundings(rng, size: int, distractors: int) -> np.ndarray:
    """The ground and what lies about on it."""
    picture = _ground(rng, size)
    for _ in range(rng.integers(distractors // 2, distractors + 1)):
        _put_distractor(rng, picture)
    return picture


def _finished(rng, picture, noise: float) -> np.ndarray:
    """The picture with its grain, 8 bits."""
    picture += np.float32(noise) * rng.standard_normal(picture.shape, np.float32)
    return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)


def _radius(rng, size: int, shape: int, object_share) -> float:
    """Pixels around a shape that covers a share of the picture."""
    share = np.exp(rng.uniform(*np.log(object_share)))
    return size * np.sqrt(share / SHAPES[shape].area)


def _ground(rng, size: int) -> np.ndarray:
    """Two dull colors, mixed by smooth noise of four scales."""
    dark, light = (
        _color(rng.random(), rng.uniform(0.1, 0.5), value)
        for value in (rng.uniform(0.15, 0.5), rng.uniform(0.45, 0.9))
    )
    noise = sum(
        _smooth_noise(rng, size, cells) * weight
        for cells, weight in ((2, 1.0), (5, 0.7), (11, 0.5), (25, 0.35))
    )
    mix = 0.5 + 0.5 * np.tanh(noise / 0.6)[..., None]
    return dark + (light - dark) * mix


def _smooth_noise(rng, size: int, cells: int) -> np.ndarray:
    """Random values in [-1, 1] on a grid, interpolated linearly, (size, size)."""
    at = np.linspace(0, cells, size, dtype=np.float32)[:, None]
    nodes = np.arange(cells + 1, dtype=np.float32)
    weights = np.maximum(0, 1 - np.abs(at - nodes))  # (size, cells + 1)
    values = rng.uniform(-1, 1, (cells + 1, cells + 1)).astype(np.float32)
    return weights @ values @ weights.T


def _put_distractor(rng, picture) -> None:
    """Put a small bar, disk, ring or polygon of any hue on the picture."""
    size = len(picture)
    radius = size * rng.uniform(0.025, 0.07)
    window, distance, angle = _around(rng.uniform(0, size, 2), 2.1 * radius + 2, size)
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
        inside = Shape("", corners, 1, "").inside(distance, angle, radius)
    color = _color(rng.random(), rng.uniform(0.3, 0.9), rng.uniform(0.3, 0.95))
    _blend(picture[window], inside, color)


def _put_object(rng, picture, shape: int, center, radius: float) -> np.ndarray:
    """Put the shape, whole, on the picture; gives its mask (size, size)."""
    size, kind = len(picture), SHAPES[shape]
    window, distance, angle = _around(center, radius + 2, size)
    inside = kind.inside(distance, angle + rng.uniform(0, WAVE), radius)
    wave = size * rng.uniform(0.06, 0.08)
    turn = angle + rng.uniform(0, WAVE)
    u, v = distance / wave * np.cos(turn), distance / wave * np.sin(turn)
    texture = 0.5 + 0.5 * np.tanh(1.5 * TEXTURES[kind.texture](u, v))[..., None]
    hue = HUES[shape] + rng.uniform(-HUE_JITTER, HUE_JITTER)
    bright = _color(hue, rng.uniform(0.55, 0.85), rng.uniform(0.8, 1.0))
    deep = _color(hue, rng.uniform(0.75, 1.0), rng.uniform(0.3, 0.55))
    _blend(picture[window], inside, deep * (1 - texture) + bright * texture)
    mask = np.zeros((size, size), bool)
    mask[window] = inside > 0
    return mask


def _around(center, reach: float, size: int):
    """The part of a picture around a center, and distance and angle from it there."""
    low = np.maximum(np.floor(np.asarray(center) - reach), 0).astype(int)
    high = np.minimum(np.ceil(np.asarray(center) + reach), size).astype(int)
    rows = np.arange(low[0], high[0])[:, None] + 0.5 - center[0]
    cols = np.arange(low[1], high[1]) + 0.5 - center[1]
    window = (slice(low[0], high[0]), slice(low[1], high[1]))
    return window, np.hypot(rows, cols), np.arctan2(rows, cols)


def _blend(part, inside, color) -> None:
    """Lay the color over the part where ``inside`` is positive, with a soft outline."""
    cover = np.clip(inside + 0.5, 0, 1)[..., None]
    part += cover * (color - part)


def _color(hue: float, saturation: float, value: float) -> np.ndarray:
    """RGB in [0, 1] of a hue (1 is once around), (3,)."""
    ramp = np.clip(np.abs((hue * 6 + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
    return (value * (1 - saturation + saturation * ramp)).astype(np.float32)
