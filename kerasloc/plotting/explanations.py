"""Pages of explanations beside their images, with what the model answered."""

import dataclasses
import textwrap
from collections.abc import Mapping

import numpy as np

from kerasloc.metrics import resize_maps
from kerasloc.plotting.canvas import new_figure
from kerasloc.plotting.overlays import as_rgb, overlay_image

LONG, GAP, TEXT, BETWEEN = 1.6, 0.06, 0.42, 0.14  # inches: a picture's longer side, ...
MARGIN, GUTTER, HEADER, FOOTER = 0.25, 0.35, 0.5, 0.55  # inches
TALLEST = 4  # rows in one column; more take two
NAMED = 3  # classes whose probabilities are written
LETTERS = 19  # to the inch, in small print
INK, SOFT, RIGHT, WRONG = "#2b2b33", "#6b6b76", "#128a3a", "#c8102e"


@dataclasses.dataclass(frozen=True, eq=False)
class ExplanationRow:
    """One image with its explanation.

    Attributes:
        image: (rows, cols) or (rows, cols, 1 or 3), [0, 1]; one channel is drawn gray.
        explanation: Map of any size, [0, 1], drawn as it is.
        probabilities: Of every class by name, [0, 1]; the likeliest is the prediction.
        label: Name of the true class; None where unknown.
    """

    image: np.ndarray
    explanation: np.ndarray
    probabilities: Mapping[str, float]
    label: str | None = None


def explanation_page(rows, title: str = ""):
    """Figure of a page: image, explanation, and the explanation over the image.

    Over each stand its label, the predicted class, green where it is the label, and the
    probabilities of the likeliest classes. More than four rows stand in two columns,
    the first column first.

    Args:
        rows: ExplanationRow each.
        title: Of the page.

    Returns:
        The matplotlib Figure. It is not registered with pyplot: nothing to close.

    Raises:
        TypeError: If an image is of another type.
        ValueError: If there is no row, or an image or an explanation is not as
            described.
    """
    rows = list(rows)
    if not rows:
        raise ValueError("A page has at least one explanation. Received: none.")
    shapes = np.array([as_rgb(row.image).shape[:2] for row in rows], float)
    sides = (LONG * shapes / shapes.max(axis=1, keepdims=True)).max(axis=0)
    height, width = np.maximum(sides, 0.5).tolist()
    columns = 1 if len(rows) <= TALLEST else 2
    column = -(-len(rows) // columns)
    across, down = 3 * width + 2 * GAP, TEXT + height + BETWEEN
    wide = max(2 * MARGIN + columns * across + (columns - 1) * GUTTER, 5.5)
    tall = HEADER + column * down + FOOTER
    figure = new_figure(figsize=(wide, tall), facecolor="white")
    for place, row in enumerate(rows):
        left, below = divmod(place, column)
        corner = MARGIN + left * (across + GUTTER), tall - HEADER - below * down
        _draw_row(figure, corner, (width, height), row)
    room = (wide - 2 * MARGIN) * 72 / 0.64  # points, over the width of a letter
    size = min(13, room / max(len(title), 1))
    style = {"va": "center", "size": size, "weight": "bold", "color": INK}
    start = MARGIN / wide, 1 - 0.5 * HEADER / tall
    figure.text(*start, title, parse_math=False, **style)
    _draw_bars(figure)
    return figure


def _draw_row(figure, corner, size, row: ExplanationRow):
    """Words, and the three pictures under them; the corner is the upper left one."""
    wide, tall = figure.get_size_inches()
    (left, top), (width, height) = corner, size
    _write(figure, corner, (3 * width, row))
    picture = as_rgb(row.image)
    explanation = resize_maps(np.squeeze(row.explanation), picture.shape[:2])
    over = overlay_image(picture, explanation)  # which checks the range
    for shown in (picture, explanation, over):
        bottom = top - TEXT - height
        place = (left / wide, bottom / tall, width / wide, height / tall)
        ax = figure.add_axes(place, anchor="NW")
        ax.imshow(shown, cmap="gray", vmin=0, vmax=1)
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set(color="#c9c9d1", linewidth=0.6)
        left += width + GAP


def _write(figure, corner, what):
    """The label, and under it the likeliest classes."""
    inches, row = what
    wide, tall = figure.get_size_inches()
    likely = sorted(row.probabilities.items(), key=lambda pair: -pair[1])[:NAMED]
    predicted = likely[0][0]
    color = SOFT if row.label is None else RIGHT if row.label == predicted else WRONG
    label = "label unknown" if row.label is None else f"label {row.label}"
    said = ", ".join(f"{name} {chance:.2f}" for name, chance in likely)
    lines = (
        (label, {"size": 9.5, "weight": "bold", "color": INK}, 0.02),
        (f"predicted {said}", {"size": 8, "color": color}, 0.2),
    )
    for text, style, down in lines:
        place = corner[0] / wide, (corner[1] - down) / tall
        short = _shortened(text, inches)
        figure.text(*place, short, va="top", parse_math=False, **style)


def _shortened(text: str, inches: float) -> str:
    """As much of a text as there is room for."""
    most = max(12, int(inches * LETTERS * 0.8))
    if len(text) <= most:
        return text
    return textwrap.shorten(text, most, placeholder=" ...") or text[: most - 4] + " ..."


def _draw_bars(figure):
    """The color bars of the explanation and of the overlay, at the foot."""
    import seaborn as sns
    from matplotlib.cm import ScalarMappable

    wide, tall = figure.get_size_inches()
    colors = {
        "explanation": "gray",
        "over the image": sns.color_palette("rocket", as_cmap=True),
    }
    for number, (name, palette) in enumerate(colors.items()):
        left = MARGIN + 0.05 + number * 2.3
        axes = figure.add_axes((left / wide, 0.32 / tall, 1.6 / wide, 0.1 / tall))
        scale = ScalarMappable(cmap=palette)
        scale.set_clim(0, 1)
        bar = figure.colorbar(scale, cax=axes, orientation="horizontal", ticks=[0, 1])
        bar.outline.set(linewidth=0.4, edgecolor=SOFT)
        bar.ax.tick_params(length=0, labelsize=8, labelcolor=SOFT, pad=2)
        bar.ax.set_xlabel(name, size=8, color=SOFT, labelpad=-9)
