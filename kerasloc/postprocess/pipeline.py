"""The post-processing of HRCAM, step by step."""

import warnings

import numpy as np
from numpy.typing import ArrayLike

from kerasloc import checks
from kerasloc.maps import is_flat, scale_to_unit
from kerasloc.postprocess import regions
from kerasloc.postprocess.options import PipelineOptions


def pipeline(
    img: ArrayLike,
    low: ArrayLike,
    high: ArrayLike,
    *,
    roi_percentile: float = 85,
    focal_scope: str = "global",
    maxima_areas: str = "small",
    merge_type: str = "blend",
    merge_alpha: float = 0.5,
    filter_type: str = "percentage",
    filter_percentage: float = 15,
    filter_threshold: float = 0.6,
    hole_size: int = 256,
    confine_to_roi: bool = False,
) -> dict:
    """Refine a low resolution CAM by the edges of a high resolution CAM.

    The options are those of :class:`PipelineOptions`. A flat high CAM has no edges:
    with a warning, the low CAM alone is refined; ``edges`` is 0, ``bounds`` (0.0, 0.0),
    the segments are empty and ``merged`` is the low map in [0, 1].

    Returns:
        A dict of the steps, in this order:

        - ``blurred``, the high map in [0, 1] after a 5 x 5 mean;
        - ``low``; ``low_resized``, at the image's size;
        - ``edges`` of blurred, in [0, 1]; ``roi``, boolean; ``bounds``, two floats;
        - ``focal_points``, integer rows x, y; ``segmented`` and ``full_segment``,
          boolean;
        - ``merged``, the refined map in [0, 1]; ``result``, the image, 0 where merged
          is low.

        All but low, focal_points and bounds have the image's rows and columns.

    Raises:
        TypeError: If an option has another type.
        ValueError: If an option or a value is out of range, a map holds NaN, the low
            map is flat, or the sizes of the image and of the high map differ.

    Reference:
        Tagaris, Sdraka, Stafylopatis: High Resolution Class Activation Mapping for
        Discriminative Feature Localization, ICIP 2019.

    Examples:
        >>> high = np.zeros((8, 8))
        >>> high[2:5, 2:5] = 1
        >>> steps = pipeline(np.ones((8, 8)), [[1.0, 0.0], [0.0, 0.0]], high)
        >>> steps["merged"].shape, int(steps["result"].sum())
        ((8, 8), 9)
    """
    options = PipelineOptions(
        roi_percentile=roi_percentile,
        focal_scope=focal_scope,
        maxima_areas=maxima_areas,
        merge_type=merge_type,
        merge_alpha=merge_alpha,
        filter_type=filter_type,
        filter_percentage=filter_percentage,
        filter_threshold=filter_threshold,
        hole_size=hole_size,
        confine_to_roi=confine_to_roi,
    )
    low, high = checks.as_map(low, "low CAM"), checks.as_map(high, "high CAM")
    image = _as_image(img, high.shape)
    if is_flat(low):
        raise ValueError(
            "Expected a low CAM with more than one value, for its region of interest. "
            f"Received: {low.flat[0]:.4g} everywhere ({low.shape[0]} x {low.shape[1]})."
            " Use the CAM of another class, or a trained network."
        )
    steps: dict = {"blurred": regions.blur(high), "low": low}
    steps["low_resized"] = low_resized = regions.resize(low, high.shape)
    steps["edges"] = regions.edge_strength(steps["blurred"])
    steps["roi"] = roi = regions.region_of_interest(low_resized, roi_percentile)
    bounds = np.percentile(steps["edges"][roi], [25, 75])
    steps["bounds"] = (float(bounds[0]), float(bounds[1]))
    if focal_scope == "global":
        steps["focal_points"] = regions.global_points(low_resized)
    else:
        steps["focal_points"] = regions.local_points(low, high.shape, maxima_areas)
    if is_flat(steps["edges"]):
        warnings.warn(
            "The high CAM is flat and has no edges: the low CAM alone is refined.",
            UserWarning,
            stacklevel=2,
        )
    steps["segmented"], full = _segments(steps, options)
    steps["full_segment"] = full
    merged = regions.merge(full, low_resized, merge_type, merge_alpha)
    steps["merged"] = merged
    if filter_type == "percentage":
        mask = regions.top_percentage(merged, filter_percentage)
    else:
        mask = scale_to_unit(merged, dtype=float) > filter_threshold
    steps["result"] = regions.crop(image, mask)
    return steps


def _as_image(img: ArrayLike, size: tuple[int, ...]) -> np.ndarray:
    """The image (rows, cols[, channels]), float32 in [0, 1], of the high CAM's size."""
    image = np.asarray(img)
    if image.ndim > 2 and len(image) == 1 and image.shape[:2] != size:
        image = image[0]
    if image.ndim not in (2, 3) or image.shape[:2] != size:
        raise ValueError(
            "Expected an image and a high CAM of the same rows and columns. Received: "
            f"img of shape {np.shape(img)}, high CAM of {size[0]} x {size[1]}. "
            "Use the order img, low, high, and resize one of them."
        )
    return checks.as_unit_range(image)


def _segments(steps: dict, options: PipelineOptions) -> tuple[np.ndarray, np.ndarray]:
    """The segment grown from the focal points, and joined with strong edges, filled."""
    edge_map, region, bounds = steps["edges"], steps["roi"], steps["bounds"]
    if is_flat(edge_map):
        return np.zeros(region.shape, bool), np.zeros(region.shape, bool)
    grown = regions.grow(edge_map, steps["focal_points"], bounds)
    strong = region & (edge_map >= bounds[1])
    full = regions.fill_holes(grown | strong, options.hole_size)
    return grown, full & region if options.confine_to_roi else full
