"""Evaluation of networks with logits and maps: AUROC, point localization, overlaps.

Every estimate has a bootstrap interval over images. The control of the maps is a
Gaussian at the center of every image.
"""

import contextlib
import dataclasses
import logging
import pathlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from scipy.special import expit

from kerasloc import metrics
from kerasloc.cams import run
from kerasloc.configs import NetworkConfig
from kerasloc.data.decode import box_masks
from kerasloc.data.table import Table
from kerasloc.evaluation.configs import EvaluationConfig
from kerasloc.evaluation.results import ResultTable, columns_of
from kerasloc.evaluation.samples import read_batches, table_of_run
from kerasloc.io import create_array, write_json
from kerasloc.localizers import Localizer, load
from kerasloc.metrics.overlap import ATTENDED, TIOR, TIOU
from kerasloc.runs import weights_of_run

logger = logging.getLogger(__name__)

THRESHOLDS = (0.1, 0.25, 0.5)
IN_MEMORY = 2**28  # values of maps
CENTER_ATTENDED = 0.47  # value of a Gaussian in [0, 1] whose soft mask is attended
RATIOS = ("iobb", "iou")
AVERAGES = ("macro", "micro", "weighted")
RANKINGS = ("auroc", "average_precision", "point", "center_point")
OVERLAPS = {"tiou": TIOU, "center_tiou": TIOU, "tior": TIOR, "center_tior": TIOR}
TITLES = {
    "positives": "positives",
    "auroc": "AUROC",
    "tiou": "TIoU",
    "center_tiou": "center",
    "tior": "TIoR",
    "center_tior": "center",
    "point": "point accuracy",
    "center_point": "center",
    **{f"{name}_{t:g}": f"{name}_{t:g}" for name in RATIOS for t in THRESHOLDS},
}


@dataclasses.dataclass(frozen=True)
class MapPredictions:
    """Outputs of a network for the images of a table."""

    logits: np.ndarray  # (n, classes)
    maps: np.ndarray  # of the k images with boxes, (k, rows, cols, classes)
    boxes: np.ndarray  # rows image (0 to k - 1), x, y, w, h, class in pixels
    # by the names of OVERLAPS, (k, classes), NaN without a box; of refined maps only
    overlaps: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)


def evaluate_maps(folder: pathlib.Path, config: EvaluationConfig) -> ResultTable:
    """Evaluate a run of a network with logits and maps.

    Writes metrics.csv and evaluation.json.

    Raises:
        ValueError: If the run has no such checkpoint, or the data does not fit.
    """
    best = config.checkpoint == "best"
    wrapper = load(folder if best else weights_of_run(folder, config.checkpoint))
    network = wrapper.config
    table = table_of_run(folder, network, config)
    with predict_maps(wrapper, table, config.batch_size) as predictions:
        reports = measure(predictions, network, table)
    results = class_table(reports, network.class_names)
    target = folder / config.folder
    results.write_csv(target / "metrics.csv")
    count = reports["classification"]["count"]
    content = {"split": config.split, "images": count, "rows": results.rows}
    write_json(target / "evaluation.json", content | reports)
    logger.info("%s: %d %s images\n%s", folder, count, config.split, results)
    logger.info("Tables are in %s", target)
    return results


@contextlib.contextmanager
def predict_maps(
    wrapper: Localizer, table: Table, batch_size: int = 16, in_memory: int = IN_MEMORY
) -> Iterator[MapPredictions]:
    """Predict the logits and maps of the images of a table.

    More map values than ``in_memory`` are kept in a file inside the block.
    """
    network = wrapper.config
    boxed = np.unique(table.boxes[:, 0].astype(int))
    shape = (len(boxed), *wrapper.model.output["maps"].shape[1:])
    logits, rows, overlaps = [], [np.empty((0, 6))], []
    maps: np.ndarray
    fields = ("image", "boxes", "index")
    with contextlib.ExitStack() as stack:
        if np.prod(shape) > in_memory:
            temporary = stack.enter_context(tempfile.TemporaryDirectory())
            path = pathlib.Path(temporary) / "maps.npy"
            maps = create_array(path, shape)
        else:
            maps = np.empty(shape, np.float32)
        for batch in read_batches(network, table, fields, batch_size, "Predicting"):
            outputs = run(wrapper.model, wrapper.prepare(batch["image"]))
            logits.append(outputs["logits"])
            chosen = np.flatnonzero(np.isin(batch["index"], boxed))
            if not len(chosen):
                continue
            numbers = np.searchsorted(boxed, batch["index"][chosen])
            maps[numbers] = outputs["maps"][chosen]
            padded = batch["boxes"][chosen]
            image, box = np.nonzero(padded[..., 4] >= 0)
            rows.append(np.column_stack([numbers[image], padded[image, box]]))
            if "refined_maps" in outputs:
                refined = outputs["refined_maps"][chosen]
                overlaps.append(_overlaps(refined, padded, network))
        combined = {
            name: np.concatenate([batch[name] for batch in overlaps])
            for name in (OVERLAPS if overlaps else ())
        }
        boxes = np.concatenate(rows)
        yield MapPredictions(np.concatenate(logits), maps, boxes, combined)


def _overlaps(
    refined: np.ndarray, padded: np.ndarray, network: NetworkConfig
) -> dict[str, np.ndarray]:
    """Compute the overlaps (n, classes) of refined maps and of the control."""
    masks = box_masks(padded, network.im_size, network.num_classes).numpy()
    center = metrics.center_gaussian(network.im_size)[..., None] >= CENTER_ATTENDED
    tiou, tior = metrics.attention_overlaps(refined >= ATTENDED, masks)
    control = metrics.attention_overlaps(np.broadcast_to(center, masks.shape), masks)
    return dict(zip(OVERLAPS, (tiou, control[0], tior, control[1]), strict=True))


def measure(
    predictions: MapPredictions, network: NetworkConfig, table: Table
) -> dict[str, dict]:
    """Compute every metric of a network's predictions for a table.

    Returns:
        Reports of :mod:`kerasloc.metrics` by name; ``classification`` is at the
        network's thresholds, those of localization need boxes or refined maps.
    """
    labels, logits, names = table.labels, predictions.logits, network.class_names
    thresholds = np.broadcast_to(network.thresholds, network.num_classes)
    probabilities = expit(logits.astype(float))
    reports = {
        "classification": metrics.multi_label_report(
            labels, probabilities, names, thresholds
        ),
        "auroc": metrics.auroc(labels, logits, names),
        "average_precision": metrics.average_precision(labels, logits, names),
    }
    maps, boxes, size = predictions.maps, predictions.boxes, network.im_size
    if len(boxes):
        center = metrics.center_gaussian(size)[..., None]
        center = np.broadcast_to(center, (len(maps), *size, network.num_classes))
        reports |= {
            "point": metrics.point_localization(maps, boxes, size),
            "iobb": metrics.iobb_accuracy(maps, boxes, size, THRESHOLDS),
            "iou": metrics.iou_accuracy(maps, boxes, size, THRESHOLDS),
            "center_point": metrics.point_localization(center, boxes, size),
        }
    return reports | {
        name: metrics.overlap_accuracy(values, OVERLAPS[name])
        for name, values in predictions.overlaps.items()
    }


def class_table(reports: Mapping[str, dict], class_names: Sequence[str]) -> ResultTable:
    """Tabulate the reports: a row per class, then macro, micro and weighted.

    For localization, micro and weighted are the mean over all pairs of an image and a
    class with boxes.
    """
    rows = [
        {"class": name} | _support(reports, index) | _metrics(reports, index)
        for index, name in enumerate(class_names)
    ]
    for name in AVERAGES:
        support = _support(reports, slice(None))
        support["images"] = reports["classification"]["count"]
        rows.append({"class": name} | support | _metrics(reports, name))
    return ResultTable.from_rows(rows, TITLES)


def _support(reports: Mapping[str, dict], index: int | slice) -> dict[str, int]:
    """Count the images, positives and pairs that a row rests on."""
    ranking = reports["auroc"]
    counts = {"images": ranking["count"], "positives": ranking["positives"]}
    if "point" in reports:
        counts["pairs"] = reports["point"]["count"]
    return {name: int(np.sum(count[index])) for name, count in counts.items()}


def _metrics(reports: Mapping[str, dict], row: int | str) -> dict[str, float]:
    """Return the columns of a class (by index) or of an average (by name)."""
    columns: dict[str, float] = {}
    for names, estimate in ((RANKINGS, _estimate), (OVERLAPS, _mean_estimate)):
        for name in filter(reports.__contains__, names):
            columns |= columns_of(name, estimate(reports[name], row))
    for name in RATIOS:
        for number, threshold in enumerate(THRESHOLDS if name in reports else ()):
            value = _estimate(reports[name], row, (number,)).value
            columns[f"{name}_{threshold:g}"] = value
    return columns


def _estimate(
    report: dict, row: int | str, threshold: tuple[int, ...] = ()
) -> metrics.Estimate:
    """Return the estimate of a class or of an average, weighted where it has none."""
    if isinstance(row, int):
        return metrics.Estimate.from_report(report, "per_class", (*threshold, row))
    name = row if row in report else "weighted"
    return metrics.Estimate.from_report(report, name, threshold)


def _mean_estimate(report: dict, row: int | str) -> metrics.Estimate:
    """Return the estimate of a mean over thresholds."""
    if isinstance(row, int):
        return metrics.Estimate.from_report(report, "mean_per_class", row)
    name = "mean" if row == "macro" else "weighted_mean"
    return metrics.Estimate.from_report(report, name)
