"""Checked options of the post-processing."""

import dataclasses
import numbers

CHOICES = {
    "focal_scope": ("global", "local"),
    "maxima_areas": ("small", "large"),
    "merge_type": ("blend", "multiply"),
    "filter_type": ("percentage", "threshold"),
}
RANGES = {
    "roi_percentile": (0, 100),
    "merge_alpha": (0, 1),
    "filter_percentage": (0, 100),
    "filter_threshold": (0, 1),
    "hole_size": (0, float("inf")),
}


@dataclasses.dataclass(frozen=True)
class PipelineOptions:
    """Options of the post-processing, with the published names and defaults.

    Attributes:
        roi_percentile: Percentile of the low map above which the region of interest
            lies, [0, 100): 85 selects the highest 15 % of the pixels.
        focal_scope: "global" for the highest pixels, "local" for local maxima.
        maxima_areas: For local maxima, "large" for their whole cells, "small" for the
            skeleton of these.
        merge_type: "blend" or "multiply" the segment and the low map.
        merge_alpha: Weight of the segment when blending, [0, 1].
        filter_type: Rule of the crop, "percentage" or "threshold".
        filter_percentage: Largest percentage of the image in the crop, [0, 100].
        filter_threshold: Threshold of the merged map, scaled to [0, 1], above which a
            pixel is in the crop, [0, 1].
        hole_size: Size of the smallest hole that is not filled, pixels.
        confine_to_roi: True to restrict the filled segment to the region of interest;
            not in the published method.

    Raises:
        TypeError: If an option has another type.
        ValueError: If a value is out of range or not among the choices.

    Examples:
        >>> PipelineOptions(merge_alpha=0.2).merge_alpha
        0.2
    """

    roi_percentile: float = 85
    focal_scope: str = "global"
    maxima_areas: str = "small"
    merge_type: str = "blend"
    merge_alpha: float = 0.5
    filter_type: str = "percentage"
    filter_percentage: float = 15
    filter_threshold: float = 0.6
    hole_size: int = 256
    confine_to_roi: bool = False

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"Expected {name} among {', '.join(map(repr, choices))}. "
                    f"Received: {name}={getattr(self, name)!r}."
                )
        for name, (least, most) in RANGES.items():
            value = getattr(self, name)
            received = f"Received: {name}={value!r}, a {type(value).__name__}."
            if not isinstance(value, numbers.Real) or isinstance(value, bool):
                raise TypeError(f"Expected {name} as a number. {received}")
            if not least <= float(value) <= most:
                raise ValueError(f"Expected {name} in [{least}, {most}]. {received}")
        if self.roi_percentile == 100:
            raise ValueError(
                "Expected roi_percentile below 100, as no pixel lies above the 100th "
                "percentile. Received: roi_percentile=100. Use 85, as published."
            )
