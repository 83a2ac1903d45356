"""Colors of classes, and heat maps of several classes over one image."""

import numbers

import numpy as np

from kerasloc.checks import as_size
from kerasloc.metrics import resize_maps
from kerasloc.plotting.overlays import as_rgb

LEVELS = 18  # of red, green and blue, that colors are chosen from
LIGHTNESS, CHROMA = (52, 90), 42  # of CIELAB: seen over black, over white, over gray
FIRST = (1.0, 0.6, 0.1)


def class_colors(count: int) -> np.ndarray:
    """One color per class, (count, 3), red, green, blue in [0, 1].

    Every color is the one that is farthest (in CIELAB) from those before it, among
    colors that stand out from gray X-rays. The colors of fewer classes are therefore
    the first ones of more classes.

    Args:
        count: Of the classes; beyond some 2,000 colors come again.

    Raises:
        ValueError: If it is not a positive whole number.
    """
    if not isinstance(count, numbers.Integral) or count < 1:
        raise ValueError(
            f"Colors are asked for one class or more. Received: {count!r}."
        )
    colors, places = _candidates()
    start = np.abs(colors - FIRST).sum(axis=1).argmin()
    chosen, nearest = [start], _distance(places, start)
    for _ in range(1, min(count, len(colors))):
        chosen.append(nearest.argmax())
        nearest = np.minimum(nearest, _distance(places, chosen[-1]))
    return colors[np.resize(chosen, count)]


def paint_classes(image, heatmaps, alpha: float = 0.5) -> np.ndarray:
    """The image with the heat of every class in its color, (rows, cols, 3), [0, 1].

    Where no class is hot the image stays. Where several are, their colors are mixed by
    their heat, and the hottest says how much of the image is covered.

    Args:
        image: (rows, cols) or (rows, cols, 1 or 3), or with a leading axis of length
            1; uint8, uint16 or float in [0, 1].
        heatmaps: Of all classes, (any rows, any cols, classes), in [0, 1]; resized
            bilinearly to the image's size.
        alpha: Weight of the color where heat is 1, [0, 1].

    Returns:
        Array of float32.

    Raises:
        TypeError: If the image is of another type.
        ValueError: If a shape or a value does not fit.
    """
    picture, heat = as_rgb(image), _as_heat(heatmaps)
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha lies in [0, 1]. Received: {alpha!r}.")
    heat = resize_maps(np.moveaxis(heat, -1, 0), as_size(picture.shape[:2]))
    mixed = np.tensordot(heat, class_colors(len(heat)), (0, 0))  # (rows, cols, 3)
    total = heat.sum(axis=0)[..., None]
    mixed = mixed / np.where(total > 0, total, 1)
    cover = alpha * heat.max(axis=0)[..., None]
    return ((1 - cover) * picture + cover * mixed).astype(np.float32)


def _candidates():
    """Colors to choose from, (n, 3), and where they lie in CIELAB, (n, 3)."""
    from skimage.color import rgb2lab

    steps = np.linspace(0, 1, LEVELS)
    colors = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3)
    places = rgb2lab(colors)
    low, high = LIGHTNESS
    seen = (low <= places[:, 0]) & (places[:, 0] <= high)
    seen &= np.hypot(places[:, 1], places[:, 2]) >= CHROMA
    return colors[seen], places[seen]


def _distance(places, index) -> np.ndarray:
    return np.linalg.norm(places - places[index], axis=1)


def _as_heat(heatmaps) -> np.ndarray:
    """Heat maps (rows, cols, classes), checked."""
    heat = np.asarray(heatmaps, np.float32)
    if heat.ndim != 3 or 0 in heat.shape:
        raise ValueError(
            "Heat maps of classes are (rows, cols, classes). "
            f"Received: shape {np.shape(heatmaps)}. Take those of one image."
        )
    if not (heat.min() >= 0 and heat.max() <= 1):  # NaN is neither
        raise ValueError(
            "Heat maps lie in [0, 1]. Received: values from "
            f"{heat.min():.4g} to {heat.max():.4g}. Normalize them."
        )
    return heat
