"""Evaluation of HRCAM's models: classes, and the maps of the true classes."""

import dataclasses
import logging
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kerasloc import metrics
from kerasloc.data import config as data_config
from kerasloc.data.table import Table
from kerasloc.evaluation.configs import DPI, EvaluationConfig
from kerasloc.evaluation.refinement import REFINEMENTS, localization_table, localize
from kerasloc.evaluation.results import ResultTable, quantity_table
from kerasloc.evaluation.samples import (
    expect_best,
    first_of_each_class,
    read_batches,
    table_of_run,
)
from kerasloc.io import write_csv, write_figure, write_json
from kerasloc.localizers import Localizer, load
from kerasloc.runs import read_config

logger = logging.getLogger(__name__)

SCORES = (
    "accuracy", "precision_macro", "precision_micro", "recall_macro", "recall_micro",
    "f1_macro", "f1_micro", "top_5", "auroc_macro", "auroc_micro", "auroc_weighted",
    "average_precision_macro",
)  # fmt: skip


def evaluate_hrcam(folder: pathlib.Path, config: EvaluationConfig) -> ResultTable:
    """Evaluate a run of a half or full model.

    Writes metrics.csv, per_class.csv, evaluation.json, confusion.png; localization.csv
    where images have masks or boxes; pictures of the refinement of a full model.

    Returns:
        A row for every score; the detail ``localization``, one for every kind of map.

    Raises:
        ValueError: If the checkpoint is not ``best``, or the data does not fit.
    """
    expect_best(config)
    wrapper = load(folder)
    network = wrapper.config
    table = table_of_run(folder, network, config)
    report = classify(wrapper, table, config.batch_size)
    localization = _localization(wrapper, folder, table, config)
    results = score_table(report, localization)
    logger.info("%s: %d %s images\n%s", folder, len(table), config.split, results)
    target = folder / config.folder
    write_results(target, report, localization)
    draw_confusion(target, report, network.class_names)
    if network.family == "full":
        options = REFINEMENTS["refined, confined"]
        draw_pipelines(target, wrapper, table, config.figures, options)
    logger.info("Tables and figures are in %s", target)
    return results


def classify(wrapper: Localizer, table: Table, batch_size: int = 32) -> dict[str, Any]:
    """Compute the classification report of a wrapper on a table of its classes."""
    network = wrapper.config
    data = read_batches(network, table, ("image",), batch_size, "Classifying")
    probabilities = np.concatenate(
        [wrapper.predict_proba(batch["image"], squeeze=False) for batch in data]
    )
    if network.multi_label:
        return metrics.multi_label_report(
            table.labels, probabilities, network.class_names
        )
    return metrics.classification_report(
        table.class_index, probabilities, network.class_names
    )


def _localization(
    wrapper: Localizer, folder: pathlib.Path, table: Table, config: EvaluationConfig
) -> ResultTable | None:
    """Measure the maps of images with masks or boxes; None without any."""
    scores = localize(wrapper, table, REFINEMENTS, config.batch_size)
    if not scores:
        return None
    network, tuning = wrapper.config, {}
    recorded = read_config(folder)["data"]
    data = data_config.data_of_run(recorded, config.overrides)
    if data_config.has_validation(data, network.class_names):
        changed = dataclasses.replace(config, split="val")
        val = table_of_run(folder, network, changed)
        tuning = localize(wrapper, val, REFINEMENTS, config.batch_size)
    localization = localization_table(scores, tuning)
    logger.info(
        "%d pairs of image and class; maps of the true class; thresholds: %s\n%s",
        localization.rows[0]["count"],
        "the best of validation"
        if localization.frame["tuned"].all()
        else "0.5, as the validation images have no masks or boxes",
        localization,
    )
    return localization


def score_table(
    report: Mapping[str, Any], localization: ResultTable | None = None
) -> ResultTable:
    """Tabulate the scores of a report; the table of maps is kept as a detail."""
    count, undefined = report["count"], (np.nan, np.nan)
    intervals = {"accuracy": report["accuracy_interval"]}
    estimates = {}
    for name in filter(report.__contains__, SCORES):
        low, high = intervals.get(name, undefined)
        estimates[name] = metrics.Estimate(report[name], low, high, count)
    details = {} if localization is None else {"localization": localization}
    return quantity_table(estimates, details)


def write_results(
    folder: pathlib.Path, report: Mapping[str, Any], localization: ResultTable | None
) -> None:
    """Write metrics.csv, per_class.csv, localization.csv and evaluation.json.

    Without a table of maps, localization.csv of an earlier evaluation is removed.
    """
    scores = {name: report[name] for name in SCORES if name in report}
    write_csv(folder / "metrics.csv", [{"images": report["count"], **scores}])
    rows = [{"class": name, **row} for name, row in report["per_class"].items()]
    write_csv(folder / "per_class.csv", rows)
    (folder / "localization.csv").unlink(missing_ok=True)
    if localization is not None:
        localization.write_csv(folder / "localization.csv")
    rows = [] if localization is None else localization.rows
    content = {"classification": report, "localization": rows}
    write_json(folder / "evaluation.json", content)


def draw_confusion(
    folder: pathlib.Path, report: Mapping[str, Any], class_names: Sequence[str]
) -> None:
    """Draw confusion.png, for data with one class per image."""
    from kerasloc.plotting import confusion_matrix

    if "confusion" in report:
        figure = confusion_matrix(report["confusion"], class_names)
        write_figure(folder / "confusion.png", figure, DPI)


def draw_curves(
    folder: pathlib.Path,
    truth: np.ndarray,
    probabilities: np.ndarray,
    names: Sequence[str],
) -> None:
    """Draw roc.png and precision-recall.png, where there are two classes or more."""
    from kerasloc.plotting import precision_recall_figure, roc_figure

    for name, compute, draw in (
        ("roc", metrics.roc_curve, roc_figure),
        ("precision-recall", metrics.precision_recall_curve, precision_recall_figure),
    ):
        curves = compute(truth, probabilities, names)
        if any(curves["per_class"]):
            write_figure(folder / f"{name}.png", draw(curves), DPI)


def draw_pipelines(
    folder: pathlib.Path,
    wrapper: Localizer,
    table: Table,
    count: int,
    options: Mapping[str, Any],
) -> None:
    """Draw pipeline-CLASS-NUMBER.png, the steps to the map, of ``count`` images.

    ``options`` are those of :func:`kerasloc.postprocess.pipeline`.
    """
    from kerasloc.data import load_image
    from kerasloc.plotting import pipeline

    network = wrapper.config
    labels = np.nan_to_num(table.labels)
    for row in first_of_each_class(labels)[:count]:
        shape = network.im_size, network.channels
        image = load_image(table.paths[row], *shape, bits=table.bits)
        index = int(labels[row].argmax())
        high, low, _ = wrapper.generate_cams(image, index)
        figure = pipeline(image, low, high, **options)
        name = network.class_names[index].replace("/", "-")
        write_figure(folder / f"pipeline-{name}-{row}.png", figure, DPI)
