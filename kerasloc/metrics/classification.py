"""Reports of how well image-level classes are told, as plain dicts."""

import warnings
from collections.abc import Sequence

import numpy as np

from kerasloc.metrics._bootstrap import interval
from kerasloc.metrics._inputs import (
    as_indices,
    as_labels,
    as_probabilities,
    as_thresholds,
)
from kerasloc.metrics.ranking import auroc, average_precision

SCORES = ("precision", "recall", "f1")


def classification_report(
    truth, probabilities, class_names: Sequence[str], *, seed: int = 0
) -> dict:
    """Everything about the answers to images that have one class each.

    Precision, recall and F1 have the standard definitions, 0 where nothing was
    answered. A class without an image has NaN and does not enter the macro averages.

    Args:
        truth: Class indices, (n,).
        probabilities: (n, classes), or logits: only their order counts. Of equal
            ones the first comes first.
        class_names: One name per column, each another.
        seed: Of the bootstrap.

    Returns:
        A dict of ``count`` (images), ``accuracy``, ``accuracy_interval`` (low, high;
        95 %, over images), ``top_5``, ``precision_macro``, ``precision_micro``, the
        same of ``recall`` and ``f1``, ``classes_counted`` (those with an image: what
        macro rests on), ``per_class`` (name: precision, recall, f1, support) and
        ``confusion`` (classes, classes), int, rows true, columns answered.

    Raises:
        ValueError: If the shapes do not fit, there is no image, a probability is NaN
            or infinite, or an index is no class.
    """
    from sklearn import metrics

    probabilities = as_probabilities(probabilities, class_names)
    truth = as_indices(truth, *probabilities.shape)
    answers, classes = probabilities.argmax(axis=1), range(len(class_names))
    _, *around = interval(truth == answers, seed=seed)
    # scikit-learn warns of a single class, some versions of many classes, too.
    with warnings.catch_warnings(action="ignore", category=UserWarning):
        accuracy = float(metrics.accuracy_score(truth, answers))
        # Turned around, since of equal ones scikit-learn takes the last first.
        top_5 = len(classes) <= 5 or metrics.top_k_accuracy_score(
            classes[-1] - truth, probabilities[:, ::-1], k=5, labels=classes
        )
        confusion = metrics.confusion_matrix(truth, answers, labels=classes)
        *each, support = metrics.precision_recall_fscore_support(
            truth, answers, labels=classes, zero_division=0
        )
    return {
        "count": len(truth),
        "accuracy": accuracy,
        "accuracy_interval": tuple(around),
        "top_5": float(top_5),
        # One answer per image: pooled, all three scores are the accuracy.
        **_summary(each, [accuracy] * 3, support, class_names),
        "confusion": confusion,
    }


def multi_label_report(
    labels, probabilities, class_names: Sequence[str], thresholds=0.5, *, seed: int = 0
) -> dict:
    """Everything about the yes or no to every class of images with many labels.

    Unknown labels count nowhere. Precision, recall and F1 as in
    ``classification_report``: a class without a known positive has NaN and does not
    enter the macro averages.

    Args:
        labels: 0 or 1, NaN where unknown, (n, classes).
        probabilities: (n, classes).
        class_names: One name per column, each another.
        thresholds: One number, or one per class; yes is a probability above it.
        seed: Of the bootstrap.

    Returns:
        A dict of ``count`` (images), ``accuracy`` (mean over images of the share of
        known labels told right), ``accuracy_interval`` (low, high; 95 %),
        ``precision_macro``, ``precision_micro``, the same of ``recall`` and ``f1``,
        ``classes_counted``; ``auroc_macro``, ``auroc_micro``, ``auroc_weighted``,
        ``auroc_intervals`` (of these three, by name) and ``auroc_classes_counted``,
        the same of ``average_precision``; and ``per_class`` (name: precision, recall,
        f1, support, auroc, average_precision).

    Raises:
        ValueError: If the shapes do not fit, there is no image, a probability is NaN
            or infinite, or a label is neither 0, 1 nor NaN.
    """
    probabilities = as_probabilities(probabilities, class_names)
    labels = as_labels(labels, probabilities.shape)
    known, positive = ~np.isnan(labels), labels == 1
    # Thresholds as wide as the probabilities: 0.3 > 0.3 is false in float32, too.
    thresholds = as_thresholds(thresholds, len(class_names), scalar=True)
    answers = probabilities > thresholds.astype(probabilities.dtype)
    right = np.ma.array(answers == positive, mask=~known).mean(axis=1)
    accuracy, *around = interval(right.filled(np.nan), seed=seed)
    each = [_scores(positive[at, c], answers[at, c]) for c, at in enumerate(known.T)]
    micro = _scores(positive[known], answers[known])
    report = {
        "count": len(labels),
        "accuracy": accuracy,
        "accuracy_interval": tuple(around),
        **_summary(np.transpose(each), micro, positive.sum(axis=0), class_names),
    }
    for name, score in (("auroc", auroc), ("average_precision", average_precision)):
        _add_ranking(report, name, score(labels, probabilities, class_names, seed=seed))
    return report


def _add_ranking(report: dict, name: str, ranking: dict):
    """Puts the averages and the numbers per class of ``auroc`` into a report."""
    for key in ("macro", "micro", "weighted", "classes_counted"):
        report[f"{name}_{key}"] = ranking[key]
    around = ranking["intervals"]
    report[f"{name}_intervals"] = {
        key: tuple(around[key].tolist()) for key in ("macro", "micro", "weighted")
    }
    pairs = zip(report["per_class"].values(), ranking["per_class"], strict=True)
    for row, value in pairs:
        row[name] = float(value)


def _scores(truth: np.ndarray, answers: np.ndarray) -> Sequence[float]:
    """Precision, recall, F1 of booleans, each (n,); NaN without a positive."""
    from sklearn.metrics import precision_recall_fscore_support

    if not truth.any():
        return [np.nan] * 3
    return precision_recall_fscore_support(
        truth, answers, average="binary", zero_division=0
    )[:3]


def _summary(each, micro, support, class_names: Sequence[str]) -> dict:
    """Scores by name from those per class, (3, classes), and pooled, (3,)."""
    counted = support > 0
    each = np.where(counted, each, np.nan)
    macro = each[:, counted].mean(axis=1) if counted.any() else [np.nan] * 3
    return {
        **_named(macro, "_macro"),
        **_named(micro, "_micro"),
        "classes_counted": int(counted.sum()),
        "per_class": {
            name: {**_named(scores), "support": int(images)}
            for name, scores, images in zip(class_names, each.T, support, strict=True)
        },
    }


def _named(scores, ending: str = "") -> dict[str, float]:
    """Precision, recall, F1 by name, with an ending."""
    names = [name + ending for name in SCORES]
    return dict(zip(names, map(float, scores), strict=True))
