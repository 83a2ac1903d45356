"""Evaluation of HRCAM's models: classes, and with the full model its refined maps."""

import dataclasses
import logging
import pathlib

from kerasloc.data import config as data_config
from kerasloc.evaluation import figures, refinement
from kerasloc.evaluation import results_old as report
from kerasloc.evaluation.results import ResultTable
from kerasloc.evaluation.samples import EvaluationConfig, table_of_run
from kerasloc.localizers import load
from kerasloc.runs import read_config

logger = logging.getLogger(__name__)


def evaluate_hrcam(folder: pathlib.Path, config: EvaluationConfig) -> ResultTable:
    """Measure a run of a half or full model.

    Args:
        folder: Run folder.
        config: Options.

    Returns:
        A table of quantities; the detail ``localization`` has a row per kind of map.

    Raises:
        ValueError: If the checkpoint is not ``best``.
    """
    if config.checkpoint != "best":
        raise ValueError(
            f"--checkpoint is for networks of maps. Received: {config.checkpoint}. "
            "Leave it out."
        )
    wrapper = load(folder)
    names = wrapper.config.class_names
    data = data_config.data_of_run(read_config(folder)["data"], config.overrides)
    table = table_of_run(folder, wrapper.config, config)
    answers = refinement.classify(wrapper, table, config.batch_size)
    logger.info("\n%s, %s images of %s", folder, config.split, data.name)
    logger.info("%s", report.classification_text(answers))
    measured = refinement.localize(
        wrapper, table, refinement.REFINEMENTS, config.batch_size
    )
    rows = []
    if measured:
        tuning = {}
        if data_config.has_validation(data, names):
            val = table_of_run(
                folder, wrapper.config, dataclasses.replace(config, split="val")
            )
            tuning = refinement.localize(
                wrapper, val, refinement.REFINEMENTS, config.batch_size
            )
        rows = refinement.localization_rows(measured, tuning)
        logger.info("%s", report.localization_text(rows))
    place = folder / config.folder
    place.mkdir(exist_ok=True)
    report.write_evaluation(place, answers, rows)
    figures.draw_confusion(place, answers, names)
    if wrapper.config.family == "full":
        drawn = refinement.REFINEMENTS["refined, confined"]
        figures.draw_pipelines(place, wrapper, table, config.figures, **drawn)
    logger.info("Tables and figures are in %s", place)
    scores = [
        {"quantity": name, "images": answers["count"], "value": float(answers[name])}
        for name in report.SCORES
        if name in answers
    ]
    details = {}
    if rows:
        shown = ("point", "iou", "gain")
        titles = {"point": "point accuracy", "iou": "IoU", "gain": "gain on low"}
        details["localization"] = ResultTable.from_rows(rows, titles, shown)
    return ResultTable.from_rows(scores, {"value": "value"}, details=details)
