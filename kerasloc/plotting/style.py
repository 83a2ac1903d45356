"""Colors, empty figures and positions on them, shared by all figures.

Positions on a page are inches from its upper left corner.
"""

import functools
import io
import numbers
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

INK, SOFT, FAINT = "#2b2b33", "#6b6b76", "#c9c9d1"
BLUE, GREEN, RED = "#37659e", "#128a3a", "#c8102e"
BOX_COLOR = "#35e0c1"  # stands out from gray and from every color of a heat map
LEVELS = 18  # of red, green and blue, that colors of classes are chosen from
LIGHTNESS, CHROMA = (52, 90), 42  # of CIELAB: visible on black, on white, on gray
FIRST = (1.0, 0.6, 0.1)  # color of the first class


class Grid(NamedTuple):
    """Cells of one size on a page, in inches.

    Attributes:
        columns: Number of cells side by side.
        rows: Number of cells above each other.
        cell: Width and height of a cell.
        gap: Horizontal and vertical distance of two cells.
        margins: Left, top, right and bottom margin of the page.
    """

    columns: int
    rows: int
    cell: tuple[float, float]
    gap: tuple[float, float]
    margins: tuple[float, float, float, float]

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of the page."""
        (width, height), (across, down) = self.cell, self.gap
        left, top, right, bottom = self.margins
        return (
            left + self.columns * (width + across) - across + right,
            top + self.rows * (height + down) - down + bottom,
        )

    def corner(self, column: int, row: int) -> tuple[float, float]:
        """Compute the upper left corner of a cell.

        Args:
            column: Column index, from the left.
            row: Row index, from the top.
        """
        (width, height), (across, down) = self.cell, self.gap
        left, top = self.margins[:2]
        return left + column * (width + across), top + row * (height + down)


def new_figure(width: float, height: float, layout: str | None = None) -> "Figure":
    """Create a white figure that pyplot does not hold, so nothing has to be closed.

    IPython displays only pyplot's figures by itself; this one has ``_repr_png_``.

    Args:
        width: Width of the figure, inches.
        height: Height of the figure, inches.
        layout: Layout engine of matplotlib; None for fixed positions.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), facecolor="white", layout=layout)
    vars(figure)["_repr_png_"] = functools.partial(_png, figure)
    return figure


def _png(figure: "Figure") -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=100)
    return file.getvalue()


def new_axes(
    width: float,
    height: float,
    *,
    rows: int = 1,
    columns: int = 1,
    theme: str = "ticks",
    sharey: bool = False,
) -> "np.ndarray[tuple[int], np.dtype[np.object_]]":
    """Create a figure that is laid out as a grid of axes; returns these, row by row.

    Args:
        width: Width of the figure, inches.
        height: Height of the figure, inches.
        rows: Number of rows of axes.
        columns: Number of columns of axes.
        theme: Style of seaborn.
        sharey: Share the y axis among all axes.
    """
    import seaborn as sns

    with sns.axes_style(theme):
        figure = new_figure(width, height, layout="constrained")
        return figure.subplots(rows, columns, sharey=sharey, squeeze=False).ravel()


def add_axes(
    figure: "Figure", left: float, top: float, width: float, height: float
) -> "Axes":
    """Add axes at a position in inches; a picture in them sits in the upper left.

    Args:
        figure: Figure of fixed positions.
        left: Distance from the left edge of the figure.
        top: Distance from the upper edge of the figure.
        width: Width of the axes.
        height: Height of the axes.
    """
    wide, tall = figure.get_size_inches()
    bounds = (left / wide, 1 - (top + height) / tall, width / wide, height / tall)
    return figure.add_axes(bounds, anchor="NW")


def set_title(ax: "Axes", title: str, pad: float | None = None) -> None:
    """Write a bold title at the left over axes.

    Args:
        ax: Matplotlib axes.
        title: Text of the title.
        pad: Distance from the axes, points.
    """
    ax.set_title(title, loc="left", weight="bold", pad=pad)


def write(
    ax: "Axes",
    text: str,
    corner: tuple[float, float],
    offset: tuple[float, float],
    *,
    size: float,
    color: str = INK,
    weight: str = "normal",
    ha: str = "left",
    va: str = "baseline",
) -> None:
    """Write plain text (no formulas) beside or over axes.

    Args:
        ax: Matplotlib axes.
        text: Text to write.
        corner: Position as fractions of the axes; (0, 1) is the upper left corner.
        offset: Distance from the corner, points.
        size: Font size, points.
        color: Color of the text.
        weight: Font weight.
        ha: Horizontal alignment.
        va: Vertical alignment.
    """
    ax.annotate(
        text,
        corner,
        offset,
        xycoords="axes fraction",
        textcoords="offset points",
        parse_math=False,
        size=size,
        color=color,
        weight=weight,
        ha=ha,
        va=va,
    )


def draw_boxes(
    ax: "Axes",
    boxes: "np.ndarray | list | tuple | None",
    *,
    color: str = BOX_COLOR,
    width: float = 2.0,
    shadow: bool = False,
) -> None:
    """Draw the frames of boxes on a picture.

    Args:
        ax: Axes with the picture.
        boxes: Rows x, y, w, h in pixels, (k, 4 or more).
        color: Color of the frames.
        width: Line width, points.
        shadow: Surround the frames with a dark line.
    """
    from matplotlib import patheffects
    from matplotlib.patches import Rectangle

    dark = patheffects.withStroke(linewidth=2.6, foreground="#00000090")
    effects = [dark] if shadow else None
    for x, y, w, h, *_ in () if boxes is None else boxes:
        # the center of a pixel has integer coordinates, not its corner
        corner = (x - 0.5, y - 0.5)
        style = {"fill": False, "edgecolor": color, "linewidth": width}
        ax.add_patch(Rectangle(corner, w, h, path_effects=effects, **style))


def color_map(name: str = "rocket") -> "Colormap":
    """Load a color map of seaborn; the default is that of all heat maps.

    Args:
        name: Name of the color map.
    """
    import seaborn as sns

    return sns.color_palette(name, as_cmap=True)


def class_colors(count: int) -> np.ndarray:
    """Choose distinct colors of classes: RGB in [0, 1], (count, 3).

    Each color is the farthest (in CIELAB) from those before it, among colors that
    stand out from gray X-rays. The colors of fewer classes are therefore the first
    colors of more classes.

    Args:
        count: Number of classes; beyond some 2,000 colors repeat.

    Raises:
        ValueError: If ``count`` is not a positive integer.

    Examples:
        >>> class_colors(2)
        array([[1.        , 0.58823529, 0.11764706],
               [0.05882353, 0.52941176, 1.        ]])
    """
    if not isinstance(count, numbers.Integral) or count < 1:
        raise ValueError(
            "Expected a positive integer as the number of classes. "
            f"Received: count={count!r}."
        )
    colors, lab = _candidates()
    start = np.abs(colors - FIRST).sum(axis=1).argmin()
    chosen, distances = [start], _distances(lab, start)
    for _ in range(1, min(count, len(colors))):
        chosen.append(distances.argmax())
        distances = np.minimum(distances, _distances(lab, chosen[-1]))
    return colors[np.resize(chosen, count)]


def _candidates() -> tuple[np.ndarray, np.ndarray]:
    """Colors to choose from as RGB and as CIELAB, both (n, 3)."""
    from skimage.color import rgb2lab

    steps = np.linspace(0, 1, LEVELS)
    colors = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3)
    lab = rgb2lab(colors)
    low, high = LIGHTNESS
    visible = (low <= lab[:, 0]) & (lab[:, 0] <= high)
    visible &= np.hypot(lab[:, 1], lab[:, 2]) >= CHROMA
    return colors[visible], lab[visible]


def _distances(lab: np.ndarray, index: np.intp) -> np.ndarray:
    return np.linalg.norm(lab - lab[index], axis=1)
