"""The options of the pipeline, checked once."""

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
    """Checked options of the pipeline, with the published names and defaults.

    Attributes:
        roi_percentile: The region of interest is where the low map lies above this
            percentile, [0, 100): 85 leaves the highest 15 % of the pixels.
        focal_scope: "global" for the highest pixels, "local" for local maxima.
        maxima_areas: For local maxima, "large" takes their whole cells, "small" the
            skeleton of these.
        merge_type: "blend" or "multiply" the segment and the low map.
        merge_alpha: Weight of the segment when blending, [0, 1].
        filter_type: "percentage" or "threshold": what of the image is kept.
        filter_percentage: At most this much of the image is kept, [0, 100].
        filter_threshold: Kept is where the merged map in [0, 1] is above this, [0, 1].
        hole_size: Holes of fewer pixels are filled; a constant (256) as published.
        confine_to_roi: Whether the filled segment is cut to the region of interest;
            beyond the published method.

    Raises:
        TypeError: If an option has another type.
        ValueError: If a value is out of range or unknown.
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

    def __post_init__(self):
        """Checks every value."""
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"{name} is one of {', '.join(map(repr, choices))}. "
                    f"Received: {getattr(self, name)!r}."
                )
        for name, (least, most) in RANGES.items():
            _check_range(name, getattr(self, name), least, most)
        if self.roi_percentile == 100:
            raise ValueError(
                "roi_percentile is below 100, as no pixel lies above the 100th "
                "percentile. Received: 100. The published default is 85."
            )

    @classmethod
    def from_keywords(cls, options: dict) -> "PipelineOptions":
        """The options given by name, the others at their defaults.

        Args:
            options: Name to value.

        Raises:
            TypeError: If there is no option of that name.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        unknown = sorted(set(options) - set(known))
        if unknown:
            raise TypeError(
                f"The pipeline's options are {', '.join(known)}. "
                f"Received: {', '.join(unknown)}."
            )
        return cls(**options)


def _check_range(name: str, value, least: float, most: float):
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise TypeError(
            f"{name} is a number. Received: {value!r}, a {type(value).__name__}."
        )
    if not least <= value <= most:
        raise ValueError(f"{name} lies in [{least}, {most}]. Received: {value!r}.")
