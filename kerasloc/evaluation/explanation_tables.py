"""Pictures and tables of the explainer-classifier: after a phase, of an evaluation."""

import dataclasses
import logging
import pathlib

import numpy as np
from scipy.special import log_softmax, softmax

from kerasloc.evaluation import figures as pictures
from kerasloc.io import write_csv, write_json
from kerasloc.metrics import (
    aopc,
    auroc,
    average_precision,
    classification_report,
    curve_interval,
    interval,
    paired_difference,
    precision_recall_curve,
    roc_curve,
)

logger = logging.getLogger(__name__)

TITLES = {
    "accuracy": "accuracy",
    "f1_macro": "F1, macro",
    "auroc_macro": "AUROC, macro",
    "auroc_micro": "AUROC, micro",
    "average_precision_macro": "average precision, macro",
    "average_precision_micro": "average precision, micro",
    "classification_loss": "cross-entropy",
    "explanation_loss": "explanation loss",
    "explanation": "mean explanation",
    "explanation_target": "  on the target",
    "explanation_outside": "  outside of it",
    "explanation_others": "  on other objects",
    "explanation_background": "  on the background",
    "target_over_outside": "  target - outside",
    "target_over_others": "  target - other objects",
    "pompom": "POMPOM (lower is better)",
    "point": "point accuracy",
    "center_point": "  of a bump in the middle",
    "aopc": "AOPC",
    "aopc_gradcam": "  of Grad-CAM",
    "aopc_random": "  of a random order",
    "aopc_over_gradcam": "  over Grad-CAM",
    "aopc_over_random": "  over random",
}
EXPLANATION, GRADCAM, RANDOM = "explanation", "Grad-CAM", "random"  # of MoRF curves
DIFFERENCES = {
    "target_over_outside": ("explanation_target", "explanation_outside"),
    "target_over_others": ("explanation_target", "explanation_others"),
}
FIGURES = ("roc", "precision-recall", "morf", "confusion")
DPI = 110


@dataclasses.dataclass(frozen=True, eq=False)
class Explained:
    """What a network says of a table, in numbers.

    Attributes:
        logits: (n, classes).
        each: Name to one number per image, (n,), NaN where there is nothing to measure:
            ``explanation`` (its mean), ``explanation_target``, ``_outside``,
            ``_others``, ``_background`` (its means there), ``explanation_loss``,
            ``pompom``, ``point``, ``center_point``.
        curves: Of MoRF by method, (k, L + 1) of some images; empty without one.
    """

    logits: np.ndarray
    each: dict[str, np.ndarray]
    curves: dict[str, np.ndarray]


def write(place, found: Explained, table, split: str) -> list[dict]:
    """Writes tables and figures; the rows.

    Args:
        place: Folder, made when absent.
        found: Of the table.
        table: Images of one class each.
        split: What they are called.
    """
    truth, names = table.class_index, table.class_names
    chances = softmax(found.logits.astype(float), axis=-1)
    figures = {
        "classification": classification_report(truth, chances, names),
        "auroc": auroc(table.labels, chances, names),
        "average_precision": average_precision(table.labels, chances, names),
    }
    entropy = -log_softmax(found.logits.astype(float), axis=-1)
    each = found.each | {"classification_loss": entropy[np.arange(len(truth)), truth]}
    measured = rows(figures, each, found.curves)
    keys = ("mean", "low", "high")
    morf = {
        name: dict(zip(keys, curve_interval(lines), strict=True))
        for name, lines in found.curves.items()
    }
    curves = {
        "roc": roc_curve(truth, chances, names),
        "precision-recall": precision_recall_curve(truth, chances, names),
        "morf": found.curves,
    }
    everything = {"split": split, "images": len(table), "rows": measured, **figures}
    place = pathlib.Path(place)
    place.mkdir(parents=True, exist_ok=True)
    write_csv(place / "metrics.csv", measured)
    write_csv(place / "per_class.csv", per_class(figures))
    write_json(place / "evaluation.json", everything | {"morf": morf})
    _draw(place, figures["classification"], curves)
    logger.info(
        "%s: %d %s images\n%s",
        place.parent,
        len(table),
        split,
        text(measured),
    )
    return measured


def rows(figures: dict, each: dict, curves: dict) -> list[dict]:
    """The table: a row for every quantity that could be measured.

    Args:
        figures: ``classification``, ``auroc`` and ``average_precision``.
        each: Name to a number per image, as of :class:`Explained`, and
            ``classification_loss``.
        curves: Of MoRF by method; none is fine.

    Returns:
        Dicts of ``quantity`` (a key of :data:`TITLES`), ``images`` (what it rests on),
        ``value``, and ``low`` and ``high``, its 95 % bootstrap interval
        over images, NaN where there is none.
    """
    classified = figures["classification"]
    count = classified["count"]
    around = classified["accuracy_interval"]
    found = {
        "accuracy": (count, classified["accuracy"], *around),
        "f1_macro": (count, classified["f1_macro"], np.nan, np.nan),
    }
    for name in ("auroc", "average_precision"):
        for kind in ("macro", "micro"):
            ends = figures[name]["intervals"][kind]
            found[f"{name}_{kind}"] = (count, figures[name][kind], *ends)
    found |= {name: _measured(values) for name, values in each.items()}
    for name, (one, other) in DIFFERENCES.items():
        if other in each:
            found[name] = _compared(each[one], each[other])
    if curves:
        worth = {name: aopc(lines) for name, lines in curves.items()}
        found["aopc"] = _measured(worth[EXPLANATION])
        for name, key in ((GRADCAM, "gradcam"), (RANDOM, "random")):
            found[f"aopc_{key}"] = _measured(worth[name])
            found[f"aopc_over_{key}"] = _compared(worth[EXPLANATION], worth[name])
    keys = ("images", "value", "low", "high")
    return [
        {"quantity": name, **dict(zip(keys, _plain(found[name]), strict=True))}
        for name in TITLES
        if name in found and np.isfinite(found[name][1])
    ]


def _measured(values) -> tuple:
    """How many images, mean, and its interval."""
    return np.isfinite(values).sum(), *interval(values)


def _compared(one, other) -> tuple:
    """As ``_measured``, of the difference on the same images."""
    return np.isfinite(one - other).sum(), *paired_difference(one, other)


def _plain(values) -> tuple:
    return int(values[0]), *map(float, values[1:])


def _draw(place: pathlib.Path, classified: dict, curves: dict):
    """The figures; those of an earlier evaluation are removed."""
    from kerasloc.plotting import morf_figure, precision_recall_figure, roc_figure

    for name in FIGURES:
        (place / f"{name}.png").unlink(missing_ok=True)
    drawn = {}
    ranked = {"roc": roc_figure, "precision-recall": precision_recall_figure}
    for name, draw in ranked.items():
        if any(curves[name]["per_class"]):  # none of images of one class
            drawn[name] = draw(curves[name])
    if curves["morf"]:
        drawn["morf"] = morf_figure(curves["morf"])
    for name, figure in drawn.items():
        figure.savefig(place / f"{name}.png", dpi=DPI)
    pictures.draw_confusion(place, classified, list(classified["per_class"]))


def per_class(figures: dict) -> list[dict]:
    """A row for every class: its images, and how well it is told.

    Args:
        figures: With ``classification``, ``auroc`` and ``average_precision``.
    """
    rows = []
    each = figures["classification"]["per_class"].items()
    for index, (name, scores) in enumerate(each):
        row = {"class": name, "images": scores["support"]}
        row |= {key: scores[key] for key in ("precision", "recall", "f1")}
        for key in ("auroc", "average_precision"):
            low, high = figures[key]["intervals"]["per_class"][index]
            values = (figures[key]["per_class"][index], low, high)
            names = (key, f"{key}_low", f"{key}_high")
            row |= dict(zip(names, map(float, values), strict=True))
        rows.append(row)
    return rows


def text(rows: list[dict]) -> str:
    """The table for a terminal, with 95 % bootstrap intervals over images.

    Args:
        rows: As from :func:`rows`.
    """
    width = max(len(TITLES[row["quantity"]]) for row in rows)
    lines = [f"{'':{width}s}  images   value  95 % interval"]
    for row in rows:
        line = f"{TITLES[row['quantity']]:{width}s}  {row['images']:6d}  "
        line += f"{row['value']:6.3f}"
        if np.isfinite(row["low"]):
            line += f"  [{row['low']:.3f}, {row['high']:.3f}]"
        lines.append(line)
    return "\n".join(lines)
