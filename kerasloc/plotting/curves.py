"""Figures of curves: ROC, precision and recall, MoRF, and the epochs of a training."""

import itertools
import numbers
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from kerasloc.metrics import Curve, aopc_by_steps, curve_interval
from kerasloc.plotting import style

NAMED = 12  # curves of more classes are gray, without names
DASHES = ("--", ":", "-.")
SUBSETS = {"": ("training", "-", style.BLUE), "val_": ("validation", "--", "#c0504d")}
PHASE_PANELS = {
    "classification_loss": "Classification loss",
    "explanation_loss": "Explanation loss",
    "loss": "Loss",
    "accuracy": "Accuracy",
}


def roc_figure(
    curves: Mapping[str, Any], class_names: Sequence[str] | None = None
) -> Figure:
    """Figure of the ROC curves of every class, of their micro and macro average.

    Classes without a curve are left out; of more than 12 only the averages have names.

    Args:
        curves: Output of :func:`kerasloc.metrics.roc_curve`.
        class_names: Names of the classes; those of the curves when None.

    Raises:
        ValueError: If there is no curve, or the number of names is not that of classes.

    Examples:
        >>> from kerasloc.metrics import roc_curve
        >>> figure = roc_figure(roc_curve([1, 0, 1, 0], [0.9, 0.2, 0.4, 0.6]), ["cat"])
        >>> [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
        ['cat  0.750']
    """
    figure, (ax,) = style.new_axes(7.5, 5)
    ax.plot([0, 1], [0, 1], ":", color=style.SOFT, lw=1)
    _draw_classes(ax, curves, class_names, "AUROC", "default")
    ax.set(xlabel="false positive rate", ylabel="true positive rate")
    style.set_title(ax, "ROC")
    return figure


def precision_recall_figure(
    curves: Mapping[str, Any], class_names: Sequence[str] | None = None
) -> Figure:
    """Figure of the curves of :func:`kerasloc.metrics.precision_recall_curve`.

    Arguments and errors are those of :func:`roc_figure`.
    """
    figure, (ax,) = style.new_axes(7.5, 5)
    _draw_classes(ax, curves, class_names, "average precision", "steps-pre")
    ax.set(xlabel="recall", ylabel="precision")
    style.set_title(ax, "Precision and recall")
    return figure


def morf_figure(methods: Mapping[str, np.ndarray]) -> Figure:
    """Figure of MoRF curves and of AOPC after every step, with 95 % intervals.

    Args:
        methods: MoRF curves (n, L + 1) of :func:`kerasloc.metrics.morf_curves` by name;
            a name that ends in "random" is drawn dashed, in gray.

    Raises:
        ValueError: If there is no method, or the curves have another shape.
    """
    if not methods:
        raise ValueError(
            "Expected MoRF curves by the name of a method. Received: methods={}."
        )
    figure, (left, right) = style.new_axes(12.5, 4.2, (1, 2))
    controls = [name for name in methods if name.endswith("random")]
    colored = [name for name in methods if name not in controls]
    palette = sns.color_palette("deep" if len(colored) <= 10 else "husl", len(colored))
    styles = {name: (color, "-") for name, color in zip(colored, palette, strict=True)}
    dashes = zip(controls, itertools.cycle(DASHES), strict=False)
    styles |= {name: (style.SOFT, dash) for name, dash in dashes}
    for name, curves in methods.items():
        _draw_interval(left, curves, name, *styles[name])
        _draw_interval(right, aopc_by_steps(curves), name, *styles[name])
    style.set_title(left, "MoRF: probability of the class")
    style.set_title(right, "AOPC: area over the curve")
    for ax in (left, right):
        ax.set(xlabel="tiles perturbed, most relevant first")
    left.set(ylabel="mean of the images")
    right.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.02, 1))
    return figure


def history(rows: Iterable[Mapping[str, Any]]) -> Figure:
    """Figure of a training: losses, scores and the learning rate by epoch.

    Curves of the validation set (``val_...``) are dashed, in the same color.

    Args:
        rows: One dict per epoch, column to value; "epoch" counts from 1 when absent.
            Values that are not finite numbers are left out.

    Raises:
        ValueError: If there is no curve.

    Examples:
        >>> figure = history([{"loss": 2.0, "auc": 0.6}, {"loss": 1.0, "auc": 0.7}])
        >>> [ax.get_title(loc="left") for ax in figure.axes]
        ['Loss', 'Scores']
    """
    rows = list(rows)
    names = sorted({name for row in rows for name in row if name != "epoch"})
    curves = {name: points for name in names if (points := _points(rows, name))}
    titles = ("Loss", "Scores", "Learning rate")
    panels = [title for title in titles if title in map(_panel_title, curves)]
    if not panels:
        raise ValueError(
            "Expected a history of one dict per epoch, column to number. "
            f"Received: rows={rows!r:.80}. Train at least one epoch."
        )
    figure, axes = style.new_axes(5 * len(panels), 3.8, (1, len(panels)))
    for ax, title in zip(axes, panels, strict=True):
        _draw_history(ax, {n: curves[n] for n in curves if _panel_title(n) == title})
        style.set_title(ax, title)
        if title == "Learning rate":
            ax.set_yscale("log")
    return figure


def phases_figure(histories: Mapping[str, Iterable[Mapping[str, Any]]]) -> Figure:
    """Figure of the losses and the accuracy of a training in phases, by epoch.

    Epochs continue from phase to phase; a vertical line marks where the next phase
    begins. Curves of the validation set are dashed.

    Args:
        histories: Rows of each phase by its name, as for :func:`history`. The columns
            ``classification_loss``, ``explanation_loss``, ``loss`` and ``accuracy``
            have a panel each, with those of ``val_``.

    Raises:
        ValueError: If no phase has any of them.
    """
    phases = {name: list(rows) for name, rows in histories.items()}
    columns = [
        name
        for name in PHASE_PANELS
        if any(_points(r, f"{s}{name}") for r in phases.values() for s in SUBSETS)
    ]
    if not columns:
        raise ValueError(
            f"Expected rows with one of the columns {', '.join(PHASE_PANELS)}. "
            f"Received: histories={histories!r:.80}. Train at least one epoch."
        )
    down, across = (1, len(columns)) if len(columns) < 3 else (2, 2)
    figure, axes = style.new_axes(5.5 * across, 3.6 * down, (down, across))
    for ax, name in zip(axes, columns, strict=False):
        _draw_phases(ax, phases, name)
        style.set_title(ax, PHASE_PANELS[name], pad=10)
    for ax in axes[len(columns) :]:
        ax.set_axis_off()
    fullest = max(axes, key=lambda ax: len(ax.get_legend_handles_labels()[1]))
    fullest.legend(frameon=False)
    return figure


def _draw_classes(ax: Axes, curves, class_names, area: str, drawstyle: str) -> None:
    per_class = curves["per_class"]
    names = list(curves["class_names"] if class_names is None else class_names)
    if len(names) != len(per_class) or not any(per_class):
        raise ValueError(
            "Expected one name per class, and images with and without one of them. "
            f"Received: {len(names)} class_names, {len(per_class)} classes, "
            f"{sum(map(bool, per_class))} with a curve."
        )
    colors = sns.color_palette("husl", len(per_class))
    if len(per_class) > NAMED:
        names, colors = [""] * len(names), [style.FAINT] * len(names)
    lines: list[tuple[Curve | None, str, dict[str, Any]]] = [
        (curve, name, {"color": color, "lw": 1})
        for curve, name, color in zip(per_class, names, colors, strict=True)
    ]
    if len(per_class) > 1:
        for name, dash in (("macro", "-"), ("micro", "--")):
            lines.append(
                (curves[name], name, {"color": style.INK, "lw": 2.2, "ls": dash})
            )
    for curve, name, font in lines:
        if curve is not None:
            label = f"{style.plain(name)}  {curve.area:.3f}" if name != "" else None
            ax.plot(curve.x, curve.y, drawstyle=drawstyle, label=label, **font)
    ax.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    ax.legend(title=area, frameon=False, loc="upper left", bbox_to_anchor=(1.02, 1))


def _draw_interval(ax: Axes, curves, name: str, color, linestyle: str) -> None:
    mean, low, high = curve_interval(curves)
    steps = np.arange(len(mean))
    ax.fill_between(steps, low, high, color=color, alpha=0.15, lw=0)
    ax.plot(steps, mean, linestyle, color=color, label=style.plain(name))


def _points(rows: Sequence[Mapping[str, Any]], name: str) -> list[tuple[int, float]]:
    """Points (epoch, value) of a column, where the value is a finite number."""
    return [
        (row.get("epoch", number), row[name])
        for number, row in enumerate(rows, start=1)
        if isinstance(row.get(name), numbers.Real) and np.isfinite(row[name])
    ]


def _panel_title(name: str) -> str:
    if name in ("lr", "learning_rate"):
        return "Learning rate"
    return "Loss" if "loss" in name else "Scores"


def _draw_history(ax: Axes, curves: Mapping[str, list[tuple[int, float]]]) -> None:
    kinds = sorted({name.removeprefix("val_") for name in curves})
    colors = dict(zip(kinds, sns.color_palette("mako", len(kinds)), strict=True))
    for name, points in curves.items():
        dash = "--" if name.startswith("val_") else "-"
        color = colors[name.removeprefix("val_")]
        x, y = zip(*points, strict=True)
        ax.plot(x, y, dash, marker="o", ms=3, color=color, label=style.plain(name))
    _count_epochs(ax)
    ax.legend(frameon=False)


def _draw_phases(ax: Axes, phases: Mapping[str, list], name: str) -> None:
    ends = np.cumsum(
        [rows[-1].get("epoch", len(rows)) if rows else 0 for rows in phases.values()]
    )
    starts = [0, *ends[:-1]]
    for subset, (label, dash, color) in SUBSETS.items():
        for rows, start in zip(phases.values(), starts, strict=True):
            points = _points(rows, f"{subset}{name}")
            if points:
                x, y = np.transpose(points)
                first = label not in ax.get_legend_handles_labels()[1]
                (line,) = ax.plot(x + start, y, dash, color=color, marker="o", ms=3)
                line.set_label(label if first else "")
    font = style.RELATIVE | {"xycoords": ("data", "axes fraction"), "parse_math": None}
    font |= {"rotation": 90, "ha": "left", "va": "top", "color": style.SOFT, "size": 8}
    for (phase, rows), start in zip(phases.items(), starts, strict=True):
        if start:
            ax.axvline(start + 0.5, color=style.FAINT, lw=1, zorder=0)
        if rows:
            ax.annotate(phase, (start + 0.5, 1), (2, 0), **font)
    ax.set_xlim(0.5, ends[-1] + 0.5)
    _count_epochs(ax)


def _count_epochs(ax: Axes) -> None:
    ax.set_xlabel("epoch")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
