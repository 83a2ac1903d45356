"""Whether the hottest point of a map lies on what it should show."""

import numpy as np

from kerasloc.metrics.resizing import resize_maps
from kerasloc.metrics.stacks import as_maps, as_masks, chunks


def point_hits(maps, masks) -> np.ndarray:
    """1 where the maximum of the map lies on the mask, 0 where not, per image (n,).

    Of equal maxima the first counts, row by row. An image whose mask is empty has
    NaN: it has nothing to hit. The mean over images (``np.nanmean``) is the point
    accuracy; ``interval`` gives it with its confidence interval.

    Args:
        maps: Array-like (n, rows, cols), any range; resized bilinearly to the masks'
            size where theirs is another.
        masks: Boolean (n, rows, cols), at the size of the image.

    Raises:
        TypeError: If the masks are not boolean.
        ValueError: If the shapes do not fit or a map has NaN or infinite values.

    Reference:
        Zhang et al.: Top-down Neural Attention by Excitation Backprop, ECCV 2016,
        section 4.1 (the pointing game, here without its tolerance of 15 pixels).
    """
    maps = as_maps(maps)
    masks = as_masks(masks, len(maps))
    size = masks.shape[1:]
    hits = np.full(len(maps), np.nan)
    for part in chunks(len(maps), size[0] * size[1]):
        flat = masks[part].reshape(-1, size[0] * size[1])
        peaks = resize_maps(maps[part], size).reshape(flat.shape).argmax(axis=1)
        on_mask = np.take_along_axis(flat, peaks[:, None], axis=1)[:, 0]
        hits[part] = np.where(flat.any(axis=1), on_mask, np.nan)
    return hits
