"""The refined map: the segment and the low map merged."""

import numpy as np

from kerasloc.postprocess.normalize import is_flat, min_max


def merge(segment: np.ndarray, low: np.ndarray, how: str, alpha: float) -> np.ndarray:
    """The segment and the low map, each in [0, 1], blended or multiplied.

    Where one of them is blank (all its values the same), the other is the answer.

    Args:
        segment: Boolean mask or map (rows, cols).
        low: Map of the same shape.
        how: "blend" for alpha * segment + (1 - alpha) * low, "multiply" for segment *
            low.
        alpha: Weight of the segment, in [0, 1].

    Raises:
        ValueError: If both are blank.
    """
    present = [min_max(part) for part in (segment, low) if not is_flat(part)]
    if not present:
        raise ValueError(
            "The segment or the low map must hold more than one value to be merged. "
            "Received: two blank ones. Use another low CAM or a larger high CAM."
        )
    if len(present) == 1:
        return present[0]
    segment, low = present
    return segment * low if how == "multiply" else alpha * segment + (1 - alpha) * low
