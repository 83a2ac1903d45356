"""Evaluation of the explainer-classifier: its predictions and its explanations.

Every estimate has a bootstrap interval over images. The controls are a Gaussian at the
center, Grad-CAM of the same classifier, and a random order of tiles.
"""

import dataclasses
import functools
import logging
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import log_softmax, softmax

from kerasloc import metrics
from kerasloc.cams import GradCAM, run
from kerasloc.configs import NetworkConfig, select_fields
from kerasloc.data import config as data_config
from kerasloc.data.synthetic import other_masks
from kerasloc.data.table import Table
from kerasloc.evaluation.classification import draw_confusion, draw_curves
from kerasloc.evaluation.configs import DPI, STEPS, EvaluationConfig
from kerasloc.evaluation.results import (
    QUANTITIES,
    ResultTable,
    columns_of,
    curve_bounds,
    quantity_table,
)
from kerasloc.evaluation.samples import (
    boxes_of,
    expect_best,
    first_of_each_class,
    read_batches,
    table_of_run,
    target_areas,
)
from kerasloc.io import write_csv, write_figure, write_json
from kerasloc.localizers import Localizer, load
from kerasloc.losses import explanation_loss
from kerasloc.runs import read_config

logger = logging.getLogger(__name__)

FIELDS = ("image", "boxes", "mask", "index")
FLAT = 1e-3  # a mean explanation this near to 0 or 1 marks nothing, or everything
EXPLANATION, GRADCAM, RANDOM = "explanation", "Grad-CAM", "random"  # MoRF curves
DIFFERENCES = {
    "target_over_outside": "explanation_outside",
    "target_over_others": "explanation_others",
}
FIGURES = ("roc", "precision-recall", "morf", "confusion")


@dataclasses.dataclass(frozen=True)
class LossTerm:
    """Explanation loss of a run's training, with the options of its configuration."""

    loss: str = "hybrid"
    beta: float = 0.9
    gamma: float = 1.0
    budget: float = 0.0
    weak_everywhere: bool = False

    def compute(self, explanations: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Compute the loss of explanations (n, rows, cols) and target masks, (n,).

        Examples:
            >>> explanations = np.full((1, 2, 2), 0.5)
            >>> LossTerm(beta=1.0).compute(explanations, np.ones((1, 2, 2), bool))
            array([0.5], dtype=float32)
        """
        weights = {"beta": self.beta, "gamma": self.gamma, "budget": self.budget}
        plain = np.asarray(explanation_loss(explanations, **weights))
        if self.loss == "unsupervised":
            return plain
        hybrid = np.asarray(explanation_loss(explanations, targets, **weights))
        weak = targets.any(axis=(1, 2)) | self.weak_everywhere
        return np.where(weak, hybrid, plain)


@dataclasses.dataclass(frozen=True, eq=False)
class Explanations:
    """Predictions for the images of a table, and measurements of their explanations."""

    logits: np.ndarray  # (n, classes)
    values: dict[str, np.ndarray]  # by quantity, (n,), NaN where undefined
    curves: dict[str, np.ndarray]  # MoRF curves (k, L + 1) by method


def evaluate_explainer(folder: pathlib.Path, config: EvaluationConfig) -> ResultTable:
    """Evaluate a run of the explainer-classifier, or a phase of one.

    Writes metrics.csv, per_class.csv, evaluation.json and figures.

    Raises:
        ValueError: If the checkpoint is not ``best``, an image has not exactly one
            class, or the data does not fit.
    """
    expect_best(config)
    recorded = read_config(folder)
    wrapper = load(folder)
    table = table_of_run(folder, wrapper.config, config)
    table.class_index  # noqa: B018 - raises where an image has not exactly one class
    data = data_config.data_of_run(recorded["data"], config.overrides)
    loss = LossTerm(**select_fields(LossTerm, recorded["training"]))
    distractors = distractor_masks(table, data.data_dir)
    explanations = explain(wrapper, table, loss, config, distractors)
    return write_explanations(folder / config.folder, explanations, table, config.split)


def distractor_masks(table: Table, data_dir: str | os.PathLike) -> list[str] | None:
    """List the masks of objects beside the target, of polygons; None without any."""
    try:
        masks = other_masks(data_dir)
    except ValueError:  # not polygons
        return None
    paths = [masks.get(path, "") for path in table.paths]
    return paths if any(paths) else None


def explain(
    wrapper: Localizer,
    table: Table,
    loss: LossTerm,
    config: EvaluationConfig,
    distractors: Sequence[str] | None = None,
) -> Explanations:
    """Predict every image of a table, and measure its explanation.

    The target of an image is its mask, or else its boxes; ``distractors`` are the paths
    of :func:`distractor_masks`.
    """
    order = first_of_each_class(np.nan_to_num(table.labels))
    drawn = np.isin(np.arange(len(table)), order[: config.aopc_images])
    logits, values, curves = [], [], []
    gradcam = GradCAM(wrapper)
    predict = functools.partial(wrapper.predict_proba, squeeze=False)
    for batch in _batches(wrapper.config, table, config.batch_size, distractors):
        outputs = run(wrapper.model, wrapper.prepare(batch["image"]))
        explanations = outputs["explanation"][..., 0]
        logits.append(outputs["logits"])
        values.append(_measure(explanations, batch, loss))
        chosen = drawn[batch["index"]]
        if chosen.any():
            images, aopc_config = (
                batch["image"][chosen],
                metrics.AopcConfig(steps=STEPS),
            )
            size, grid = images.shape[1:3], aopc_config.grid
            rng = np.random.default_rng((aopc_config.seed, int(batch["index"][0])))
            maps = {
                EXPLANATION: explanations[chosen],
                GRADCAM: np.maximum(gradcam.maps(images), 0),
                RANDOM: metrics.random_relevance(len(images), size, grid, seed=rng),
            }
            lines = {
                name: metrics.morf_curves(predict, images, relevance, aopc_config)
                for name, relevance in maps.items()
            }
            curves.append(lines)
    combined = _concatenate(values)
    scores = np.concatenate(logits)
    entropy = -log_softmax(scores.astype(float), axis=-1)
    truth = table.class_index
    combined["classification_loss"] = entropy[np.arange(len(truth)), truth]
    mean = combined["explanation"].mean()
    if not FLAT < mean < 1 - FLAT:
        text = "The explanations of all images are %s everywhere (mean %.4f)."
        logger.warning(text, "black" if mean < 0.5 else "white", mean)
    return Explanations(scores, combined, _concatenate(curves))


def _concatenate(batches: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    names = batches[0] if batches else ()
    return {name: np.concatenate([batch[name] for batch in batches]) for name in names}


def _batches(
    network: NetworkConfig,
    table: Table,
    batch_size: int,
    distractors: Sequence[str] | None,
) -> Iterator[dict[str, np.ndarray]]:
    data = read_batches(network, table, FIELDS, batch_size, "Explaining")
    if distractors is None:
        yield from data
        return
    table = dataclasses.replace(table, masks=np.asarray(distractors))
    masks = read_batches(network, table, ("mask",), batch_size, "Reading masks")
    for batch, beside in zip(data, masks, strict=True):
        yield batch | {"distractors": beside["mask"]}


def _measure(
    explanations: np.ndarray, batch: Mapping[str, np.ndarray], loss: LossTerm
) -> dict[str, np.ndarray]:
    """Measure explanations: numbers (n,) by name, NaN where undefined."""
    boxes = [boxes_of(padded) for padded in batch["boxes"]]
    targets = target_areas(batch["mask"], boxes)
    present = targets.any(axis=(1, 2), keepdims=True)
    regions = {
        "explanation": np.ones_like(targets),
        "explanation_target": targets,
        "explanation_outside": ~targets & present,
    }
    if "distractors" in batch:
        regions["explanation_others"] = batch["distractors"] & ~targets
        regions["explanation_background"] = ~targets & ~batch["distractors"]
    values = {name: _means(explanations, area) for name, area in regions.items()}
    center = [metrics.center_gaussian(explanations.shape[1:])] * len(boxes)
    for name, maps in (("point", explanations), ("center_point", center)):
        hits = [
            metrics.locate_point(*pair)[1] for pair in zip(maps, boxes, strict=True)
        ]
        values[name] = np.array(hits, float)  # None, without a box, becomes NaN
    values["pompom"] = metrics.pompom(explanations, targets)
    values["explanation_loss"] = loss.compute(explanations, targets)
    return values


def _means(explanations: np.ndarray, areas: np.ndarray) -> np.ndarray:
    """Compute the mean in an area of every image, NaN where it is empty."""
    count = areas.sum(axis=(1, 2))
    total = np.where(areas, explanations, 0).sum(axis=(1, 2), dtype=float)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def write_explanations(
    folder: pathlib.Path, explanations: Explanations, table: Table, split: str
) -> ResultTable:
    """Write metrics.csv, per_class.csv, evaluation.json and figures."""
    truth, names = table.class_index, table.class_names
    probabilities = softmax(explanations.logits.astype(float), axis=-1)
    reports = {
        "classification": metrics.classification_report(truth, probabilities, names),
        "auroc": metrics.auroc(table.labels, probabilities, names),
        "average_precision": metrics.average_precision(
            table.labels, probabilities, names
        ),
    }
    results = tabulate(reports, explanations)
    results.write_csv(folder / "metrics.csv")
    write_csv(folder / "per_class.csv", class_rows(reports))
    content = {"split": split, "images": len(table), "rows": results.rows, **reports}
    content["morf"] = curve_bounds(explanations.curves)
    write_json(folder / "evaluation.json", content)
    for name in FIGURES:  # of an earlier evaluation
        (folder / f"{name}.png").unlink(missing_ok=True)
    draw_curves(folder, truth, probabilities, names)
    if explanations.curves:
        from kerasloc.plotting import morf_figure

        write_figure(folder / "morf.png", morf_figure(explanations.curves), DPI)
    draw_confusion(folder, reports["classification"], names)
    logger.info("%s: %d %s images\n%s", folder.parent, len(table), split, results)
    return results


def tabulate(reports: Mapping[str, dict], explanations: Explanations) -> ResultTable:
    """Tabulate every quantity that is defined.

    ``reports`` are ``classification``, ``auroc`` and ``average_precision``.
    """
    report = reports["classification"]
    count, (low, high) = report["count"], report["accuracy_interval"]
    estimates = {
        "accuracy": metrics.Estimate(report["accuracy"], low, high, count),
        "f1_macro": metrics.Estimate(report["f1_macro"], np.nan, np.nan, count),
    }
    for name in ("auroc", "average_precision"):
        for average in ("macro", "micro"):
            estimate = metrics.Estimate.from_report(reports[name], average)
            estimates[f"{name}_{average}"] = dataclasses.replace(estimate, count=count)
    values = dict(explanations.values)
    for name, outside in DIFFERENCES.items():
        if outside in values:
            values[name] = values["explanation_target"] - values[outside]
    areas = {name: metrics.aopc(lines) for name, lines in explanations.curves.items()}
    if areas:
        values["aopc"] = areas[EXPLANATION]
        for name, key in ((GRADCAM, "gradcam"), (RANDOM, "random")):
            values[f"aopc_{key}"] = areas[name]
            values[f"aopc_over_{key}"] = areas[EXPLANATION] - areas[name]
    for name, column in values.items():
        estimates[name] = metrics.Estimate.of_mean(column)
    return quantity_table({q: estimates[q] for q in QUANTITIES if q in estimates})


def class_rows(reports: Mapping[str, dict]) -> list[dict[str, Any]]:
    """List the scores of every class; ``reports`` as of :func:`tabulate`."""
    rows = []
    per_class = reports["classification"]["per_class"].items()
    for index, (name, scores) in enumerate(per_class):
        row = {"class": name, "images": scores["support"]}
        row |= {key: scores[key] for key in ("precision", "recall", "f1")}
        for key in ("auroc", "average_precision"):
            estimate = metrics.Estimate.from_report(reports[key], "per_class", index)
            row |= columns_of(key, estimate)
        rows.append(row)
    return rows
