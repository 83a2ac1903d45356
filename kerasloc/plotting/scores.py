"""Figures of scores: the confusion matrix, and bars of compared methods."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from kerasloc.plotting.style import BLUE, INK, new_axes, plain, set_title

COLUMNS = 3  # panels of metrics side by side
BASELINE_COLOR = "#a9a9b5"


def confusion_matrix(
    counts: npt.ArrayLike, class_names: Sequence[str] | None = None
) -> Figure:
    """Figure of a confusion matrix, colored by the share of each true class.

    Counts of more than 20 classes are not written.

    Args:
        counts: Number of images (true classes, predicted classes).
        class_names: Names of the classes; their indices when None.

    Raises:
        ValueError: If the matrix is not square, or the number of names is not its side.

    Examples:
        >>> figure = confusion_matrix([[3, 1], [0, 2]], ["cat", "dog"])
        >>> [text.get_text() for text in figure.axes[0].texts]
        ['3', '1', '0', '2']
    """
    matrix = np.asarray(counts)
    names = list(range(len(matrix)) if class_names is None else class_names)
    if matrix.ndim != 2 or matrix.shape != (len(names), len(names)) or not names:
        raise ValueError(
            "Expected counts (classes, classes), with one name per class. "
            f"Received: shape {matrix.shape} and {len(names)} class_names."
        )
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    few = len(names) <= 20
    side = min(max(4.0, 2 + 0.5 * len(names)), 12)
    names = [plain(name) for name in names]
    figure, (ax,) = new_axes(side + 1, side, theme="white")
    sns.heatmap(
        pd.DataFrame(shares, names, names),
        vmin=0,
        cmap="rocket",
        annot=matrix if few else False,
        fmt="g",
        square=True,
        linewidths=0.5 if few else 0,
        cbar_kws={"label": "share of the true class", "shrink": 0.8},
        ax=ax,
    )
    ax.set(xlabel="predicted class", ylabel="true class")
    set_title(ax, "Confusion matrix")
    ax.tick_params(axis="y", rotation=0)
    return figure


def method_bars(rows: Sequence[Mapping[str, Any]], titles: Mapping[str, str]) -> Figure:
    """Figure with a panel per metric and a bar per method, with 95 % intervals.

    Args:
        rows: Dicts of ``method``, every metric, and the ends of its interval,
            ``METRIC_low`` and ``METRIC_high``; a method that ends in ``center`` is a
            baseline, drawn in gray.
        titles: Title of every metric; those that are NaN throughout are left out.

    Examples:
        >>> rows = [{"method": "cam", "iou": 0.5, "iou_low": 0.4, "iou_high": 0.6}]
        >>> figure = method_bars(rows, {"iou": "IoU"})
        >>> print(figure.axes[0].patches[0].get_width())
        0.5
    """
    metrics = [key for key in titles if not np.isnan([row[key] for row in rows]).all()]
    down = -(-len(metrics) // COLUMNS)
    size = 13, down * (1.2 + 0.26 * len(rows)), (down, COLUMNS)
    figure, axes = new_axes(*size, theme="whitegrid", sharey=True)
    methods = [plain(row["method"]) for row in rows]
    colors = [BASELINE_COLOR if m.endswith("center") else BLUE for m in methods]
    y = np.arange(len(rows))
    for ax in axes[len(metrics) :]:
        ax.set_axis_off()
    for ax, key in zip(axes, metrics, strict=False):
        low, high = ([row[f"{key}_{end}"] for row in rows] for end in ("low", "high"))
        ax.barh(y, [row[key] for row in rows], color=colors, height=0.7)
        ax.hlines(y, low, high, color=INK, lw=1.2)
        ax.set_title(titles[key], loc="left", fontsize=11)
        ax.set_yticks(y, methods, fontsize=9)
        ax.grid(visible=False, axis="y")
    axes[0].invert_yaxis()
    sns.despine(figure, left=True)
    return figure
