"""Figures of scores: the confusion matrix and the curves of a training."""

import numbers

import numpy as np

from kerasloc.plotting.canvas import new_figure


def confusion_matrix(counts, class_names=None):
    """Figure of a confusion matrix, colored by the share of each true class.

    Args:
        counts: Images (classes, classes), rows the truth, columns the prediction.
        class_names: One a class; their indices without.

    Returns:
        The matplotlib Figure; with more than 20 classes the counts are not
        written, and names are left out where they do not fit.

    Raises:
        ValueError: If the matrix is not square, or the names are not one a class.
    """
    import pandas as pd
    import seaborn as sns

    counts = np.asarray(counts)
    names = list(range(len(counts)) if class_names is None else class_names)
    if counts.ndim != 2 or counts.shape != (len(names), len(names)) or not names:
        raise ValueError(
            "A confusion matrix is (classes, classes), with one name a class. "
            f"Received: shape {counts.shape} and {len(names)} names."
        )
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    few = len(names) <= 20
    side = min(max(4.0, 2 + 0.5 * len(names)), 12)
    with sns.axes_style("white"):
        ax = new_figure(figsize=(side + 1, side), layout="constrained").add_subplot()
    sns.heatmap(
        pd.DataFrame(shares, names, names),
        vmin=0,
        cmap="rocket",
        annot=counts if few else False,
        fmt="g",
        square=True,
        linewidths=0.5 if few else 0,
        cbar_kws={"label": "share of the true class", "shrink": 0.8},
        ax=ax,
    )
    ax.set(xlabel="predicted class", ylabel="true class")
    ax.set_title("Confusion matrix", loc="left", weight="bold")
    ax.tick_params(axis="y", rotation=0)
    return ax.figure


def history(rows):
    """Figure of a training's curves: losses, scores and the learning rate by epoch.

    Curves of the validation set (``val_...``) are dashed, in the color of their own.

    Args:
        rows: One dict an epoch, name to number; "epoch" counts from 1 without. What
            is no finite number is left out.

    Returns:
        The matplotlib Figure, one panel for each kind of curve there is.

    Raises:
        ValueError: If there is no curve.
    """
    import seaborn as sns

    panels = _panels(list(rows))
    if not panels:
        raise ValueError(
            "A history is a list of one dict an epoch, name to number. "
            f"Received: {rows!r:.80}. Train at least one epoch."
        )
    with sns.axes_style("ticks"):
        figure = new_figure(figsize=(5 * len(panels), 3.8), layout="constrained")
        axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for ax, (title, curves) in zip(axes, panels.items(), strict=True):
        _draw_curves(ax, curves)
        ax.set_title(title, loc="left", weight="bold")
        sns.despine(ax=ax)
        if title == "Learning rate":
            ax.set_yscale("log")
    return figure


def _panels(rows: list[dict]) -> dict[str, dict[str, list]]:
    """Title to name to points (epoch, value), only of what has points."""
    panels = {"Loss": {}, "Scores": {}, "Learning rate": {}}
    for number, row in enumerate(rows, start=1):
        epoch = row.get("epoch", number)
        for name, value in row.items():
            number_given = isinstance(value, numbers.Real) and np.isfinite(value)
            if name != "epoch" and number_given:
                curves = panels[_title(name)]
                curves.setdefault(name, []).append((epoch, value))
    return {title: curves for title, curves in panels.items() if curves}


def _title(name: str) -> str:
    if name in ("lr", "learning_rate"):
        return "Learning rate"
    return "Loss" if "loss" in name else "Scores"


def _draw_curves(ax, curves: dict[str, list]):
    import seaborn as sns
    from matplotlib.ticker import MaxNLocator

    kinds = sorted({name.removeprefix("val_") for name in curves})
    colors = dict(zip(kinds, sns.color_palette("mako", len(kinds)), strict=True))
    for name, points in sorted(curves.items()):
        style = "--" if name.startswith("val_") else "-"
        color = colors[name.removeprefix("val_")]
        ax.plot(
            *zip(*points, strict=True), style, marker="o", ms=3, color=color, label=name
        )
    ax.set_xlabel("epoch")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(frameon=False)
