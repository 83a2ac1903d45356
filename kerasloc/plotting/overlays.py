"""Heat maps and boxes over images."""

import numpy as np

from kerasloc import checks
from kerasloc.plotting.canvas import new_figure
from kerasloc.postprocess.normalize import min_max
from kerasloc.postprocess.roi import resize

BOX_COLOR = "#35e0c1"  # stands out from gray and from every color of the heat map


def overlay(image, cam, *, alpha: float = 0.5, boxes=None, ax=None):
    """Figure of a map over its image, with boxes.

    Args:
        image: (rows, cols) or (rows, cols, 1 or 3), or with a leading axis of length
            1; uint8, uint16 or float in [0, 1].
        cam: Map of any size and finite range; its lowest value becomes 0, its highest
            1. For an absolute scale see ``overlay_image``.
        alpha: Weight of the map, [0, 1].
        boxes: Rows x, y, w, h (further columns are not drawn), pixels of the image.
        ax: Matplotlib axes to draw in; a figure of its own without.

    Returns:
        The matplotlib Figure.

    Raises:
        TypeError: If the image is of another type.
        ValueError: If a shape or a value does not fit.
    """
    from matplotlib.patches import Rectangle

    picture = overlay_image(image, min_max(checks.as_map(cam, "CAM")), alpha)
    ax = _new_axes(picture.shape) if ax is None else ax
    ax.imshow(picture)
    ax.set_axis_off()
    for x, y, w, h, *_ in () if boxes is None else boxes:
        # a pixel's center, not its corner, has whole coordinates
        style = {"fill": False, "edgecolor": BOX_COLOR, "linewidth": 2}
        ax.add_patch(Rectangle((x - 0.5, y - 0.5), w, h, **style))
    return ax.figure


def overlay_image(image, heatmap, alpha: float = 0.5) -> np.ndarray:
    """The image blended with the colors of a heat map, (rows, cols, 3), in [0, 1].

    Args:
        image: As for ``overlay``.
        heatmap: Map in [0, 1] of any size, resized bilinearly to the image's.
        alpha: Weight of the heat map, [0, 1].

    Raises:
        TypeError: If the image is of another type.
        ValueError: If a shape or a value does not fit.
    """
    import seaborn as sns

    colors = as_rgb(image)
    heatmap = checks.as_map(heatmap, "heat map")
    if heatmap.min() < 0 or heatmap.max() > 1:
        raise ValueError(
            "A heat map lies in [0, 1]. Received: values from "
            f"{heatmap.min():.4g} to {heatmap.max():.4g}. Normalize it, or use overlay."
        )
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha lies in [0, 1]. Received: {alpha!r}.")
    heat = sns.color_palette("rocket", as_cmap=True)(resize(heatmap, colors.shape[:2]))
    return ((1 - alpha) * colors + alpha * heat[..., :3]).astype(np.float32)


def as_rgb(image) -> np.ndarray:
    """The image (rows, cols, 3), float32 in [0, 1], gray repeated three times.

    Args:
        image: As for ``overlay``.

    Raises:
        TypeError: If the image is of another type.
        ValueError: If a shape or a value does not fit.
    """
    pixels = np.asarray(image)
    if pixels.ndim in (3, 4) and len(pixels) == 1:
        pixels = pixels[0]
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    if pixels.ndim != 3 or pixels.shape[-1] not in (1, 3):
        raise ValueError(
            "An image to draw is (rows, cols) or (rows, cols, 1 or 3). "
            f"Received: shape {np.shape(image)}. Take one image of a batch."
        )
    return checks.as_unit_range(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))


def _new_axes(shape: tuple):
    """Axes that fill a figure of the picture's proportions, 5 inches long."""
    rows, cols = (5 * side / max(shape[:2]) for side in shape[:2])
    return new_figure(figsize=(max(cols, 1), max(rows, 1))).add_axes((0, 0, 1, 1))
