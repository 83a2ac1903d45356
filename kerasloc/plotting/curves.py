"""Figures of curves: ROC, precision and recall, MoRF, and a training in phases."""

import itertools
import numbers

import numpy as np

from kerasloc.metrics import aopc_by_steps, curve_interval
from kerasloc.plotting.canvas import new_figure

NAMED = 12  # of more classes their curves are gray, without a name
INK, SOFT, FAINT = "#2b2b33", "#6b6b76", "#c9c9d1"
DASHES = ("--", ":", "-.")
KINDS = {"": ("training", "-", "#37659e"), "val_": ("validation", "--", "#c0504d")}
PHASE_PANELS = {
    "classification_loss": "Classification loss",
    "explanation_loss": "Explanation loss",
    "loss": "Loss",
    "accuracy": "Accuracy",
}


def roc_figure(curves: dict, class_names=None):
    """Figure of the ROC curves of every class, of all as one, and of their mean.

    Args:
        curves: Of :func:`kerasloc.metrics.roc_curve`.
        class_names: One a class; those of the curves when None.

    Returns:
        The matplotlib Figure; the areas stand in the legend, classes without a curve
        are left out, of more than 12 only the averages are named.

    Raises:
        ValueError: If there is no curve, or the names are not one a class.
    """
    ax = _ranked_axes("ROC", ("false positive rate", "true positive rate"))
    ax.plot([0, 1], [0, 1], ":", color=SOFT, lw=1)
    return _draw_ranked(ax, curves, class_names, ("AUROC", "default"))


def precision_recall_figure(curves: dict, class_names=None):
    """Figure of the precision-recall curves, as ``roc_figure``.

    Args:
        curves: Of :func:`kerasloc.metrics.precision_recall_curve`.
        class_names: As for :func:`roc_figure`.

    Returns:
        The matplotlib Figure, as for :func:`roc_figure`.

    Raises:
        ValueError: As for :func:`roc_figure`.
    """
    ax = _ranked_axes("Precision and recall", ("recall", "precision"))
    return _draw_ranked(ax, curves, class_names, ("average precision", "steps-pre"))


def morf_figure(methods: dict):
    """Figure of MoRF curves and of AOPC after every step, with 95 % intervals.

    Args:
        methods: Name to curves (n, L + 1), of :func:`kerasloc.metrics.morf_curves`; a
            name that ends in "random" is drawn dashed, in gray.

    Returns:
        The matplotlib Figure: on the left the mean probability, on the right AOPC.

    Raises:
        ValueError: If there is no method, or it has no such curves.
    """
    import seaborn as sns

    if not methods:
        raise ValueError(
            "MoRF curves are drawn for a method or more. Received: none. Pass a dict "
            "of names and curves."
        )
    with sns.axes_style("ticks"):
        figure = new_figure(figsize=(12.5, 4.2), layout="constrained")
        left, right = figure.subplots(1, 2)
    controls = [name for name in methods if name.endswith("random")]
    plain = [name for name in methods if name not in controls]
    palette = sns.color_palette("deep" if len(plain) <= 10 else "husl", len(plain))
    styles = {name: (color, "-") for name, color in zip(plain, palette, strict=True)}
    dashes = zip(controls, itertools.cycle(DASHES), strict=False)
    styles |= {name: (SOFT, dash) for name, dash in dashes}
    for name, curves in methods.items():
        _draw_band(left, curves, name, styles[name])
        _draw_band(right, aopc_by_steps(curves), name, styles[name])
    titles = ("MoRF: probability of the class", "AOPC: area over the curve")
    for ax, title in zip((left, right), titles, strict=True):
        ax.set_title(title, loc="left", weight="bold")
        ax.set(xlabel="tiles perturbed, most relevant first")
        sns.despine(ax=ax)
    left.set(ylabel="mean of the images")
    right.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.02, 1))
    return figure


def phases_figure(histories: dict):
    """Figure of the losses and the accuracy of a training in phases, by epoch.

    Epochs go on from phase to phase; a vertical line marks where the next one begins.
    Curves of the validation set are dashed.

    Args:
        histories: Name of each phase to its rows, one dict an epoch; "epoch" counts
            from 1 in every phase without. The columns ``classification_loss``,
            ``explanation_loss``, ``loss`` and ``accuracy`` are drawn, and the same
            with ``val_``; what is no finite number is left out.

    Returns:
        The matplotlib Figure, one panel for each of the four that has a column.

    Raises:
        ValueError: If no phase has any of them.
    """
    import seaborn as sns

    phases = [(name, list(rows)) for name, rows in histories.items()]
    borders = np.cumsum([0, *(_epochs(rows)[-1] for _, rows in phases)])
    found = [name for name in PHASE_PANELS if _has(phases, name)]
    if not found:
        raise ValueError(
            "A history is one dict an epoch with some of the columns "
            f"{', '.join(PHASE_PANELS)}. Received: {histories!r:.80}. "
            "Train at least one epoch."
        )
    down, across = (1, len(found)) if len(found) < 3 else (2, 2)
    with sns.axes_style("ticks"):
        figure = new_figure(figsize=(5.5 * across, 3.6 * down), layout="constrained")
        axes = figure.subplots(down, across, squeeze=False).ravel()
    for ax, name in zip(axes, found, strict=False):
        _draw_phases(ax, phases, borders, name)
        sns.despine(ax=ax)
    for ax in axes[len(found) :]:
        ax.set_axis_off()
    fullest = max(axes, key=lambda ax: len(ax.get_legend_handles_labels()[1]))
    fullest.legend(frameon=False)
    return figure


def _ranked_axes(title: str, names: tuple[str, str]):
    """One square panel from 0 to 1."""
    import seaborn as sns

    with sns.axes_style("ticks"):
        ax = new_figure(figsize=(7.5, 5), layout="constrained").add_subplot()
    ax.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    ax.set(xlabel=names[0], ylabel=names[1])
    ax.set_title(title, loc="left", weight="bold")
    sns.despine(ax=ax)
    return ax


def _draw_ranked(ax, curves: dict, class_names, kind: tuple[str, str]):
    """The curves in a panel; its figure."""
    import seaborn as sns

    each = curves["per_class"]
    names = list(curves["class_names"] if class_names is None else class_names)
    if len(names) != len(each) or not any(each):
        raise ValueError(
            "There is one name a class, and a curve at least. Received: "
            f"{len(names)} names, {len(each)} classes, {sum(map(bool, each))} with a "
            "curve. A curve takes images with and without the class."
        )
    many = len(each) > NAMED
    colors = sns.color_palette("husl", len(each))
    for name, curve, color in zip(names, each, colors, strict=True):
        style = {"color": FAINT if many else color, "lw": 1}
        _draw_curve(ax, curve, kind[1], "" if many else name, style)
    if len(each) > 1:
        strong = {"color": INK, "lw": 2.2}
        _draw_curve(ax, curves["macro"], kind[1], "macro", strong)
        _draw_curve(ax, curves["micro"], kind[1], "micro", strong | {"ls": "--"})
    ax.legend(title=kind[0], frameon=False, loc="upper left", bbox_to_anchor=(1.02, 1))
    return ax.figure


def _draw_curve(ax, curve, drawstyle: str, name, style: dict):
    if curve is not None:
        label = f"{name}  {curve.area:.3f}" if name != "" else None
        ax.plot(curve.x, curve.y, drawstyle=drawstyle, label=label, **style)


def _draw_band(ax, curves, name: str, style: tuple):
    """The mean of curves and its interval, in a color and a line style."""
    mean, low, high = curve_interval(curves)
    steps = np.arange(len(mean))
    ax.fill_between(steps, low, high, color=style[0], alpha=0.15, lw=0)
    ax.plot(steps, mean, style[1], color=style[0], label=name)


def _epochs(rows: list[dict]) -> list[int]:
    """The epoch of every row, after a 0."""
    return [0, *(row.get("epoch", number) for number, row in enumerate(rows, start=1))]


def _points(rows: list[dict], name: str) -> list[tuple]:
    """Points (epoch, value) of a column."""
    pairs = zip(_epochs(rows)[1:], (row.get(name) for row in rows), strict=True)
    return [
        (epoch, value)
        for epoch, value in pairs
        if isinstance(value, numbers.Real) and np.isfinite(value)
    ]


def _has(phases, name: str) -> bool:
    return any(_points(rows, f"{kind}{name}") for _, rows in phases for kind in KINDS)


def _draw_phases(ax, phases, borders, name: str):
    """One column of all phases, of training and validation."""
    from matplotlib.ticker import MaxNLocator

    for kind, (label, style, color) in KINDS.items():
        for (_, rows), start in zip(phases, borders, strict=False):
            points = _points(rows, f"{kind}{name}")
            if not points:
                continue
            x, y = np.transpose(points)
            known = ax.get_legend_handles_labels()[1]
            (line,) = ax.plot(x + start, y, style, color=color, marker="o", ms=3)
            line.set_label("" if label in known else label)
    place = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
    style = {"rotation": 90, "ha": "left", "va": "top", "color": SOFT, "size": 8}
    for (phase, rows), start in zip(phases, borders, strict=False):
        if start:
            ax.axvline(start + 0.5, color=FAINT, lw=1, zorder=0)
        if rows:
            ax.annotate(phase, (start + 0.5, 1), (2, 0), **place, **style)
    ax.set(xlabel="epoch", xlim=(0.5, borders[-1] + 0.5))
    ax.set_title(PHASE_PANELS[name], loc="left", weight="bold", pad=10)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
