"""Figures of methods side by side: bars of what they are worth, and their maps."""

import textwrap

import numpy as np

from kerasloc.plotting.canvas import new_figure
from kerasloc.plotting.overlays import as_rgb, overlay_image

LEFT = "#e4572e"  # of boxes
ACROSS = 3
WIDE = 20  # letters above a picture
BAR, CONTROL = "#37659e", "#a9a9b5"


def method_bars(rows: list[dict], titles: dict[str, str]):
    """Figure with a panel a metric and a bar a method, with 95 % intervals.

    Args:
        rows: Dicts of ``method``, every metric, and its ends ``METRIC_low`` and
            ``METRIC_high``; a method that ends in ``center`` is drawn in gray.
        titles: Name of every metric.

    Returns:
        The matplotlib Figure.
    """
    import seaborn as sns

    shown = [key for key in titles if not np.isnan([row[key] for row in rows]).all()]
    down = -(-len(shown) // ACROSS)
    with sns.axes_style("whitegrid"):
        height = 1.2 + 0.26 * len(rows)
        figure = new_figure(figsize=(13, down * height), layout="constrained")
        grid = figure.subplots(down, ACROSS, sharey=True, squeeze=False).ravel()
    places = np.arange(len(rows))
    colors = [CONTROL if row["method"].endswith("center") else BAR for row in rows]
    for ax in grid[len(shown) :]:
        ax.set_axis_off()
    for ax, key in zip(grid, shown, strict=False):
        values = np.array([row[key] for row in rows])
        ends = np.array([[row[f"{key}_low"], row[f"{key}_high"]] for row in rows]).T
        ax.barh(places, values, color=colors, height=0.7)
        ax.hlines(places, *ends, color="#2b2b33", lw=1.2)
        ax.set_title(titles[key], loc="left", fontsize=11)
        ax.set_yticks(places, [row["method"] for row in rows], fontsize=9)
        ax.grid(visible=False, axis="y")
    grid[0].invert_yaxis()
    sns.despine(figure, left=True)
    return figure


def method_page(images, boxes, maps: dict, names=None):
    """Figure with a row an image and a column a method: the map over the image.

    Args:
        images: (n, rows, cols, channels) in [0, 1].
        boxes: One array of rows x, y, w, h for every image.
        maps: Heat maps (n, rows, cols) in [0, 1] by method.
        names: What every row is of, such as its class.

    Returns:
        The matplotlib Figure; the first column is the image with its boxes.
    """
    from matplotlib.patches import Rectangle

    shape = (len(images), len(maps) + 1)
    figure = new_figure(figsize=(1.5 * shape[1], 1.55 * shape[0]), layout="constrained")
    grid = figure.subplots(*shape, squeeze=False)
    for axes, place in zip(grid, range(len(images)), strict=True):
        axes[0].imshow(as_rgb(images[place]))
        for ax, one in zip(axes[1:], maps.values(), strict=True):
            ax.imshow(overlay_image(images[place], one[place]))
        for ax in axes:
            for x, y, w, h in np.asarray(boxes[place], float)[:, :4]:
                corner = x - 0.5, y - 0.5
                ax.add_patch(Rectangle(corner, w, h, fill=False, ec=LEFT, lw=1))
            ax.set_axis_off()
    for ax, name in zip(grid[0], ("image", *maps), strict=True):
        lines = (textwrap.fill(part, WIDE) for part in name.split(": "))
        ax.set_title("\n".join(lines), fontsize=8)
    for ax, name in zip(grid[:, 0], names or (), strict=False):
        place = {"rotation": 90, "ha": "right", "va": "center", "fontsize": 8}
        ax.text(-0.04, 0.5, name, transform=ax.transAxes, **place)
    return figure
