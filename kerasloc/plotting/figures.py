"""The figure of the post-processing pipeline, every step from image to result."""

import typing

import numpy as np

from kerasloc import postprocess
from kerasloc.plotting.canvas import new_figure
from kerasloc.plotting.overlays import as_rgb, overlay_image

COLUMNS, ROWS, WIDTH = 4, 3, 3.0  # panels, panels, inches
MARGIN, GUTTER, HEADER, ABOVE, BELOW = 0.35, 0.55, 0.5, 0.85, 0.35  # inches
INK, SOFT, ACCENT = "#2b2b33", "#6b6b76", "#35e0c1"
ACROSS = [(0, 1), (1, 2), (2, 3), (4, 5), (5, 6), (6, 7), (8, 9), (9, 10), (10, 11)]
DOWN = [(0, 4), (3, 7), (7, 8)]
SIDES = ("left", "right")


class Panel(typing.NamedTuple):
    """What one panel shows: a map with its colors and range, or a picture."""

    title: str
    values: np.ndarray
    colors: str | None = None
    limits: tuple = (None, None)
    bar: bool = False


def pipeline(img, low, high, **options):
    """Figure of every step from the image and its CAMs to the refined map and result.

    Args:
        img: Image as for ``postprocess.pipeline``, gray or with 3 channels.
        low: Low resolution CAM, raw.
        high: High resolution CAM, raw, of the image's size.
        **options: See ``postprocess.PipelineOptions``.

    Returns:
        The matplotlib Figure: twelve numbered panels, arrows from step to step.

    Raises:
        TypeError: As ``postprocess.pipeline`` does.
        ValueError: As ``postprocess.pipeline`` does, or for another number of channels.
    """
    steps = postprocess.pipeline(img, low, high, **options)
    size = steps["merged"].shape
    panels = _panels(as_rgb(img), np.reshape(high, size), steps)
    notes = _notes(steps, postprocess.PipelineOptions(**options))
    figure, axes = _grid(size)
    for ax, number, panel, note in zip(axes, range(1, 13), panels, notes, strict=True):
        _draw(ax, panel, size)
        _head(ax, f"{number}  {panel.title}", note)
    _draw_roi(axes[3], steps["roi"])
    _draw_points(axes[5], steps["focal_points"])
    _draw_arrows(figure, axes)
    return figure


def _panels(image: np.ndarray, high: np.ndarray, steps: dict) -> list[Panel]:
    """The twelve panels in their order."""
    unit, mask = (0, 1), ("Greys_r", (0, 1))
    return [
        Panel("Image", image),
        Panel("High CAM", high, "mako", bar=True),
        Panel("Blurred", steps["blurred"], "mako", unit),
        Panel("Edges", steps["edges"], "mako", unit),
        Panel("Low CAM", steps["low"], "rocket", bar=True),
        Panel("Low CAM resized", steps["low_resized"], "rocket"),
        Panel("Region of interest", steps["roi"], *mask),
        Panel("Segment", steps["segmented"], *mask),
        Panel("Full segment", steps["full_segment"], *mask),
        Panel("Merged", steps["merged"], "rocket", unit, bar=True),
        Panel("Merged over the image", overlay_image(image, steps["merged"])),
        Panel("Result", as_rgb(steps["result"])),
    ]


def _notes(steps: dict, options: postprocess.PipelineOptions) -> list[str]:
    """What every panel shows, in a few words."""
    alpha = options.merge_alpha
    blend = f"{alpha:g} segment + {1 - alpha:g} low CAM"
    multiply = "segment x low CAM"
    share = f"the highest {options.filter_percentage:g} % of the refined map"
    threshold = f"where the refined map is above {options.filter_threshold:g}"
    filled = "strong edges of the region added, holes filled"
    confined = "edges added, filled, confined to the region"
    return [
        "what the network sees",
        "fine structure, raw values",
        "5 x 5 mean, in [0, 1]",
        "region outlined, bounds {:.2f} to {:.2f}".format(*steps["bounds"]),
        "the class, coarse, raw values",
        f"bilinear; focal points: {len(steps['focal_points'])}",
        f"low CAM above its percentile {options.roi_percentile:g}",
        "edges within the bounds, from the points",
        confined if options.confine_to_roi else filled,
        "refined map: " + (blend if options.merge_type == "blend" else multiply),
        "where the class is",
        share if options.filter_type == "percentage" else threshold,
    ]


def _grid(size: tuple[int, int]):
    """Figure and its axes row by row, each of the image's proportions."""
    import seaborn as sns

    height = float(np.clip(WIDTH * size[0] / size[1], 1, 6))
    row = ABOVE + height + BELOW
    wide = 2 * MARGIN + COLUMNS * WIDTH + (COLUMNS - 1) * GUTTER
    tall = HEADER + ROWS * row
    figure = new_figure(figsize=(wide, tall), facecolor="white")
    title = "From the image to the refined class activation map"
    style = {"va": "center", "size": 17, "weight": "bold", "color": INK}
    figure.text(MARGIN / wide, 1 - 0.6 * HEADER / tall, title, **style)
    with sns.axes_style("white"):
        axes = [
            figure.add_axes(
                (
                    (MARGIN + j * (WIDTH + GUTTER)) / wide,
                    1 - (HEADER + i * row + ABOVE + height) / tall,
                    WIDTH / wide,
                    height / tall,
                )
            )
            for i in range(ROWS)
            for j in range(COLUMNS)
        ]
    return figure, axes


def _draw(ax, panel: Panel, size: tuple[int, int]):
    """The panel's map stretched to the image's size."""
    import seaborn as sns

    shown = ax.imshow(
        panel.values,
        cmap=sns.color_palette(panel.colors, as_cmap=True) if panel.colors else None,
        vmin=panel.limits[0],
        vmax=panel.limits[1],
        extent=(-0.5, size[1] - 0.5, size[0] - 0.5, -0.5),
        interpolation="nearest",
    )
    ax.set(xticks=[], yticks=[])
    sns.despine(ax=ax, left=True, bottom=True)
    if panel.bar:
        _draw_bar(ax, shown)


def _draw_bar(ax, shown):
    """A thin color bar under the panel, its ends labeled."""
    inch = 1 / (ax.get_position().height * ax.figure.get_size_inches()[1])
    inset = ax.inset_axes((0, -0.12 * inch, 1, 0.06 * inch))
    bar = ax.figure.colorbar(shown, cax=inset, orientation="horizontal", ticks=[])
    bar.outline.set_visible(False)
    place = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "top"}
    for x, (side, end) in enumerate(zip(SIDES, shown.get_clim(), strict=True)):
        text = f"{end:.2g}"
        inset.annotate(text, (x, 0), (0, -2), ha=side, **place, size=8.5, color=SOFT)


def _head(ax, title: str, note: str):
    """The title and the note over the panel."""
    ax.set_title(title, loc="left", pad=20, size=12.5, weight="bold", color=INK)
    place = {"xycoords": "axes fraction", "textcoords": "offset points"}
    ax.annotate(note, (0, 1), (0, 6), **place, size=9.5, color=SOFT)


def _draw_roi(ax, roi: np.ndarray):
    """The region's outline, closed where it meets the border of the image."""
    limits = ax.get_xlim(), ax.get_ylim()
    x, y = (np.arange(-1, side + 1) for side in roi.shape[::-1])
    ax.contour(x, y, np.pad(roi, 1), [0.5], colors=ACCENT, linewidths=1.6)
    ax.set(xlim=limits[0], ylim=limits[1])


def _draw_points(ax, points: np.ndarray):
    size = 22 if len(points) < 50 else 2
    style = {"color": ACCENT, "edgecolors": INK, "linewidths": 0.6 if size > 2 else 0}
    ax.scatter(*points.T, s=size, **style)


def _draw_arrows(figure, axes):
    """Arrows from panel to panel, through the gutters and over the headings."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path

    wide, tall = figure.get_size_inches()
    style = {"arrowstyle": "-|>", "mutation_scale": 14, "color": SOFT, "linewidth": 1.4}
    boxes = [ax.get_position() for ax in axes]
    corners = []
    for a, b in ACROSS:
        middle = (boxes[a].y0 + boxes[a].y1) / 2
        inner = 0.1 / wide
        corners.append([(boxes[a].x1 + inner, middle), (boxes[b].x0 - inner, middle)])
    for a, b in DOWN:
        start, end = ((boxes[i].x0 + boxes[i].x1) / 2 for i in (a, b))
        top, bottom = boxes[a].y0 - 0.1 / tall, boxes[b].y1 + 0.5 / tall
        level = (top + bottom) / 2
        corners.append([(start, top), (start, level), (end, level), (end, bottom)])
    for path in corners:
        arrow = FancyArrowPatch(path=Path(path), transform=figure.transFigure, **style)
        figure.add_artist(arrow)
