"""Pages of heat maps beside their images, with boxes and what the model answered."""

import dataclasses
import textwrap

import numpy as np

from kerasloc.metrics import resize_maps
from kerasloc.plotting.canvas import new_figure
from kerasloc.plotting.overlays import BOX_COLOR, as_rgb, overlay_image

LONG, LOWEST, GAP, TEXT = 1.9, 1.25, 0.08, 1.55  # inches: sides of a picture, its text
MARGIN, GUTTER, BETWEEN, HEADER, FOOTER = 0.25, 0.3, 0.16, 0.5, 0.6  # inches
TALLEST = 5  # rows that stand in one column; more take two
INK, SOFT = "#2b2b33", "#6b6b76"
VERDICTS = {True: ("hit", "#128a3a"), False: ("miss", "#c8102e"), None: ("-", SOFT)}


@dataclasses.dataclass(frozen=True, eq=False)
class HeatmapRow:
    """One class of one image, as a row of a page.

    Attributes:
        image: (rows, cols) or (rows, cols, 1 or 3), [0, 1]; one channel is drawn gray.
        heat: Heat map of any size, [0, 1].
        boxes: Rows x, y, w, h of the class, pixels of the image, (k, 4).
        title: Name of the class.
        probability: Of the class, [0, 1].
        hit: Whether the maximum of the map lies in a box; None where there is none.
        point: x, y of the maximum of the map, pixels of the image; that of the heat map
            when None.
        note: Small print, such as the name of the image.
    """

    image: np.ndarray
    heat: np.ndarray
    boxes: np.ndarray
    title: str
    probability: float
    hit: bool | None = None
    point: tuple[int, int] | None = None
    note: str = ""


def heatmap_page(rows, title: str = ""):
    """Figure of a page: image, heat map over it, class, probability, hit or miss.

    The boxes of the class are on both pictures, a cross is on the maximum of the map.
    More than five rows stand in two columns, the first column first.

    Args:
        rows: HeatmapRow each; ten are a page as published.
        title: Of the page.

    Returns:
        The matplotlib Figure. It is not registered with pyplot: nothing to close.

    Raises:
        TypeError: If an image is of another type.
        ValueError: If there is no row, or an image or a map is not as described.

    Reference:
        Preechakul et al.: Improved image classification explainability with
        high-accuracy heatmaps, iScience 25(3), 2022.
    """
    rows = list(rows)
    if not rows:
        raise ValueError("A page has at least one row. Received: none.")
    layout = _layout(rows)
    figure = new_figure(figsize=layout.size, facecolor="white")
    for place, row in enumerate(rows):
        _draw_row(figure, layout, place, row)
    wide, tall = layout.size
    style = {"va": "center", "size": 13, "weight": "bold", "color": INK}
    left, top = MARGIN / wide, 1 - 0.55 * HEADER / tall
    figure.text(left, top, title, parse_math=False, **style)
    _draw_legend(figure)
    return figure


@dataclasses.dataclass(frozen=True)
class _Layout:
    """Measures of a page, inches: rows in a column, pictures, the whole."""

    column: int
    picture: tuple[float, float]  # width, height
    size: tuple[float, float]

    def corner(self, place: int) -> tuple[float, float]:
        """Left and upper end of a row, counted from the lower left of the page."""
        across, down = divmod(place, self.column)
        left = MARGIN + across * (2 * self.picture[0] + GAP + TEXT + GUTTER)
        return left, self.size[1] - HEADER - down * (self.picture[1] + BETWEEN)

    def box(self, left: float, top: float, width: float, height: float) -> tuple:
        """A rectangle in inches as shares of the page: left, bottom, width, height."""
        wide, tall = self.size
        return left / wide, (top - height) / tall, width / wide, height / tall


def _layout(rows) -> _Layout:
    """The page for pictures whose longer side is given."""
    shapes = np.array([np.shape(as_rgb(row.image))[:2] for row in rows], float)
    height, width = (LONG * shapes / shapes.max(axis=1, keepdims=True)).max(axis=0)
    width, height = max(width, 0.5), max(height, LOWEST)
    columns = 1 if len(rows) <= TALLEST else 2
    column = -(-len(rows) // columns)
    wide = 2 * MARGIN + columns * (2 * width + GAP + TEXT) + (columns - 1) * GUTTER
    tall = HEADER + column * (height + BETWEEN) + FOOTER
    return _Layout(column, (width, height), (max(wide, 5.5), tall))


def _draw_row(figure, layout: _Layout, place: int, row: HeatmapRow):
    """The two pictures of a row and the text beside them."""
    width, height = layout.picture
    left, top = layout.corner(place)
    for picture in (as_rgb(row.image), overlay_image(row.image, row.heat)):
        ax = figure.add_axes(layout.box(left, top, width, height), anchor="NW")
        ax.imshow(picture)
        ax.set_axis_off()
        _draw_boxes(ax, row.boxes)
        left += width + GAP
    _draw_maximum(ax, row)
    ax = figure.add_axes(layout.box(left, top, TEXT, height))
    ax.set_axis_off()
    _write(ax, row)


def _draw_boxes(ax, boxes):
    from matplotlib import patheffects
    from matplotlib.patches import Rectangle

    dark = patheffects.withStroke(linewidth=2.6, foreground="#00000090")
    style = {"fill": False, "edgecolor": BOX_COLOR, "linewidth": 1.5}
    for x, y, w, h in np.reshape(boxes, (-1, 4)):
        # a pixel's center, not its corner, has whole coordinates
        frame = Rectangle((x - 0.5, y - 0.5), w, h, path_effects=[dark], **style)
        ax.add_patch(frame)


def _draw_maximum(ax, row: HeatmapRow):
    """A cross where the map is highest; the first of equal maxima counts."""
    point = row.point
    if point is None:
        heat = resize_maps(np.squeeze(row.heat), np.shape(as_rgb(row.image))[:2])
        point = np.unravel_index(heat.argmax(), heat.shape)[::-1]
    for color, size, width in (("black", 8, 2.6), ("white", 7, 1.2)):
        style = {"color": color, "markersize": size, "markeredgewidth": width}
        still = {"scalex": False, "scaley": False, "clip_on": False}
        ax.plot(*point, "+", **style, **still)


def _write(ax, row: HeatmapRow):
    """Class, probability, verdict and note, one under the other."""
    verdict, color = VERDICTS[row.hit if row.hit is None else bool(row.hit)]
    lines = [(line, 11, "bold", INK) for line in _wrap(row.title, 16)]
    lines.append((f"probability {row.probability:.3f}", 9.5, "normal", INK))
    lines.append((verdict, 12, "bold", color))
    lines += [(line, 7.5, "normal", SOFT) for line in _wrap(row.note, 24)]
    down = 0.0
    for text, size, weight, ink in lines:
        style = {"size": size, "weight": weight, "color": ink, "va": "top"}
        place = {"xycoords": "axes fraction", "textcoords": "offset points"}
        ax.annotate(text, (0, 1), (5, -down), **place, **style, parse_math=False)
        down += 1.4 * size


def _wrap(text: str, width: int) -> list[str]:
    """At most three lines of a width in letters; underscores count as spaces."""
    if len(text) > width:
        text = text.replace("_", " ")
    return textwrap.wrap(text, width, max_lines=3, placeholder=" ...")


def _draw_legend(figure):
    """The color bar, and what the frames and the cross are, at the foot."""
    import seaborn as sns
    from matplotlib.cm import ScalarMappable

    wide, tall = figure.get_size_inches()
    axes = figure.add_axes((MARGIN / wide, 0.32 / tall, 1.6 / wide, 0.1 / tall))
    colors = ScalarMappable(cmap=sns.color_palette("rocket", as_cmap=True))
    colors.set_clim(0, 1)
    bar = figure.colorbar(colors, cax=axes, orientation="horizontal", ticks=[0, 1])
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0, labelsize=8, labelcolor=SOFT, pad=2)
    bar.ax.set_xlabel("heat", size=8, color=SOFT, labelpad=-9)
    words = (("\N{WHITE SQUARE}", BOX_COLOR), ("box of the class", SOFT))
    words += (("+", INK), ("maximum of the map", SOFT))
    for (text, color), inches in zip(words, (2.3, 2.5, 3.6, 3.8), strict=True):
        where = (MARGIN + inches - 0.25) / wide, 0.37 / tall
        weight = "bold" if color in (BOX_COLOR, INK) else "normal"
        figure.text(*where, text, size=9, color=color, weight=weight, va="center")
