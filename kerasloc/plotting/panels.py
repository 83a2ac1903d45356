"""Images with heat maps blended over them."""

import numpy as np
import numpy.typing as npt
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from kerasloc import checks
from kerasloc.maps import scale_to_unit
from kerasloc.metrics import resize_maps
from kerasloc.plotting.style import HEAT, class_colors, draw_boxes, new_figure
from kerasloc.postprocess.regions import resize


def overlay(
    image: npt.ArrayLike,
    cam: npt.ArrayLike,
    *,
    alpha: float = 0.5,
    boxes: npt.ArrayLike | None = None,
    ax: "Axes | None" = None,
) -> Figure | SubFigure:
    """Figure of a map over its image, with boxes.

    Args:
        image: Image (rows, cols) or (rows, cols, 1 or 3), or with a leading axis of
            length 1; uint8, uint16 or float in [0, 1].
        cam: Map of any size and finite range; its minimum becomes 0, its maximum 1.
            For an absolute scale see ``overlay_image``.
        alpha: Weight of the map, [0, 1].
        boxes: Rows x, y, w, h (further columns are not drawn), pixels of the image.
        ax: Matplotlib axes to draw in; a new figure without.

    Raises:
        TypeError: If the image has another dtype.
        ValueError: If a shape or a value does not fit.

    Examples:
        >>> figure = overlay(np.zeros((20, 40)), np.eye(5), boxes=[[2, 3, 10, 5]])
        >>> figure.get_size_inches()
        array([5. , 2.5])
    """
    picture = overlay_image(image, scale_to_unit(checks.as_map(cam, "CAM")), alpha)
    if ax is None:
        sides = np.array(picture.shape[:2])
        height, width = np.maximum(5 * sides / sides.max(), 1)
        ax = new_figure(width, height).add_axes((0, 0, 1, 1))
    ax.imshow(picture)
    ax.set_axis_off()
    draw_boxes(ax, () if boxes is None else boxes)
    return ax.figure


def overlay_image(
    image: npt.ArrayLike, heatmap: npt.ArrayLike, alpha: float = 0.5
) -> np.ndarray:
    """Blend an image with the colors of a heat map, float32 (rows, cols, 3) in [0, 1].

    Args:
        image: Image as for ``overlay``.
        heatmap: Map in [0, 1] of any size, resized bilinearly to the image.
        alpha: Weight of the heat map, [0, 1].

    Raises:
        TypeError: If the image has another dtype.
        ValueError: If a shape or a value does not fit.

    Examples:
        >>> overlay_image(np.zeros((4, 4)), np.eye(2), alpha=0.4).shape
        (4, 4, 3)
    """
    pixels, heat = as_rgb(image), checks.as_map(heatmap, "heat map")
    _check_blend(heat, alpha)
    palette = sns.color_palette(HEAT, as_cmap=True)
    colors = palette(resize(heat, pixels.shape[:2]))[..., :3]
    return ((1 - alpha) * pixels + alpha * colors).astype(np.float32)


def paint_classes(
    image: npt.ArrayLike, heatmaps: npt.ArrayLike, alpha: float = 0.5
) -> np.ndarray:
    """Blend an image with the heat maps of all classes, each in its color.

    Colors are mixed by heat; the hottest class sets how much of the image is covered.

    Args:
        image: Image as for ``overlay``.
        heatmaps: Heat maps (any rows, any cols, classes) in [0, 1], resized bilinearly.
        alpha: Weight of the color where heat is 1, [0, 1].

    Returns:
        Array of float32, (rows, cols, 3), in [0, 1].

    Raises:
        TypeError: If the image has another dtype.
        ValueError: If a shape or a value does not fit.

    Examples:
        >>> heat = np.zeros((1, 2, 3))
        >>> heat[0, 1, 2] = 1.0
        >>> painted = paint_classes(np.zeros((1, 2)), heat, alpha=1)
        >>> np.allclose(painted[0, 1], class_colors(3)[2], atol=1e-5)
        True
    """
    pixels, heat = as_rgb(image), np.asarray(heatmaps, np.float32)
    if heat.ndim != 3 or 0 in heat.shape:
        raise ValueError(
            "Expected heat maps of classes (rows, cols, classes). "
            f"Received: shape {heat.shape}. Use those of one image."
        )
    _check_blend(heat, alpha)
    heat = resize_maps(np.moveaxis(heat, -1, 0), pixels.shape[:2])
    mixed = np.tensordot(heat, class_colors(len(heat)), (0, 0))  # (rows, cols, 3)
    total = heat.sum(axis=0)[..., None]
    mixed = mixed / np.where(total > 0, total, 1)
    cover = alpha * heat.max(axis=0)[..., None]
    return ((1 - cover) * pixels + cover * mixed).astype(np.float32)


def as_rgb(image: npt.ArrayLike) -> np.ndarray:
    """Convert an image as for ``overlay`` to float32 in [0, 1], (rows, cols, 3).

    Examples:
        >>> as_rgb(np.full((1, 1), 255, np.uint8))
        array([[[1., 1., 1.]]], dtype=float32)
    """
    pixels = np.asarray(image)
    if pixels.ndim in (3, 4) and len(pixels) == 1:
        pixels = pixels[0]
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    if pixels.ndim != 3 or pixels.shape[-1] not in (1, 3):
        raise ValueError(
            "Expected an image (rows, cols) or (rows, cols, 1 or 3). "
            f"Received: shape {np.shape(image)}. Use one image of a batch."
        )
    return checks.as_unit_range(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))


def check_heat(heat: np.ndarray) -> None:
    """Raise a ValueError if a value of heat maps is outside of [0, 1] or NaN."""
    if not (heat.min() >= 0 and heat.max() <= 1):  # also of NaN
        raise ValueError(
            "Expected heat maps in [0, 1]. Received: values from "
            f"{heat.min():.4g} to {heat.max():.4g}. Normalize them, or use overlay."
        )


def _check_blend(heat: np.ndarray, alpha: float) -> None:
    check_heat(heat)
    if not 0 <= alpha <= 1:
        raise ValueError(f"Expected alpha in [0, 1]. Received: alpha={alpha!r}.")
