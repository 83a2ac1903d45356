"""Localization by HRCAM's maps, refined and not, and by their controls.

For every image and each of its classes with a mask or boxes: does the map of that
class peak on the object, and how far do they overlap? Controls have less information.
"""

import dataclasses
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from kerasloc import metrics
from kerasloc.cams import run
from kerasloc.data.table import Table
from kerasloc.evaluation.results import ResultTable, columns_of
from kerasloc.evaluation.samples import read_batches, target_masks
from kerasloc.localizers import Localizer
from kerasloc.models.hrcam import CLASSIFIER
from kerasloc.postprocess import pipeline
from kerasloc.postprocess.regions import blur

Refinements = Mapping[str, Mapping[str, Any]]

THRESHOLDS = np.arange(100) / 100
UNTUNED = 0.5  # threshold without validation images
REFINEMENTS: Refinements = {
    "refined": {},
    "refined, confined": {"confine_to_roi": True},
    "refined, confined, wide": {
        "confine_to_roi": True,
        "roi_percentile": 60,
        "merge_alpha": 0.2,
    },
}
GRAY = (0.299, 0.587, 0.114)
FIELDS = ("image", "labels", "boxes", "mask", "index")
TITLES = {
    "point": "point accuracy",
    "iou": "IoU",
    "gain": "gain on low",
    "threshold": "threshold",
}


@dataclasses.dataclass(frozen=True)
class PairScores:
    """Metrics of a kind of map for all pairs of an image and a class."""

    hits: np.ndarray  # 1 where the maximum lies on the object, (pairs,)
    curves: np.ndarray  # IoU at every threshold, (pairs, thresholds)


def localize(
    wrapper: Localizer, table: Table, refinements: Refinements, batch_size: int = 32
) -> dict[str, PairScores]:
    """Measure every kind of map of a wrapper on the masks and boxes of a table.

    ``refinements`` are options of :func:`kerasloc.postprocess.pipeline` by name.

    Returns:
        Scores by name; empty if no image has a mask or box.
    """
    images, classes = annotated_pairs(table)
    if not len(images):
        return {}
    pairs = table.subset(images)
    measured: dict[str, list] = {}
    for batch in read_batches(wrapper.config, pairs, FIELDS, batch_size, "Localizing"):
        chosen = classes[batch["index"]]
        targets = target_masks(batch, chosen)
        maps = heat_maps(wrapper, batch["image"], chosen, refinements)
        for name, heat in maps.items():
            curves = metrics.iou_curve(heat, targets, THRESHOLDS)
            scores = (metrics.point_hits(heat, targets), curves)
            measured.setdefault(name, []).append(scores)
    return {
        name: PairScores(*map(np.concatenate, zip(*batches, strict=True)))
        for name, batches in measured.items()
    }


def annotated_pairs(table: Table) -> tuple[np.ndarray, np.ndarray]:
    """List the image and class indices of what can be localized, (pairs,) each.

    A box belongs to its class; a mask to the class of its image, if it has exactly one.

    Examples:
        >>> boxes = [(0, 1, 1, 4, 4, 1), (1, 0, 0, 2, 2, 0)]
        >>> labels = [[1, 1], [1, 0]]
        >>> table = Table(["a.png", "b.png"], ("cat", "dog"), labels, boxes=boxes)
        >>> annotated_pairs(table)
        (array([0, 1]), array([1, 0]))
    """
    pairs = {(int(row[0]), int(row[5])) for row in table.boxes}
    masked = np.flatnonzero((table.masks != "") & (np.nansum(table.labels, 1) == 1))
    pairs |= {(int(i), int(np.nanargmax(table.labels[i]))) for i in masked}
    images, classes = np.array(sorted(pairs), int).reshape(-1, 2).T
    return images, classes


def heat_maps(
    wrapper: Localizer,
    images: np.ndarray,
    classes: np.ndarray,
    refinements: Refinements,
) -> dict[str, np.ndarray]:
    """Compute every kind of map and control in [0, 1] at the image's size, by name.

    ``classes`` (n,) has the class index of each image.
    """
    outputs = run(wrapper.model, wrapper.prepare(images))
    kernel = wrapper.model.get_layer(CLASSIFIER).get_weights()[0]
    size = images.shape[1:3]
    true = kernel.T[classes]
    weights = {
        "": true,
        ", another class": kernel.T[(classes + 1) % kernel.shape[1]],
        ", random weights": np.random.default_rng(0).normal(size=true.shape),
    }
    maps = {
        name: {
            control: np.einsum("nrck,nk->nrc", outputs[f"{name}_features"], columns)
            for control, columns in weights.items()
        }
        for name in ("low", "high")
        if f"{name}_features" in outputs
    }
    low = maps["low"][""]
    raw = {f"low{control}": maps["low"][control] for control in ("", ", another class")}
    refined = {}
    if "high" in maps:
        for control, high in maps["high"].items():
            raw[f"high{control}"] = high
            raw[f"high{control}, blurred"] = np.stack([blur(values) for values in high])
        gray = images @ GRAY if images.shape[-1] == 3 else images[..., 0]
        for name, options in refinements.items():
            refined[name] = refine(images, low, maps["high"][""], options)
            gray_refined = refine(images, low, gray, options)
            refined[f"{name}, gray image as high"] = gray_refined
    heat = {
        name: metrics.min_max(metrics.resize_maps(values, size))
        for name, values in raw.items()
    }
    center = np.broadcast_to(metrics.center_gaussian(size), low.shape[:1] + size)
    return heat | refined | {"constant centre": center}


def refine(
    images: np.ndarray, low: np.ndarray, high: np.ndarray, options: Mapping[str, Any]
) -> np.ndarray:
    """Refine the low and high maps of a batch; in [0, 1], 0 where the low is flat."""
    merged = np.zeros(images.shape[:3])
    for index, (image, coarse, fine) in enumerate(zip(images, low, high, strict=True)):
        if np.ptp(coarse) > 0:
            with warnings.catch_warnings(action="ignore", category=UserWarning):
                merged[index] = pipeline(image, coarse, fine, **options)["merged"]
    return metrics.min_max(merged)


def localization_table(
    test: Mapping[str, PairScores], val: Mapping[str, PairScores]
) -> ResultTable:
    """Tabulate kinds of maps, with 95 % bootstrap intervals over the pairs.

    The thresholds are the best for ``val``, scores on validation images, or 0.5; the
    column ``gain`` is the paired difference of the IoU to the low map.

    Examples:
        >>> scores = PairScores(np.array([1.0, 0.0]), np.ones((2, len(THRESHOLDS))))
        >>> print(localization_table({"low": scores}, {}))
                   point accuracy                  IoU           gain on low threshold
        low  0.500 [0.000, 1.000] 1.000 [1.000, 1.000]  0.000 [0.000, 0.000]    0.5000
    """
    rows: list[dict[str, Any]] = []
    baseline = None
    for name, scores in test.items():
        curves = val[name].curves if name in val else np.empty((0, len(THRESHOLDS)))
        curves = curves[~np.isnan(curves).any(axis=1)]  # images with an object
        index = int(np.searchsorted(THRESHOLDS, UNTUNED))
        if len(curves):
            index = int(curves.mean(axis=0).argmax())
        ious = scores.curves[:, index]
        baseline = ious if baseline is None else baseline
        row = {
            "map": name,
            "threshold": float(THRESHOLDS[index]),
            "tuned": len(curves) > 0,
            "count": int(np.isfinite(ious).sum()),
        }
        row |= columns_of("point", metrics.Estimate.of_mean(scores.hits))
        row |= columns_of("iou", metrics.Estimate.of_mean(ious))
        rows.append(row | columns_of("gain", metrics.Estimate.of_mean(ious - baseline)))
    return ResultTable.from_rows(rows, TITLES, ("point", "iou", "gain"))
