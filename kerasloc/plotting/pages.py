"""Pages of heat maps and explanations beside their images, and of compared methods."""

import dataclasses
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from kerasloc.io import printable
from kerasloc.metrics import resize_maps
from kerasloc.plotting import style
from kerasloc.plotting.panels import as_rgb, overlay_image

MARGIN, HEADER, WIDTH = 0.25, 0.5, 5.5  # inches: margins, least width of a page
HIT, MISS, NEITHER = ("hit", style.GREEN), ("miss", style.RED), ("-", style.SOFT)
CLASSES = 3  # number of probabilities that are written over an explanation
LETTERS = 15.2  # per inch, in small print
METHOD_BOX_COLOR = "#e4572e"
METHOD_LETTERS = 20  # of a line above a picture


@dataclasses.dataclass(frozen=True, eq=False)
class HeatmapRow:
    """One class of one image, as a row of a page."""

    image: np.ndarray  # (rows, cols) or (rows, cols, 1 or 3), [0, 1]
    heat: np.ndarray  # heat map of any size, [0, 1]
    boxes: np.ndarray  # rows x, y, w, h of the class, pixels of the image, (k, 4)
    title: str  # name of the class
    probability: float
    hit: bool | None = None  # the maximum of the map lies in a box; None without boxes
    point: tuple[int, int] | None = None  # x, y of the maximum; that of the heat map
    note: str = ""  # small print, such as the name of the image


@dataclasses.dataclass(frozen=True, eq=False)
class ExplanationRow:
    """One image with its explanation."""

    image: np.ndarray  # (rows, cols) or (rows, cols, 1 or 3), [0, 1]
    explanation: np.ndarray  # map of any size, [0, 1], drawn without scaling
    probabilities: Mapping[str, float]  # of every class by its name, [0, 1]
    label: str | None = None  # name of the true class; None when unknown


def heatmap_page(rows: Iterable[HeatmapRow], title: str = "") -> Figure:
    """Figure of a page: image, heat map over it, class, probability, hit or miss.

    The boxes of the class are on both pictures, a cross is on the maximum of the map.
    More than five rows take two columns, the first column first.

    Args:
        rows: Rows of the page; ten are a page as published.
        title: Title of the page.

    Raises:
        TypeError: If an image has another dtype.
        ValueError: If there is no row, or an image or a map does not fit.

    Reference:
        Preechakul et al.: Improved image classification explainability with
        high-accuracy heatmaps, iScience 25(3), 2022.

    Examples:
        >>> image, heat = np.zeros((20, 30)), np.eye(5)
        >>> row = HeatmapRow(image, heat, [[2, 3, 10, 5]], "cat", 0.9, hit=True)
        >>> len(heatmap_page([row]).axes)  # image, overlay, text and color bar
        4
    """
    rows = list(rows)
    width, height = _picture_size(rows, longest=1.9, lowest=1.25)
    gap, text = 0.08, 1.55
    cell = (2 * width + gap + text, height)
    figure, corners = _new_page(len(rows), 5, cell, gap=(0.3, 0.16), footer=0.6)
    for row, (left, top) in zip(rows, corners, strict=True):
        picture = as_rgb(row.image)
        for shown in (picture, overlay_image(picture, row.heat)):
            ax = style.add_axes(figure, left, top, width, height)
            ax.imshow(shown)
            ax.set_axis_off()
            style.draw_boxes(ax, row.boxes, width=1.5, shadow=True)
            left += width + gap  # noqa: PLW2901
        _draw_maximum(ax, row, picture.shape[:2])
        _describe(style.add_axes(figure, left, top, text, height), row)
    _title(figure, title, 0.55, 13)
    _color_bar(figure, "heat", MARGIN).outline.set_visible(False)
    foot = figure.get_size_inches()[1] - 0.37
    for left, sign, color, words in (
        (2.3, "\N{WHITE SQUARE}", style.BOX_COLOR, "box of the class"),
        (3.6, "+", style.INK, "maximum of the map"),
    ):
        font = {"size": 9, "va": "center"}
        style.write(figure, sign, left, foot, color=color, weight="bold", **font)
        style.write(figure, words, left + 0.2, foot, color=style.SOFT, **font)
    return figure


def explanation_page(rows: Iterable[ExplanationRow], title: str = "") -> Figure:
    """Figure of a page: image, explanation, and the explanation over the image.

    Over each are its label, the predicted class, green where it is the label, and the
    highest probabilities. More than four rows take two columns, the first column first.

    Args:
        rows: Rows of the page.
        title: Title of the page.

    Raises:
        TypeError: If an image has another dtype.
        ValueError: If there is no row, or an image or an explanation does not fit.

    Examples:
        >>> image, explanation = np.zeros((20, 30)), np.eye(5)
        >>> row = ExplanationRow(image, explanation, {"cat": 0.9, "dog": 0.1}, "cat")
        >>> [text.get_text() for text in explanation_page([row]).texts][:2]
        ['label cat', 'predicted cat 0.90, dog 0.10']
    """
    rows = list(rows)
    width, height = _picture_size(rows, longest=1.6, lowest=0.5)
    gap, text = 0.06, 0.42
    cell = (3 * width + 2 * gap, text + height)
    figure, corners = _new_page(len(rows), 4, cell, gap=(0.35, 0.14), footer=0.55)
    for row, (left, top) in zip(rows, corners, strict=True):
        _caption(figure, left, top, 3 * width, row)
        picture = as_rgb(row.image)
        heat = resize_maps(np.squeeze(row.explanation), picture.shape[:2])
        over = overlay_image(picture, heat)  # checks the range
        for number, shown in enumerate((picture, heat, over)):
            x = left + number * (width + gap)
            ax = style.add_axes(figure, x, top + text, width, height)
            ax.imshow(shown, cmap="gray", vmin=0, vmax=1)
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set(color=style.FAINT, linewidth=0.6)
    room = (figure.get_size_inches()[0] - 2 * MARGIN) * 72 / 0.64  # points per letter
    _title(figure, title, 0.5, min(13, room / max(len(title), 1)))
    for bar in (
        _color_bar(figure, "explanation", MARGIN + 0.05, "gray"),
        _color_bar(figure, "over the image", MARGIN + 2.35, style.HEAT),
    ):
        bar.outline.set(linewidth=0.4, edgecolor=style.SOFT)
    return figure


def method_page(
    images: Sequence[npt.ArrayLike],
    boxes: Sequence[npt.ArrayLike],
    maps: Mapping[str, Sequence[npt.ArrayLike]],
    names: Sequence[str] | None = None,
) -> Figure:
    """Figure with a row per image and a column per method: the map over the image.

    Args:
        images: Images (n, rows, cols, channels) in [0, 1].
        boxes: Rows x, y, w, h of every image, n arrays.
        maps: Heat maps (n, rows, cols) in [0, 1] by method.
        names: Name of every row, such as its class.

    Examples:
        >>> images = np.zeros((2, 8, 8, 1))
        >>> figure = method_page(images, [[], []], {"cam": images[..., 0]})
        >>> [ax.get_title() for ax in figure.axes]
        ['image', 'cam', '', '']
    """
    rows, columns = len(images), len(maps) + 1
    figure = style.new_figure(1.5 * columns, 1.55 * rows, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for index, (axes, image) in enumerate(zip(grid, images, strict=True)):
        over = [overlay_image(image, heat[index]) for heat in maps.values()]
        for ax, picture in zip(axes, (as_rgb(image), *over), strict=True):
            ax.imshow(picture)
            style.draw_boxes(ax, boxes[index], color=METHOD_BOX_COLOR, width=1)
            ax.set_axis_off()
    for ax, name in zip(grid[0], ("image", *maps), strict=True):
        lines = printable(name).split(": ")
        text = "\n".join(textwrap.fill(line, METHOD_LETTERS) for line in lines)
        ax.set_title(text, fontsize=8, parse_math=False)
    for ax, name in zip(grid[:, 0], names or (), strict=False):
        font = {"ha": "right", "va": "center", "fontsize": 8, "parse_math": False}
        ax.text(
            -0.04, 0.5, printable(name), transform=ax.transAxes, rotation=90, **font
        )
    return figure


def _picture_size(rows: list, longest: float, lowest: float) -> tuple[float, float]:
    """Width and height that hold all images, whose longer sides are ``longest``."""
    if not rows:
        raise ValueError("Expected at least one row. Received: rows=[].")
    shapes = np.array([as_rgb(row.image).shape[:2] for row in rows], float)
    height, width = (longest * shapes / shapes.max(axis=1, keepdims=True)).max(axis=0)
    return max(float(width), 0.5), max(float(height), lowest)


def _new_page(count: int, most: int, cell, gap, footer: float) -> tuple[Figure, list]:
    """An empty page, and the corners of its cells; over ``most``, in two columns."""
    columns = 1 if count <= most else 2
    rows = -(-count // columns)
    margins = (MARGIN, HEADER, MARGIN, gap[1] + footer)
    grid = style.Grid(columns, rows, cell, gap, margins)
    width, height = grid.size
    corners = [grid.corner(*divmod(index, rows)) for index in range(count)]
    return style.new_figure(max(width, WIDTH), height), corners


def _title(figure: Figure, title: str, down: float, size: float) -> None:
    bold = {"size": size, "weight": "bold", "va": "center"}
    style.write(figure, title, MARGIN, down * HEADER, **bold)


def _color_bar(
    figure: Figure, label: str, left: float, colors: str = style.HEAT
) -> Colorbar:
    """Draw a color bar from 0 to 1 at the foot of a page."""
    scale = ScalarMappable(Normalize(0, 1), colors)
    axes = style.add_axes(figure, left, figure.get_size_inches()[1] - 0.42, 1.6, 0.1)
    bar = figure.colorbar(scale, cax=axes, orientation="horizontal", ticks=[0, 1])
    axes.tick_params(length=0, labelsize=8, labelcolor=style.SOFT, pad=2)
    axes.set_xlabel(label, size=8, color=style.SOFT, labelpad=-9)
    return bar


def _draw_maximum(ax: Axes, row: HeatmapRow, size: tuple[int, int]) -> None:
    """Draw a cross where the map is highest; the first of equal maxima counts."""
    point: Any = row.point
    if point is None:
        heat = resize_maps(np.squeeze(row.heat), size)
        point = np.unravel_index(heat.argmax(), heat.shape)[::-1]
    still: dict[str, Any] = {"scalex": False, "scaley": False, "clip_on": False}
    ax.plot(*point, "+", color="black", ms=8, mew=2.6, **still)
    ax.plot(*point, "+", color="white", ms=7, mew=1.2, **still)


def _describe(ax: Axes, row: HeatmapRow) -> None:
    """Write class, probability, verdict and note, one under the other."""
    verdict, color = NEITHER if row.hit is None else HIT if row.hit else MISS
    lines = [(line, 11.0, "bold", style.INK) for line in _wrap(row.title, 16)]
    lines.append((f"probability {row.probability:.3f}", 9.5, "normal", style.INK))
    lines.append((verdict, 12, "bold", color))
    lines += [(line, 7.5, "normal", style.SOFT) for line in _wrap(row.note, 24)]
    ax.set_axis_off()
    down = 0.0
    for text, size, weight, ink in lines:
        font = style.RELATIVE | {"size": size, "color": ink, "weight": weight}
        ax.annotate(text, (0, 1), (5, -down), va="top", **font)
        down += 1.4 * size


def _wrap(text: str, width: int) -> list[str]:
    """At most three lines of a width in letters; underscores count as spaces."""
    text = printable(text.replace("_", " ") if len(text) > width else text)
    return textwrap.wrap(text, width, max_lines=3, placeholder=" ...")


def _caption(figure: Figure, left: float, top: float, width: float, row) -> None:
    """Write the label, and the most probable classes under it."""
    likely = sorted(row.probabilities.items(), key=lambda pair: -pair[1])[:CLASSES]
    color = style.GREEN if row.label == likely[0][0] else style.RED
    color = style.SOFT if row.label is None else color
    label = f"label {'unknown' if row.label is None else row.label}"
    predicted = ", ".join(f"{name} {value:.2f}" for name, value in likely)
    letters = max(12, int(width * LETTERS))
    for text, down, font in (
        (label, 0.02, {"size": 9.5, "weight": "bold"}),
        (f"predicted {predicted}", 0.2, {"size": 8, "color": color}),
    ):
        if len(text) > letters:  # cut between words where possible
            short = textwrap.shorten(text, letters, placeholder=" ...")
            text = short or text[: letters - 4] + " ..."  # noqa: PLW2901
        style.write(figure, text, left, top + down, va="top", **font)
