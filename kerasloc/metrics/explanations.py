"""How much an explanation explains: POMPOM, and AOPC with its MoRF curves."""

import dataclasses
import numbers
from collections.abc import Callable, Iterator

import numpy as np

from kerasloc.checks import as_size, as_unit_range
from kerasloc.metrics import tiles
from kerasloc.metrics._bootstrap import percentile_interval, sample_counts
from kerasloc.metrics._inputs import as_indices, as_maps, as_masks, chunks

EPSILON = 1e-6
VALUES_IN_A_CALL = 2**24  # of images, 64 MiB
BAR_FROM = 2000  # images to be predicted
SLACK = 1e-4  # a softmax in half precision may be that much above 1


def pompom(explanations, masks, *, with_empty: bool = False) -> np.ndarray:
    """Share of the meaningful pixels outside the mask, (n,) in [0, 1]; lower is better.

    Of the pixels outside, those where the explanation is above 1e-6 count; a mask that
    covers the whole image has 0. It tells something only of explanations that are 0
    somewhere: a map of probabilities is above 1e-6 nearly everywhere.

    Args:
        explanations: Heat maps in [0, 1], array-like (n, rows, cols).
        masks: Where the target is, boolean, of the same shape.
        with_empty: Whether an image whose mask is empty, and that has therefore no
            target, has the share of all of its pixels; else it has NaN.

    Raises:
        TypeError: If the masks are not boolean.
        ValueError: If the shapes do not fit, or an explanation leaves [0, 1].

    Reference:
        Rio-Torto, Fernandes, Teixeira: Understanding the decisions of CNNs: an in-model
        approach, Pattern Recognition Letters 133, 2020 (percentage of meaningful
        pixels outside the mask).
    """
    explanations, masks = _as_pair(explanations, masks)
    pixels = masks[0].size if len(masks) else 1
    outside, marked = np.zeros((2, len(masks)))
    for part in chunks(len(masks), pixels):
        outer = ~masks[part]
        outside[part] = outer.sum(axis=(1, 2))
        marked[part] = (outer & (explanations[part] > EPSILON)).sum(axis=(1, 2))
    answer = marked / (outside + EPSILON)
    return answer if with_empty else np.where(outside == pixels, np.nan, answer)


@dataclasses.dataclass(frozen=True)
class AopcConfig:
    """How images are perturbed, tile by tile.

    Attributes:
        grid: Tiles (down, across), or one number for both; where they do not divide
            the image's size tiles differ by a pixel.
        steps: How many tiles are perturbed, L; all when None.
        perturbation: What a tile becomes: uniform ``noise`` in [0, 1], the ``mean``
            color of its image, or ``black``.
        seed: Decides the noise and the order of tiles of equal relevance. An image has
            the same noise in all of its steps, for every relevance, in any batch.
        images_at_once: Perturbed images in one call of ``predict``; by default as many
            as fit in 64 MiB.

    Raises:
        ValueError: If a value is out of its range.
    """

    grid: int | tuple[int, int] = 8
    steps: int | None = None
    perturbation: str = "noise"
    seed: int = 0
    images_at_once: int | None = None

    def __post_init__(self):
        """Check the ranges."""
        object.__setattr__(self, "grid", as_size(self.grid))
        if self.perturbation not in tiles.PERTURBATIONS:
            raise ValueError(
                f"A perturbation is one of {', '.join(tiles.PERTURBATIONS)}. "
                f"Received: {self.perturbation!r}."
            )
        if self.steps is not None and not _is_in(self.steps, 1, self.tiles):
            raise ValueError(
                f"Steps are 1 to the {self.tiles} tiles of the grid. "
                f"Received: {self.steps!r}. Leave them out for all tiles."
            )
        if self.images_at_once is not None and not _is_in(self.images_at_once, 1):
            raise ValueError(
                "At least one image is predicted at once. "
                f"Received: images_at_once={self.images_at_once!r}."
            )
        if not _is_in(self.seed, 0):
            raise ValueError(f"A seed is 0 or more. Received: {self.seed!r}.")

    @property
    def tiles(self) -> int:
        """How many tiles the grid has."""
        return self.grid[0] * self.grid[1]

    @property
    def length(self) -> int:
        """How many points a curve has, L + 1."""
        return 1 + (self.tiles if self.steps is None else self.steps)


def morf_curves(
    predict: Callable, images, relevance, config: AopcConfig | None = None, classes=None
) -> np.ndarray:
    """Probability of a class while its most relevant tiles go first, (n, L + 1).

    The curves of MoRF ("most relevant first"): f(x0) of the image as it is, then f(xk)
    after the k tiles of the highest mean relevance were perturbed. Tiles of equal
    relevance come in a random order of the image's own, so that a map that says nothing
    is as good as chance. All steps of several images are predicted in one call.

    Args:
        predict: Function from images (k, rows, cols, channels), float32 in [0, 1], to
            probabilities (k, classes): ``wrapper.predict_proba``.
        images: (n, rows, cols, channels), uint8, uint16 or float in [0, 1].
        relevance: Of these images, (n, any rows, any cols), any range; resized
            bilinearly to the images' size.
        config: Grid, steps and perturbation; the defaults when None.
        classes: Index of the class of each image, (n,), or one for all; the likeliest
            one of the unperturbed image when None.

    Raises:
        TypeError: If the images are of another type.
        ValueError: If the shapes do not fit, an image leaves [0, 1], a relevance is NaN
            or infinite, the grid is finer than the images, or ``predict`` does not
            answer with probabilities.

    Reference:
        Samek et al.: Evaluating the visualization of what a deep neural network has
        learned, IEEE TNNLS 28(11), 2017 (region perturbation).
    """
    config = AopcConfig() if config is None else config
    images = _as_batch(images, config.grid)
    relevance = as_maps(relevance, "relevance maps")
    if len(relevance) != len(images):
        raise ValueError(
            "There is one relevance map an image. Received: "
            f"{len(relevance)} maps for {len(images)} images."
        )
    curves, chosen = np.empty((len(images), config.length)), None
    for some, steps, perturbed in _calls(images, relevance, config):
        answers = _answers(predict, perturbed)  # (images, steps, classes)
        if chosen is None:
            chosen = _as_classes(classes, len(images), answers.shape[-1])
        if steps.start == 0:
            likeliest = answers[:, 0].argmax(axis=-1)
            chosen[some] = np.where(chosen[some] < 0, likeliest, chosen[some])
        own = chosen[some, None, None]
        curves[some, steps] = np.take_along_axis(answers, own, axis=-1)[..., 0]
    return curves


def aopc(curves) -> np.ndarray:
    """Mean fall of the probability over the steps, (n,); higher is better.

    ``1 / (L + 1)`` times the sum of ``f(x0) - f(xk)`` for k from 0 to L: the area over
    the perturbation curve. ``interval`` gives its mean over images with its interval.

    Args:
        curves: Of :func:`morf_curves`, (n, L + 1).

    Raises:
        ValueError: If they are not such curves.

    Reference:
        Samek et al., as for :func:`morf_curves`.
    """
    return aopc_by_steps(curves)[:, -1]


def aopc_by_steps(curves) -> np.ndarray:
    """AOPC as it would be after fewer steps, (n, L + 1), from 0 steps on.

    Args:
        curves: As for :func:`aopc`.

    Raises:
        ValueError: As for :func:`aopc`.
    """
    curves = _as_curves(curves)
    fallen = curves[:, :1] - curves
    return fallen.cumsum(axis=1) / np.arange(1, curves.shape[1] + 1)


def curve_interval(
    curves, *, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean of curves at every step and its 95 % interval: (mean, low, high).

    Each (L + 1,). Whole images are drawn, 1,000 times, as for ``interval``.

    Args:
        curves: One an image, (n, L + 1), as of :func:`morf_curves` or
            :func:`aopc_by_steps`.
        seed: Of the bootstrap.

    Raises:
        ValueError: If they are not such curves, or there is none.
    """
    curves = _as_curves(curves)
    if not len(curves):
        raise ValueError(
            "A mean needs a curve. Received: none. Give at least an image."
        )
    draws = sample_counts(len(curves), seed=seed)
    means = np.concatenate([counts @ curves for counts in draws]) / len(curves)
    low, high = percentile_interval(means).T
    return curves.mean(axis=0), low, high


def random_relevance(count: int, size, grid=8, *, seed=0) -> np.ndarray:
    """Relevance whose tiles come in a random order, (count, rows, cols), [0, 1).

    The control for MoRF curves: a map that is constant in every tile.

    Args:
        count: How many maps.
        size: (rows, cols) of the images, or one number for both.
        grid: Tiles (down, across), or one number for both, as in :class:`AopcConfig`.
        seed: Whatever ``np.random.default_rng`` takes.

    Raises:
        ValueError: If the grid is finer than the images.
    """
    size, grid = as_size(size), as_size(grid)
    tiles.check_grid(grid, size)
    values = np.random.default_rng(seed).random((count, *grid), np.float32)
    return tiles.spread(values, size)


def _calls(images, relevance, config: AopcConfig) -> Iterator[tuple]:
    """What is predicted at once: images, steps, pictures (images, steps, ...)."""
    from tqdm import tqdm

    count, length = len(images), config.length
    at_once = config.images_at_once or VALUES_IN_A_CALL // max(1, images[:1].size)
    many, few = max(1, at_once // length), max(1, min(at_once, length))
    every = count * length
    bar = tqdm(desc="Perturbing", total=every, leave=False, disable=every < BAR_FROM)
    with bar:
        for start in range(0, count, many):
            some = slice(start, min(start + many, count))
            shown = images[some]
            ranks = tiles.ranks(shown, relevance[some], config.grid, config.seed)
            fill = tiles.fill(shown, config.perturbation, config.seed)[:, None]
            for first in range(0, length, few):
                steps = slice(first, min(first + few, length))
                gone = ranks[:, None] < np.arange(length)[steps, None, None]
                yield some, steps, np.where(gone[..., None], fill, shown[:, None])
                bar.update(gone.shape[0] * gone.shape[1])


def _answers(predict: Callable, perturbed: np.ndarray) -> np.ndarray:
    """Checked probabilities (images, steps, classes) of pictures."""
    images, steps = perturbed.shape[:2]
    answers = np.asarray(predict(perturbed.reshape(-1, *perturbed.shape[2:])))
    if answers.ndim == 1 and images * steps == 1:  # wrappers squeeze one image
        answers = answers[None]
    if answers.ndim != 2 or len(answers) != images * steps:
        raise ValueError(
            "predict answers with (k, classes) to k images. Received: "
            f"{answers.shape} for {images * steps} images."
        )
    low, high = answers.min(initial=np.inf), answers.max(initial=-np.inf)
    if not (low >= -SLACK and high <= 1 + SLACK):  # NaN is neither
        raise ValueError(
            "predict answers with probabilities in [0, 1]. Received: values from "
            f"{low:.4g} to {high:.4g}. Pass predict_proba, not logits."
        )
    return answers.reshape(images, steps, -1)


def _as_classes(classes, count: int, known: int) -> np.ndarray:
    """One index per image, -1 for the likeliest."""
    if classes is None:
        return np.full(count, -1)
    same = np.ndim(classes) == 0
    return as_indices(np.full(count, classes) if same else classes, count, known)


def _as_pair(explanations, masks) -> tuple[np.ndarray, np.ndarray]:
    """Checked explanations in [0, 1] and masks of one size."""
    explanations = as_maps(explanations, "explanations")
    masks = as_masks(masks, len(explanations))
    if explanations.shape != masks.shape:
        raise ValueError(
            "Explanations and masks have the same size. Received: "
            f"{explanations.shape[1:]} and {masks.shape[1:]}. "
            "Resize the explanations first (kerasloc.metrics.resize_maps)."
        )
    low, high = explanations.min(initial=0), explanations.max(initial=0)
    if low < 0 or high > 1:
        raise ValueError(
            f"Explanations lie in [0, 1]. Received: values from {low:.4g} to "
            f"{high:.4g}. Scale them first (kerasloc.metrics.min_max)."
        )
    return explanations, masks


def _as_batch(images, grid) -> np.ndarray:
    """Checked images, float32 in [0, 1], with a pixel in every tile at least."""
    images = as_unit_range(images)
    if images.ndim != 4 or 0 in images.shape[1:]:
        raise ValueError(
            "Images are (n, rows, cols, channels). "
            f"Received: shape {images.shape}. One image alone is passed as image[None]."
        )
    tiles.check_grid(grid, images.shape[1:3])
    return images


def _as_curves(curves) -> np.ndarray:
    """Curves as float64, (n, L + 1)."""
    curves = np.asarray(curves, float)
    if curves.ndim != 2 or curves.shape[1] < 2 or not np.isfinite(curves).all():
        bad = np.count_nonzero(~np.isfinite(curves))
        raise ValueError(
            "Curves are finite numbers (n, L + 1), a step at least. Received: shape "
            f"{curves.shape}, {bad} NaN or infinite values."
        )
    return curves


def _is_in(value, low: int, high: float = np.inf) -> bool:
    return isinstance(value, numbers.Integral) and low <= value <= high
