"""Maps brought to [0, 1]."""

import numpy as np


def is_flat(values: np.ndarray) -> bool:
    """Whether all values are the same, so that nothing stands out."""
    return bool(values.min() == values.max())


def min_max(values: np.ndarray) -> np.ndarray:
    """The values moved and scaled to [0, 1]; all 0 where they are all the same.

    Args:
        values: Finite numbers of any range and shape, or a mask.
    """
    values = values.astype(float)
    shifted = values - values.min()
    return shifted if is_flat(values) else shifted / shifted.max()
