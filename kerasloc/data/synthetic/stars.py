"""Star polygons {p/q} and circles: text form, size and signed distance.

{p/q} has p corners on a circle, each joined to the q-th next, and is filled by the
non-zero winding rule. Folded into one of its 2p equal sectors, it lies below a straight
line at distance R cos(pi q / p) from the center, whose normal is pi q / p away from a
corner.
"""

import operator
from typing import Any

import numpy as np

Star = tuple[int, int]

CIRCLE: Star = (-1, 1)


def parse_star(value: Any) -> Star:
    """Convert a pair, a text or p alone (q is 1) to the pair (p, q) of a shape.

    Raises:
        ValueError: If there is no such polygon.

    Examples:
        >>> parse_star("5/2"), parse_star(3), parse_star("circle")
        ((5, 2), (3, 1), (-1, 1))
    """
    text = isinstance(value, str)
    words = np.atleast_1d(value.replace("circle", "-1").split("/") if text else value)
    try:
        p, q = [*map(int if text else operator.index, words), 1][:2]
        valid = len(words) <= 2 and (p == -1 or (p >= 3 and 1 <= q < p / 2))
    except (TypeError, ValueError):
        valid = False
    if not valid:
        raise ValueError(
            "Expected a shape p/q of 3 or more corners p, each joined to the q-th next "
            f"with q < p / 2, such as 5/2, or circle (p is -1). Received: {value!r}."
        )
    return CIRCLE if p == -1 else (p, q)


def star_name(star: Star) -> str:
    """Return the text that :func:`parse_star` reads."""
    return "circle" if tuple(star) == CIRCLE else "{}/{}".format(*star)


def inner_radius(star: Star) -> float:
    """Radius of the largest circle inside a shape of radius 1."""
    p, q = star
    return 1.0 if star == CIRCLE else float(np.cos(np.pi * q / p))


def area(star: Star) -> float:
    """Area of a shape of radius 1.

    Examples:
        >>> round(area((4, 1)), 3)
        2.0
    """
    if star == CIRCLE:
        return np.pi
    p, q = star
    edge, sector = np.pi * q / p, np.pi / p
    return float(p * np.sin(sector) * np.cos(edge) / np.cos(edge - sector))


def signed_distance(
    star: Star, distance: np.ndarray, angle: np.ndarray, radius: float
) -> np.ndarray:
    """Distance to the (extended) nearest edge of a shape, positive inside, in pixels.

    Args:
        star: Pair (p, q).
        distance: Distances from the center, pixels.
        angle: Angles around the center from a corner, radians, same shape.
        radius: Radius of the circle around the shape, pixels.

    Examples:
        >>> signed_distance((-1, 1), np.array([0.0, 3.0]), np.zeros(2), 2.0)
        array([ 2., -1.])
    """
    if star == CIRCLE:
        return radius - distance
    p, q = star
    sector, edge = np.pi / p, np.pi * q / p
    folded = np.abs((angle + sector) % (2 * sector) - sector)
    return radius * np.cos(edge) - distance * np.cos(folded - edge)


def polar(
    center: np.ndarray, size: int, reach: float = np.inf
) -> tuple[tuple[slice, slice], np.ndarray, np.ndarray]:
    """Polar coordinates of the pixels of a square image around a row and column.

    Returns:
        Window of up to ``reach`` pixels around the center, and distance and angle of
        its pixels' centers.
    """
    low = np.maximum(np.floor(np.asarray(center) - reach), 0).astype(int)
    high = np.minimum(np.ceil(np.asarray(center) + reach), size).astype(int)
    rows = np.arange(low[0], high[0])[:, None] + 0.5 - center[0]
    cols = np.arange(low[1], high[1]) + 0.5 - center[1]
    window = (slice(low[0], high[0]), slice(low[1], high[1]))
    return window, np.hypot(rows, cols), np.arctan2(rows, cols)
