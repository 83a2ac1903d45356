"""The post-processing of HRCAM: from the image and its two CAMs to a refined map."""

import warnings

import numpy as np

from kerasloc import checks
from kerasloc.postprocess import crop, edges, focal, merge, roi, segment
from kerasloc.postprocess.normalize import is_flat
from kerasloc.postprocess.options import PipelineOptions


def pipeline(img, low, high, **options) -> dict:
    """Every step from the two CAMs to the refined map, ``merged``, and the crop.

    A flat high CAM has no edges: with a warning, the low CAM alone is refined. Then
    ``edges`` is 0, ``bounds`` (0.0, 0.0), ``segmented`` and ``full_segment`` are empty
    and ``merged`` is the low map in [0, 1].

    Args:
        img: Image (rows, cols) or (rows, cols, channels), or with a leading axis of
            length 1; uint8, uint16 or float in [0, 1].
        low: Low resolution CAM (any rows, any cols), raw, not flat.
        high: High resolution CAM (rows, cols), raw.
        **options: See ``PipelineOptions``.

    Returns:
        In this order: ``blurred``, the high map in [0, 1] after a 5 x 5 mean; ``low``;
        ``low_resized``, at the image's size; ``edges`` of blurred, in [0, 1]; ``roi``,
        boolean; ``bounds``, two floats; ``focal_points``, integer rows x, y;
        ``segmented`` and ``full_segment``, boolean; ``merged``, in [0, 1]; ``result``,
        the image with all but the highest of merged set to 0. All but low,
        focal_points and bounds have the image's rows and columns.

    Raises:
        TypeError: If an option is unknown or has another type.
        ValueError: If an option or a value is out of range, a map holds NaN, the low
            map is flat, or the sizes of the image and of the high map differ.

    Reference:
        Tagaris, Sdraka, Stafylopatis: High Resolution Class Activation Mapping for
        Discriminative Feature Localization, ICIP 2019.
    """
    options = PipelineOptions.from_keywords(options)
    low = checks.as_map(low, "low CAM")
    high = checks.as_map(high, "high CAM")
    image = _as_image(img, high.shape)
    _check_not_flat(low)
    steps = {"blurred": edges.blur(high), "low": low}
    steps["low_resized"] = roi.resize(low, high.shape)
    steps["edges"] = edges.edge_strength(steps["blurred"])
    steps["roi"] = roi.region_of_interest(steps["low_resized"], options.roi_percentile)
    steps["bounds"] = roi.edge_bounds(steps["edges"], steps["roi"])
    steps["focal_points"] = _focal_points(steps, options)
    steps["segmented"], steps["full_segment"] = _segments(steps, options)
    steps["merged"] = merge.merge(
        steps["full_segment"],
        steps["low_resized"],
        options.merge_type,
        options.merge_alpha,
    )
    steps["result"] = crop.crop(image, _kept(steps["merged"], options))
    return steps


def _as_image(img, size: tuple[int, int]) -> np.ndarray:
    """The image (rows, cols[, channels]), float32 in [0, 1], of the high CAM's size."""
    image = np.asarray(img)
    if image.ndim > 2 and len(image) == 1 and image.shape[:2] != size:
        image = image[0]
    if image.ndim not in (2, 3) or image.shape[:2] != size:
        raise ValueError(
            "The image and the high CAM have the same rows and columns. Received: an "
            f"image of shape {np.shape(img)}, a high CAM of {size[0]} x {size[1]}. "
            "Resize one of them; the order of arguments is img, low, high."
        )
    return checks.as_unit_range(image)


def _check_not_flat(low: np.ndarray):
    if is_flat(low):
        raise ValueError(
            "The low CAM needs more than one value, or it has no region of interest. "
            f"Received: {low.flat[0]:.4g} everywhere ({low.shape[0]} x {low.shape[1]})."
            " Use the CAM of another class, or a network that is trained."
        )


def _focal_points(steps: dict, options: PipelineOptions) -> np.ndarray:
    low_resized = steps["low_resized"]
    if options.focal_scope == "global":
        return focal.global_points(low_resized)
    return focal.local_points(steps["low"], low_resized.shape, options.maxima_areas)


def _segments(steps: dict, options: PipelineOptions) -> tuple[np.ndarray, np.ndarray]:
    """Masks of what grew from the focal points, and of it joined with edges, filled."""
    edge_map, region, bounds = steps["edges"], steps["roi"], steps["bounds"]
    if is_flat(edge_map):
        warnings.warn(
            "The high CAM is flat and has no edges: the low CAM alone is refined.",
            UserWarning,
            stacklevel=3,
        )
        return np.zeros(region.shape, bool), np.zeros(region.shape, bool)
    grown = segment.grow(edge_map, steps["focal_points"], bounds)
    strong = region & (edge_map >= bounds[1])
    full = segment.fill_holes(grown | strong, options.hole_size)
    return grown, full & region if options.confine_to_roi else full


def _kept(merged: np.ndarray, options: PipelineOptions) -> np.ndarray:
    if options.filter_type == "percentage":
        return crop.top_percentage(merged, options.filter_percentage)
    return crop.above_threshold(merged, options.filter_threshold)
