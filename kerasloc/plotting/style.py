"""Colors, empty figures and positions on them, shared by all figures."""

import functools
import io
import numbers
from typing import Any, NamedTuple

import numpy as np
import seaborn as sns
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from skimage.color import rgb2lab

from kerasloc.io import printable

INK, SOFT, FAINT = "#2b2b33", "#6b6b76", "#c9c9d1"
BLUE, GREEN, RED = "#37659e", "#128a3a", "#c8102e"
BOX_COLOR = "#35e0c1"  # stands out from gray and from every color of a heat map
HEAT = "rocket"  # color map of all heat maps
RELATIVE: dict[str, Any] = {  # keywords of Axes.annotate: plain text near the axes
    "xycoords": "axes fraction",
    "textcoords": "offset points",
    "parse_math": False,
}
LEVELS = 18  # of red, green and blue, that colors of classes are chosen from
LIGHTNESS, CHROMA = (52, 90), 42  # of CIELAB: visible on black, on white, on gray
FIRST = (1.0, 0.6, 0.1)  # color of the first class, approximately


class Grid(NamedTuple):
    """Cells of one size on a page; all lengths in inches."""

    columns: int
    rows: int
    cell: tuple[float, float]  # width, height
    gap: tuple[float, float]
    margins: tuple[float, float, float, float]  # left, top, right, bottom

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
        """Distance of a cell from the left and from the upper edge of the page."""
        (width, height), (across, down) = self.cell, self.gap
        left, top = self.margins[:2]
        return left + column * (width + across), top + row * (height + down)


def new_figure(width: float, height: float, layout: Any = None) -> Figure:
    """Create a white figure (inches) that pyplot does not hold, but notebooks show."""
    figure = Figure(figsize=(width, height), facecolor="white", layout=layout)
    vars(figure)["_repr_png_"] = functools.partial(_png, figure)  # for IPython
    return figure


def _png(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=100)
    return file.getvalue()


def new_axes(
    width: float,
    height: float,
    shape: tuple[int, int] = (1, 1),
    *,
    theme: Any = "ticks",
    sharey: bool = False,
) -> tuple[Figure, list[Axes]]:
    """Create a figure (inches) with rows and columns of axes, in a theme of seaborn."""
    with sns.axes_style(theme):
        figure = new_figure(width, height, layout="constrained")
        axes = figure.subplots(*shape, sharey=sharey, squeeze=False)
    if theme == "ticks":
        sns.despine(figure)
    return figure, list(axes.ravel())


def add_axes(
    figure: Figure, left: float, top: float, width: float, height: float
) -> Axes:
    """Add axes at inches from the upper left; a picture sits in their upper left."""
    wide, tall = figure.get_size_inches()
    bottom = tall - top - height
    bounds = (left / wide, bottom / tall, width / wide, height / tall)
    return figure.add_axes(bounds, anchor="NW")


def write(figure: Figure, text: str, left: float, top: float, **font: Any) -> None:
    """Write plain text at inches from the upper left."""
    wide, tall = figure.get_size_inches()
    font = {"color": INK, **font}
    text = printable(text)
    figure.text(left / wide, 1 - top / tall, text, parse_math=False, **font)


def plain(text: object) -> str:
    """Text of labels and legends, which have no ``parse_math``."""
    return printable(text).replace("$", r"\$")


def set_title(ax: Axes, title: str, pad: float | None = None) -> None:
    """Write a bold title at the left over axes, in a distance in points."""
    text = printable(title)
    ax.set_title(text, loc="left", weight="bold", pad=pad, parse_math=False)


def draw_boxes(
    ax: Axes,
    boxes: Any,
    *,
    color: str = BOX_COLOR,
    width: float = 2.0,
    shadow: bool = False,
) -> None:
    """Draw boxes (k, 4 or more) in pixels; width in points, a dark shadow on demand."""
    dark = patheffects.withStroke(linewidth=2.6, foreground="#00000090")
    for x, y, w, h, *_ in boxes:
        # the center of a pixel has integer coordinates, not its corner
        frame = Rectangle((x - 0.5, y - 0.5), w, h, fill=False, ec=color, lw=width)
        frame.set_path_effects([dark] if shadow else [])
        ax.add_patch(frame)


def class_colors(count: int) -> np.ndarray:
    """Choose distinct colors of classes: RGB in [0, 1], (count, 3).

    Each color is the farthest (in CIELAB) from those before it, among colors that
    stand out from gray X-rays; colors of fewer classes are the first of more classes.

    Args:
        count: Number of classes; beyond some 2,000 colors repeat.

    Raises:
        ValueError: If ``count`` is not a positive integer.

    Examples:
        >>> class_colors(2)
        array([[1.   , 0.588, 0.118],
               [0.824, 0.   , 1.   ]])
    """
    if not isinstance(count, numbers.Integral) or count < 1:
        raise ValueError(
            f"Expected a positive number of classes. Received: count={count!r}."
        )
    colors, lab = _candidates()
    chosen = [np.abs(colors - FIRST).sum(axis=1).argmin()]
    distances = np.full(len(colors), np.inf)
    for _ in range(1, min(count, len(colors))):
        last = np.linalg.norm(lab - lab[chosen[-1]], axis=1)
        distances = np.minimum(distances, last)
        chosen.append(distances.argmax())
    return colors[np.resize(chosen, count)]


def _candidates() -> tuple[np.ndarray, np.ndarray]:
    """Colors to choose from as RGB and as CIELAB, both (n, 3)."""
    steps = np.linspace(0, 1, LEVELS)
    colors = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3)
    lab = rgb2lab(colors)
    low, high = LIGHTNESS
    visible = (low <= lab[:, 0]) & (lab[:, 0] <= high)
    visible &= np.hypot(lab[:, 1], lab[:, 2]) >= CHROMA
    return colors[visible], lab[visible]
