"""Images cut into tiles: which goes first, and what it becomes."""

import zlib

import numpy as np

from kerasloc.maps import resize_maps

PERTURBATIONS = ("noise", "mean", "black")
TIES, NOISE = 0, 1  # what is drawn of an image


def check_grid(grid: tuple[int, int], size: tuple[int, int]):
    """Makes sure that every tile of a grid holds a pixel.

    Args:
        grid: Tiles (down, across).
        size: (rows, cols) of the images.

    Raises:
        ValueError: If not.
    """
    if grid[0] > size[0] or grid[1] > size[1]:
        raise ValueError(
            "Every tile of the grid holds a pixel. Received: a grid of "
            f"{grid[0]} x {grid[1]} over images of {size[0]} x {size[1]}. "
            "Take fewer tiles."
        )


def spread(values, size: tuple[int, int]) -> np.ndarray:
    """Maps (n, rows, cols) that have the value of its tile at every pixel.

    Args:
        values: One per tile, (n, down, across).
        size: (rows, cols) of the maps; tiles differ by a pixel where they do not
            divide it.
    """
    down, across = (
        np.arange(side) * number // side
        for side, number in zip(size, values.shape[1:], strict=True)
    )
    return values[:, down[:, None], across]


def means(maps, grid: tuple[int, int]) -> np.ndarray:
    """Mean of every tile, (n, down, across), float64.

    Args:
        maps: (n, rows, cols); what float32 does not tell apart is equal.
        grid: Tiles (down, across), each a pixel at least.
    """
    # float32 in float64: sums of equal values are exact, flat maps tie in every tile
    sums = maps.astype(np.float32).astype(np.float64)
    areas = np.ones(())
    for axis, number in enumerate(grid, start=1):
        side = maps.shape[axis]
        starts = -(-np.arange(number) * side // number)
        sums = np.add.reduceat(sums, starts, axis=axis)
        areas = np.multiply.outer(areas, np.diff(starts, append=side))
    return sums / areas


def ranks(images, relevance, grid: tuple[int, int], seed: int) -> np.ndarray:
    """How many tiles go before the one that a pixel is in, (n, rows, cols).

    Args:
        images: (n, rows, cols, channels), which the order of equal tiles depends on.
        relevance: (n, any rows, any cols); the tile of the highest mean goes first.
        grid: Tiles (down, across).
        seed: Decides the order of equal tiles.
    """
    size = images.shape[1:3]
    height = means(resize_maps(relevance, size), grid).reshape(len(images), -1)
    ties = [one.random(height.shape[1]) for one in _generators(images, seed, TIES)]
    order = np.lexsort((ties, -height))
    return spread(order.argsort(axis=1).reshape(-1, *grid), size)


def fill(images, perturbation: str, seed: int) -> np.ndarray:
    """What tiles become, of a shape that goes with that of the images.

    Args:
        images: (n, rows, cols, channels), float32.
        perturbation: One of :data:`PERTURBATIONS`.
        seed: Of the noise, which an image has by its pixels: the same in any batch.
    """
    if perturbation == "black":
        return np.zeros((len(images), 1, 1, 1), np.float32)
    if perturbation == "mean":
        colors = images.mean(axis=(1, 2), keepdims=True, dtype=np.float64)
        return colors.astype(np.float32)
    shape = images.shape[1:]
    return np.stack(
        [one.random(shape, np.float32) for one in _generators(images, seed, NOISE)]
    )


def _generators(images, seed: int, purpose: int) -> list[np.random.Generator]:
    """One an image, by its pixels."""
    codes = (zlib.crc32(np.ascontiguousarray(one)) for one in images)
    return [np.random.default_rng((seed, purpose, code)) for code in codes]
