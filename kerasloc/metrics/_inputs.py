"""Checks of labels, scores, masks and thresholds, and chunks that bound the memory."""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike

from kerasloc.checks import as_float, as_maps

VALUES_AT_ONCE = 2**17  # fits in a core's cache; larger passes are slower


def chunks(
    count: int, width: int, values_at_once: int = VALUES_AT_ONCE
) -> Iterator[slice]:
    """Yield slices of 0..count that bound the memory; a row of ``width`` is never cut.

    Examples:
        >>> list(chunks(5, 10, values_at_once=25))
        [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    step = max(1, values_at_once // max(1, width))
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


def levels_reached(
    levels: np.ndarray, masks: np.ndarray, count: int, used: ArrayLike = True
) -> np.ndarray:
    """Count pixels outside and inside of masks at each level or above, (n, 2, count).

    Examples:
        >>> levels_reached(np.array([[[0, 1]]]), np.array([[[False, True]]]), 2)
        array([[[1, 0],
                [1, 1]]])
    """
    bins = levels + count * masks + 2 * count * np.arange(len(levels))[:, None, None]
    pixels = np.bincount(bins[used].ravel(), minlength=2 * count * len(levels))
    return pixels.reshape(-1, 2, count)[..., ::-1].cumsum(axis=-1)[..., ::-1]


def as_scores(
    scores: ArrayLike, class_names: Sequence | None = None
) -> tuple[np.ndarray, list]:
    """Return finite scores (n, classes) and distinct names, by default the indices.

    Examples:
        >>> as_scores([[0.5, 2.0]])
        (array([[0.5, 2. ]]), [0, 1])
    """
    scores = as_float(scores)
    columns = scores.shape[-1] if scores.ndim else 0
    names = list(range(columns) if class_names is None else class_names)
    if scores.ndim != 2 or columns != len(names):
        raise ValueError(
            f"Expected scores (n, classes), here (n, {len(names)}) for as many "
            f"class names. Received: shape {scores.shape}."
        )
    repeated = [name for name, times in Counter(names).items() if times > 1]
    if repeated:
        raise ValueError(
            f"Expected distinct class names. Received: {repeated[:5]} more than once. "
            "Use the folder or synset as a prefix."
        )
    images, bad = len(scores), np.count_nonzero(~np.isfinite(scores))
    if not images or bad:
        raise ValueError(
            "Expected at least one image and finite scores. "
            f"Received: {images} images, {bad} NaN or infinite values."
        )
    return scores, names


def as_indices(indices: ArrayLike, count: int, classes: int) -> np.ndarray:
    """Return class indices (count,), int64 in 0..classes - 1.

    Examples:
        >>> as_indices([2, 0], count=2, classes=3)
        array([2, 0])
    """
    indices = np.asarray(indices)
    if indices.shape != (count,) or indices.dtype.kind not in "iu":
        raise ValueError(
            f"Expected one integer class index per image, here ({count},). "
            f"Received: {indices.dtype} of shape {indices.shape}. "
            "Use argmax(axis=1) for one-hot labels."
        )
    if indices.min() < 0 or indices.max() >= classes:
        raise ValueError(
            f"Expected class indices in 0..{classes - 1}. "
            f"Received: {indices.min()}..{indices.max()}."
        )
    return indices.astype(np.int64)


def as_labels(labels: ArrayLike, shape: tuple[int, ...]) -> np.ndarray:
    """Return labels 0, 1 or NaN (missing) of the scores' shape, float64.

    Examples:
        >>> as_labels([[1, 0, np.nan]], shape=(1, 3))
        array([[ 1.,  0., nan]])
    """
    labels = np.asarray(labels, float)
    if labels.shape != shape:
        raise ValueError(
            f"Expected labels of the scores' shape, {shape}. Received: {labels.shape}."
        )
    bad = labels[~np.isin(labels, (0, 1)) & ~np.isnan(labels)]
    if bad.size:
        raise ValueError(
            "Expected labels 0, 1, or NaN where missing. "
            f"Received: {np.unique(bad)[:5].tolist()}."
        )
    return labels


def as_thresholds(
    thresholds: ArrayLike, classes: int | None = None, *, scalar: bool = False
) -> np.ndarray:
    """Return thresholds (thresholds,) or (classes,), or a number if ``scalar``.

    Examples:
        >>> as_thresholds([0.1, 0.5])
        array([0.1, 0.5])
    """
    thresholds = np.asarray(thresholds, float)
    shape = (thresholds.size if classes is None else classes,)
    fits = thresholds.shape == shape or (scalar and thresholds.ndim == 0)
    if not fits or not thresholds.size or np.isnan(thresholds).any():
        number = "as a number or " if scalar else ""
        raise ValueError(
            f"Expected thresholds {number}({classes or 'thresholds'},), at least one, "
            f"not NaN. Received: shape {thresholds.shape}, {thresholds.tolist()}."
        )
    return thresholds


def as_boolean(
    masks: ArrayLike, name: str = "masks", way_out: str = "masks > 0"
) -> np.ndarray:
    """Return boolean masks of any shape; errors name them and the way out.

    Examples:
        >>> as_boolean([True, False])
        array([ True, False])
    """
    masks = np.asarray(masks)
    if masks.dtype != bool:
        raise TypeError(
            f"Expected boolean {name}. Received: {name} of {masks.dtype}. "
            f"Use {way_out}, for example."
        )
    return masks


def as_masks(masks: ArrayLike, count: int) -> np.ndarray:
    """Return boolean masks (n, rows, cols), one for each of ``count`` maps.

    Examples:
        >>> as_masks(np.ones((2, 3, 3), bool), count=2).shape
        (2, 3, 3)
    """
    masks = as_boolean(masks)
    if masks.ndim != 3 or 0 in masks.shape[1:] or len(masks) != count:
        raise ValueError(
            f"Expected masks (n, rows, cols), one per map, here {count}. "
            f"Received: shape {masks.shape}."
        )
    return masks


def as_maps_and_masks(
    maps: ArrayLike, masks: ArrayLike, name: str = "heat maps"
) -> tuple[np.ndarray, np.ndarray]:
    """Return finite maps and boolean masks of the same shape (n, rows, cols).

    Examples:
        >>> maps, masks = as_maps_and_masks([[[0.5, 1.0]]], [[[True, False]]])
        >>> maps.shape, masks.shape
        ((1, 1, 2), (1, 1, 2))
    """
    maps = as_maps(maps, name)
    masks = as_masks(masks, len(maps))
    if maps.shape != masks.shape:
        raise ValueError(
            f"Expected {name} and masks of the same size. "
            f"Received: {maps.shape[1:]} and {masks.shape[1:]}. "
            "Use kerasloc.metrics.resize_maps first."
        )
    return maps, masks
