"""AOPC and MoRF curves: fall of the probability while relevant tiles are perturbed.

Reference:
    Samek et al.: Evaluating the visualization of what a deep neural network has
    learned, IEEE TNNLS 28(11), 2017 (region perturbation, MoRF, AOPC).
"""

import dataclasses
import math
import numbers
import zlib
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import ArrayLike

from kerasloc.checks import Size, as_maps, as_size, as_unit_range
from kerasloc.maps import check_grid, resize_maps, spread_tiles, tile_means
from kerasloc.metrics._bootstrap import percentile_interval, sample_counts
from kerasloc.metrics._inputs import as_indices

PERTURBATIONS = ("noise", "mean", "black")
TIES, NOISE = 0, 1  # streams of random numbers of an image
VALUES_IN_A_CALL = 2**24  # of images, 64 MiB
BAR_FROM = 2000  # images to be predicted
SLACK = 1e-4  # a softmax in half precision may exceed 1 by this much


@dataclasses.dataclass(frozen=True)
class AopcConfig:
    """Options of the perturbation of images, tile by tile.

    Attributes:
        grid: Tiles (down, across), or one number for both; tiles differ by a pixel
            where they do not divide the image's size.
        steps: Number of perturbed tiles, L; all when None.
        perturbation: New content of a tile: uniform ``noise`` in [0, 1], the ``mean``
            color of its image, or ``black``.
        seed: Seed of the noise, and of the order of tiles of equal relevance; both are
            the same in all steps, for every relevance, in any batch.
        images_at_once: Images in a call of ``predict``; if None what fits in 64 MiB.

    Raises:
        ValueError: If a value is out of its range.

    Examples:
        >>> AopcConfig(grid=4).tiles, AopcConfig(grid=4, steps=10).length
        (16, 11)
    """

    grid: Size = 8
    steps: int | None = None
    perturbation: str = "noise"
    seed: int = 0
    images_at_once: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "grid", as_size(self.grid))
        if self.perturbation not in PERTURBATIONS:
            raise ValueError(
                f"Expected a perturbation among {', '.join(PERTURBATIONS)}. "
                f"Received: perturbation={self.perturbation!r}."
            )
        limits = {"steps": (1, self.tiles), "images_at_once": (1, np.inf)}
        for name, (low, high) in {**limits, "seed": (0, np.inf)}.items():
            value = getattr(self, name)
            in_range = isinstance(value, numbers.Integral) and low <= int(value) <= high
            if not in_range and (value is not None or name == "seed"):
                raise ValueError(
                    f"Expected {name} as an integer from {low} to {high}. "
                    f"Received: {name}={value!r}. Use the default."
                )

    @property
    def tiles(self) -> int:
        """Number of tiles of the grid."""
        return math.prod(as_size(self.grid))

    @property
    def length(self) -> int:
        """Number of points of a curve, L + 1."""
        return 1 + (self.tiles if self.steps is None else self.steps)


def morf_curves(
    predict: Callable[[np.ndarray], ArrayLike],
    images: ArrayLike,
    relevance: ArrayLike,
    config: AopcConfig | None = None,
    classes: ArrayLike | None = None,
) -> np.ndarray:
    """Compute MoRF curves (n, L + 1): probability of a class after each perturbed tile.

    MoRF (Samek et al., section III) is "most relevant first": f(x_0) of the image
    itself, then f(x_k) after the k tiles of the highest mean relevance were perturbed.
    Tiles of equal relevance come in a random order of the image: a flat map equals
    chance.

    Args:
        predict: Function from images (k, rows, cols, channels), float32 in [0, 1], to
            probabilities (k, classes): ``wrapper.predict_proba``.
        images: Images (n, rows, cols, channels), uint8, uint16 or float in [0, 1].
        relevance: Maps (n, map rows, map cols), resized bilinearly to the images' size.
        config: Grid, steps and perturbation; the defaults when None.
        classes: Class index of each image, (n,), or one for all; the predicted class
            of the unperturbed image when None.

    Raises:
        TypeError: If the images have another type.
        ValueError: If a shape, a value, the grid or a probability does not fit.

    Examples:
        >>> def predict(images):
        ...     return images[:, :2, :2].mean(axis=(1, 2, 3))[:, None]
        >>> config = AopcConfig(grid=2, perturbation="black")
        >>> morf_curves(predict, np.ones((1, 4, 4, 1)), [[[9, 3], [2, 1]]], config)
        array([[1., 0., 0., 0., 0.]])
    """
    config = AopcConfig() if config is None else config
    images, relevance = as_unit_range(images), as_maps(relevance, "relevance maps")
    if images.ndim != 4 or 0 in images.shape[1:]:
        raise ValueError(
            "Expected images (n, rows, cols, channels). "
            f"Received: shape {images.shape}. Use image[None] for a single image."
        )
    check_grid(as_size(config.grid), images.shape[1:3])
    if len(relevance) != len(images):
        raise ValueError(
            "Expected one relevance map per image. Received: "
            f"{len(relevance)} maps for {len(images)} images."
        )
    if classes is not None and np.ndim(classes) == 0:
        classes = np.full(len(images), classes)
    curves, index = np.empty((len(images), config.length)), np.zeros(len(images), int)
    for rows, steps, perturbed in _calls(images, relevance, config):
        probabilities = _predict(predict, perturbed)  # (images, steps, classes)
        if classes is not None:
            index = as_indices(classes, len(images), probabilities.shape[-1])
        elif steps.start == 0:
            index[rows] = probabilities[:, 0].argmax(axis=-1)
        at = index[rows, None, None]
        curves[rows, steps] = np.take_along_axis(probabilities, at, axis=-1)[..., 0]
    return curves


def aopc(curves: ArrayLike) -> np.ndarray:
    """Compute AOPC, the mean fall of the probability, (n,); higher is better.

    Samek et al., equation 12: 1 / (L + 1) * sum over k = 0..L of f(x_0) - f(x_k), the
    area over the perturbation curve; here per image.

    Args:
        curves: Curves (n, L + 1) of :func:`morf_curves`.

    Raises:
        ValueError: If the curves are not finite, (n, L + 1) with a step at least.

    Examples:
        >>> aopc([[1.0, 0.5, 0.0]])
        array([0.5])
    """
    return aopc_by_steps(curves)[:, -1]


def aopc_by_steps(curves: ArrayLike) -> np.ndarray:
    """Compute AOPC (n, L + 1) of curves after 0, 1, ... L steps; see :func:`aopc`.

    Examples:
        >>> aopc_by_steps([[1.0, 0.5, 0.0]])
        array([[0.  , 0.25, 0.5 ]])
    """
    curves = _as_curves(curves)
    fall = curves[:, :1] - curves
    return fall.cumsum(axis=1) / np.arange(1, curves.shape[1] + 1)


def curve_interval(
    curves: ArrayLike, *, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean of curves at every step with its 95 % interval, (L + 1,) each.

    Args:
        curves: Curves (n, L + 1), at least one, as of :func:`morf_curves`.
        seed: Seed of the bootstrap over images.

    Examples:
        >>> curve_interval([[1.0, 0.5], [1.0, 0.5]])
        (array([1. , 0.5]), array([1. , 0.5]), array([1. , 0.5]))
    """
    curves = _as_curves(curves)
    if not len(curves):
        raise ValueError("Expected at least one curve. Received: 0 curves.")
    counts = sample_counts(len(curves), seed=seed)
    draws = np.concatenate([chunk @ curves / len(curves) for chunk in counts])
    low, high = percentile_interval(draws).T
    return curves.mean(axis=0), low, high


def random_relevance(
    count: int, size: Size, grid: Size = 8, *, seed: int | np.random.Generator = 0
) -> np.ndarray:
    """Draw maps (count, rows, cols) with tiles in a random order, the baseline of MoRF.

    Args:
        count: Number of maps.
        size: (rows, cols) of the images, or one number for both.
        grid: Tiles (down, across), or one number for both, a pixel each at least.
        seed: Seed or generator of the random numbers.

    Examples:
        >>> len(np.unique(random_relevance(1, 4, grid=2)))
        4
    """
    size, grid = as_size(size), as_size(grid)
    check_grid(grid, size)
    values = np.random.default_rng(seed).random((count, *grid), np.float32)
    return spread_tiles(values, size)


def _calls(
    images: np.ndarray, relevance: np.ndarray, config: AopcConfig
) -> Iterator[tuple[slice, slice, np.ndarray]]:
    """Rows, steps and perturbed images (images, steps, ...) of each prediction."""
    from tqdm import tqdm

    count, length = len(images), config.length
    at_once = config.images_at_once or VALUES_IN_A_CALL // max(1, images[:1].size)
    images_a_call = max(1, at_once // length)
    steps_a_call = max(1, min(at_once, length))
    few = count * length < BAR_FROM
    with tqdm(desc="Perturbing", total=count * length, leave=False, disable=few) as bar:
        for start in range(0, count, images_a_call):
            rows = slice(start, min(start + images_a_call, count))
            batch = images[rows]
            ranks = _ranks(batch, relevance[rows], config)
            fill = _fill(batch, config)[:, None]
            for first in range(0, length, steps_a_call):
                steps = slice(first, min(first + steps_a_call, length))
                gone = ranks[:, None] < np.arange(length)[steps, None, None]
                yield rows, steps, np.where(gone[..., None], fill, batch[:, None])
                bar.update(gone.shape[0] * gone.shape[1])


def _predict(predict: Callable, perturbed: np.ndarray) -> np.ndarray:
    """Checked probabilities (images, steps, classes) of perturbed images."""
    images, steps = perturbed.shape[:2]
    outputs = np.asarray(predict(perturbed.reshape(-1, *perturbed.shape[2:])))
    if outputs.ndim == images * steps == 1:  # wrappers squeeze a single image
        outputs = outputs[None]
    if outputs.ndim != 2 or len(outputs) != images * steps:
        raise ValueError(
            "Expected predict to return (k, classes) for k images. Received: "
            f"{outputs.shape} for {images * steps} images."
        )
    low, high = outputs.min(initial=np.inf), outputs.max(initial=-np.inf)
    if not (low >= -SLACK and high <= 1 + SLACK):  # NaN is neither
        raise ValueError(
            "Expected predict to return probabilities in [0, 1]. Received: values from "
            f"{low:.4g} to {high:.4g}. Use predict_proba, not logits."
        )
    return outputs.reshape(images, steps, -1)


def _as_curves(curves: ArrayLike) -> np.ndarray:
    """Curves as float64, (n, L + 1)."""
    curves = np.asarray(curves, float)
    if curves.ndim != 2 or curves.shape[1] < 2 or not np.isfinite(curves).all():
        bad = np.count_nonzero(~np.isfinite(curves))
        raise ValueError(
            "Expected curves of finite numbers (n, L + 1), at least a step. Received: "
            f"shape {curves.shape}, {bad} NaN or infinite values."
        )
    return curves


def _ranks(images: np.ndarray, relevance: np.ndarray, config: AopcConfig) -> np.ndarray:
    """Number of tiles that go before the tile of each pixel, (n, rows, cols)."""
    size = images.shape[1:3]
    means = tile_means(resize_maps(relevance, size), as_size(config.grid))
    height = means.reshape(len(images), -1)
    ties = [rng.random(height.shape[1]) for rng in _generators(images, config, TIES)]
    order = np.lexsort((ties, -height))
    return spread_tiles(order.argsort(axis=1).reshape(means.shape), size)


def _fill(images: np.ndarray, config: AopcConfig) -> np.ndarray:
    """New content of tiles, of a shape that broadcasts with the images."""
    if config.perturbation == "black":
        return np.zeros((len(images), 1, 1, 1), np.float32)
    if config.perturbation == "mean":
        colors = images.mean(axis=(1, 2), keepdims=True, dtype=np.float64)
        return colors.astype(np.float32)
    generators = _generators(images, config, NOISE)
    return np.stack([rng.random(images.shape[1:], np.float32) for rng in generators])


def _generators(
    images: np.ndarray, config: AopcConfig, stream: int
) -> Iterator[np.random.Generator]:
    """Random generator of each image, seeded by its pixels: the same in any batch."""
    for image in images:
        code = zlib.crc32(image.tobytes())
        yield np.random.default_rng((config.seed, stream, code))
