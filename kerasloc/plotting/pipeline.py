"""Figure of the post-processing pipeline, every step from image to result."""

import dataclasses
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import FancyArrowPatch
from matplotlib.path import Path

from kerasloc import postprocess
from kerasloc.plotting import style
from kerasloc.plotting.panels import as_rgb, overlay_image

COLUMNS, ROWS, WIDTH = 4, 3, 3.0  # panels, panels, inches
MARGIN, GUTTER, HEADER, ABOVE, BELOW = 0.35, 0.55, 0.5, 0.85, 0.35  # inches
UNIT = (0.0, 1.0)
SIDES = ("left", "right")
ACROSS = [(0, 1), (1, 2), (2, 3), (4, 5), (5, 6), (6, 7), (8, 9), (9, 10), (10, 11)]
DOWN = [(0, 4), (3, 7), (7, 8)]


class Panel(NamedTuple):
    """A map with its color map and range, or a picture; with title and note."""

    title: str
    note: str
    values: np.ndarray
    colors: str | None = None
    limits: tuple[float | None, float | None] = (None, None)
    bar: bool = False


def pipeline(
    img: npt.ArrayLike,
    low: npt.ArrayLike,
    high: npt.ArrayLike,
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
) -> Figure:
    """Figure of every step from an image and its CAMs to the refined map and result.

    Args:
        img: Image as for ``postprocess.pipeline``, gray or with 3 channels.
        low: Low resolution CAM, raw.
        high: High resolution CAM, raw, of the image's size.
        roi_percentile: Option of ``postprocess.PipelineOptions``, like those below.
        focal_scope: "global" or "local".
        maxima_areas: "small" or "large".
        merge_type: "blend" or "multiply".
        merge_alpha: Weight of the segment, [0, 1].
        filter_type: "percentage" or "threshold".
        filter_percentage: Percentage, [0, 100].
        filter_threshold: Threshold, [0, 1].
        hole_size: Area, pixels.
        confine_to_roi: Cut the filled segment to the region of interest.

    Raises:
        TypeError: If an option or the image has another type.
        ValueError: If an option is out of range, or the shapes do not fit.
    """
    options = postprocess.PipelineOptions(
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
    steps = postprocess.pipeline(img, low, high, **dataclasses.asdict(options))
    size = steps["merged"].shape
    panels = _panels(as_rgb(img), np.reshape(high, size), steps, options)
    figure, axes = _empty_panels(*size)
    for number, (ax, panel) in enumerate(zip(axes, panels, strict=True), start=1):
        shown = _draw(ax, number, panel, size)
        if panel.bar:
            _draw_bar(figure, ax, shown)
    _draw_roi(axes[3], steps["roi"])
    _draw_points(axes[5], steps["focal_points"])
    _draw_arrows(figure, axes)
    return figure


def _panels(image: np.ndarray, high: np.ndarray, steps: dict, options) -> list[Panel]:
    """The twelve panels in their order."""
    alpha = options.merge_alpha
    bounds = "{:.2f} to {:.2f}".format(*steps["bounds"])
    filled = "strong edges of the region added, holes filled"
    if options.confine_to_roi:
        filled = "edges added, filled, confined to the region"
    merged = "segment x low CAM"
    if options.merge_type == "blend":
        merged = f"{alpha:g} segment + {1 - alpha:g} low CAM"
    kept = f"where the refined map is above {options.filter_threshold:g}"
    if options.filter_type == "percentage":
        kept = f"the highest {options.filter_percentage:g} % of the refined map"
    roi = f"low CAM above its percentile {options.roi_percentile:g}"
    low, points = steps["low"], f"bilinear; focal points: {len(steps['focal_points'])}"
    grown = "edges within the bounds, from the points"
    over = overlay_image(image, steps["merged"])
    mako, rocket, mask = ("mako", UNIT), ("rocket", UNIT), ("Greys_r", UNIT)
    return [
        Panel("Image", "what the network sees", image),
        Panel("High CAM", "fine structure, raw values", high, "mako", bar=True),
        Panel("Blurred", "5 x 5 mean, in [0, 1]", steps["blurred"], *mako),
        Panel("Edges", f"region outlined, bounds {bounds}", steps["edges"], *mako),
        Panel("Low CAM", "the class, coarse, raw values", low, "rocket", bar=True),
        Panel("Low CAM resized", points, steps["low_resized"], "rocket"),
        Panel("Region of interest", roi, steps["roi"], *mask),
        Panel("Segment", grown, steps["segmented"], *mask),
        Panel("Full segment", filled, steps["full_segment"], *mask),
        Panel("Merged", f"refined map: {merged}", steps["merged"], *rocket, bar=True),
        Panel("Merged over the image", "where the class is", over),
        Panel("Result", kept, as_rgb(steps["result"])),
    ]


def _empty_panels(rows: int, cols: int) -> tuple[Figure, list[Axes]]:
    """Figure and its axes row by row, in the proportions of an image."""
    height = float(np.clip(WIDTH * rows / cols, 1, 6))
    cell, margins = (WIDTH, ABOVE + height + BELOW), (MARGIN, HEADER, MARGIN, 0)
    grid = style.Grid(COLUMNS, ROWS, cell, (GUTTER, 0), margins)
    figure = style.new_figure(*grid.size)
    title = "From the image to the refined class activation map"
    font = {"va": "center", "weight": "bold", "size": 17}
    style.write(figure, title, MARGIN, 0.6 * HEADER, **font)
    axes = []
    with sns.axes_style("white"):
        for index in range(ROWS * COLUMNS):
            left, top = grid.corner(index % COLUMNS, index // COLUMNS)
            axes.append(style.add_axes(figure, left, top + ABOVE, WIDTH, height))
    return figure, axes


def _draw(ax: Axes, number: int, panel: Panel, size: tuple[int, int]) -> AxesImage:
    """Draw a panel's map stretched to the size of the image, title and note over it."""
    image = ax.imshow(
        panel.values,
        cmap=panel.colors and sns.color_palette(panel.colors, as_cmap=True),
        vmin=panel.limits[0],
        vmax=panel.limits[1],
        extent=(-0.5, size[1] - 0.5, size[0] - 0.5, -0.5),
        interpolation="nearest",
    )
    ax.set(xticks=[], yticks=[])
    sns.despine(ax=ax, left=True, bottom=True)
    title = f"{number}  {panel.title}"
    ax.set_title(title, loc="left", pad=20, size=12.5, weight="bold", color=style.INK)
    ax.annotate(
        panel.note, (0, 1), (0, 6), **style.RELATIVE, size=9.5, color=style.SOFT
    )
    return image


def _draw_bar(figure: Figure, ax: Axes, image: AxesImage) -> None:
    """Draw a thin color bar under a panel, its ends labeled."""
    inch = 1 / (ax.get_position().height * figure.get_size_inches()[1])
    inset = ax.inset_axes((0, -0.12 * inch, 1, 0.06 * inch))
    bar = figure.colorbar(image, cax=inset, orientation="horizontal", ticks=[])
    bar.outline.set_visible(False)
    font = style.RELATIVE | {"size": 8.5, "color": style.SOFT, "va": "top"}
    for x, (side, end) in enumerate(zip(SIDES, image.get_clim(), strict=True)):
        inset.annotate(f"{end:.2g}", (x, 0), (0, -2), ha=side, **font)


def _draw_roi(ax: Axes, roi: np.ndarray) -> None:
    """Draw the region's outline, closed where it meets the border of the image."""
    limits = {"xlim": ax.get_xlim(), "ylim": ax.get_ylim()}
    x, y = (np.arange(-1, side + 1) for side in roi.shape[::-1])
    ax.contour(x, y, np.pad(roi, 1), [0.5], colors=style.BOX_COLOR, linewidths=1.6)
    ax.set(**limits)


def _draw_points(ax: Axes, points: np.ndarray) -> None:
    few = len(points) < 50
    size, edge = (22, 0.6) if few else (2, 0)
    x, y = points.T
    ax.scatter(x, y, size, style.BOX_COLOR, edgecolors=style.INK, linewidths=edge)


def _draw_arrows(figure: Figure, axes: list[Axes]) -> None:
    """Draw arrows from panel to panel, through the gutters and over the titles."""
    wide, tall = figure.get_size_inches()
    boxes = [ax.get_position() for ax in axes]
    paths = []
    for a, b in ACROSS:
        center, inner = (boxes[a].y0 + boxes[a].y1) / 2, 0.1 / wide
        paths.append([(boxes[a].x1 + inner, center), (boxes[b].x0 - inner, center)])
    for a, b in DOWN:
        start, end = ((boxes[i].x0 + boxes[i].x1) / 2 for i in (a, b))
        top, bottom = boxes[a].y0 - 0.1 / tall, boxes[b].y1 + 0.5 / tall
        level = (top + bottom) / 2
        paths.append([(start, top), (start, level), (end, level), (end, bottom)])
    for path in paths:
        arrow = FancyArrowPatch(path=Path(path), arrowstyle="-|>", mutation_scale=14)
        arrow.set(transform=figure.transFigure, color=style.SOFT, linewidth=1.4)
        figure.add_artist(arrow)
