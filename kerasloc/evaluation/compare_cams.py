"""Comparison of maps with boxes: every method and model, measured by the same code."""

import dataclasses
import functools
import logging
import pathlib
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy.special import logit
from tqdm import tqdm

from kerasloc import metrics
from kerasloc.cams import METHODS
from kerasloc.evaluation.compare import center_maps, class_heatmaps
from kerasloc.evaluation.configs import CAMS, CENTER, DPI, MODEL, CamComparison
from kerasloc.evaluation.results import ResultTable, columns_of
from kerasloc.evaluation.samples import BoxedImages
from kerasloc.io import write_figure, write_json
from kerasloc.localizers import Localizer

logger = logging.getLogger(__name__)

# Function from images and lists of classes, one list per image, to heat maps.
Method = Callable[[np.ndarray, list[list[int]]], np.ndarray]

IOBB = 0.25
SHOWN = 6  # images on the page of maps
MARGIN = 1e-6  # heat of exactly 0 or 1 has no logit
TITLES = {
    "point": "point accuracy",
    "iobb": f"IoBB > {IOBB}",
    "max_box_acc_v2": "MaxBoxAccV2",
    "pxap": "PxAP in boxes",
    "energy": "energy in boxes",
    "aopc": "AOPC",
}


@dataclasses.dataclass(frozen=True, eq=False)
class MapScores:
    """Metrics of the maps of a method."""

    estimates: dict[str, metrics.Estimate]  # by the names of TITLES
    seconds: float  # per image, the median over batches
    pairs: int  # of an image and a class with boxes
    empty: int  # pairs whose map is 0 everywhere
    aopc_images: int
    threshold: np.ndarray  # of MaxBoxAccV2 for each IoU
    images: np.ndarray  # the first drawn ones, (k, rows, cols, channels)
    maps: np.ndarray  # heat maps of these, of one class each, (k, rows, cols)


def compare_cams(
    wrapper: Localizer,
    samples: BoxedImages,
    config: CamComparison,
    tuning: BoxedImages | None = None,
) -> dict[str, MapScores]:
    """Measure every method on the same images, by name.

    The thresholds of MaxBoxAccV2 are chosen on the images ``tuning``; without them on
    the measured images, as published.
    """
    scores = {}
    for name, method in methods_of(wrapper, config).items():
        logger.info("%s: %d images", name, len(samples.images))
        threshold = None
        if tuning is not None:
            maps, _ = maps_of(method, tuning, config.batch_size)
            overlaps = metrics.box_overlaps(maps, tuning.boxes, tuning.size)
            threshold = overlaps.max_box_acc_v2()["threshold"]
        maps, seconds = maps_of(method, samples, config.batch_size)
        peaks = maps
        if name == MODEL and "maps" in getattr(wrapper, "outputs", ()):
            # heat maps of these networks are 1 at many pixels: raw maps have one peak
            starts = range(0, len(samples.images), config.batch_size)
            batches = (samples.images[i : i + config.batch_size] for i in starts)
            peaks = np.concatenate([wrapper.maps(x, squeeze=False) for x in batches])
        curves = _aopc(wrapper, samples, maps, config)
        boxed = metrics.box_overlaps(maps, samples.boxes, samples.size)
        accuracy = boxed.max_box_acc_v2(threshold, seed=config.seed)
        estimates = _estimates(samples, maps, peaks, config.seed)
        estimates["max_box_acc_v2"] = metrics.Estimate.from_report(accuracy)
        estimates["aopc"] = metrics.Estimate.of_mean(curves, seed=config.seed)
        drawn = samples.draw(SHOWN, config.seed)
        scores[name] = MapScores(
            {key: estimates[key] for key in TITLES},
            seconds,
            len(accuracy["pairs"]),
            sum(not maps[image, :, :, index].any() for image, index in samples.pairs),
            len(curves),
            accuracy["threshold"],
            samples.images[drawn[0]],
            maps[drawn[0], :, :, drawn[1]],
        )
    return scores


def methods_of(wrapper: Localizer, config: CamComparison) -> dict[str, Method]:
    """Return the methods of a wrapper by name.

    Raises:
        ValueError: If a named method does not apply to the model.
    """
    methods: dict[str, Method] = {}
    for name in config.methods or CAMS:
        if name == MODEL:
            methods[name] = functools.partial(class_heatmaps, wrapper)
        elif name == CENTER:
            methods[name] = center_maps
        else:
            try:
                methods[name] = METHODS[name](wrapper, config.layer)
            except ValueError as error:
                if config.methods or name != "cam":
                    raise
                logger.info("Without cam: %s", error)
    return methods


def maps_of(
    method: Method, samples: BoxedImages, batch_size: int
) -> tuple[np.ndarray, float]:
    """Compute heat maps (n, rows, cols, classes), 0 for classes not of an image.

    Returns:
        The maps, and the seconds per image, the median over batches. The first batch,
        which compiles, does not count; it is repeated when it is the only one.
    """
    shape = (*samples.images.shape[:3], len(samples.class_names))
    maps, seconds = np.zeros(shape, np.float32), []
    starts = list(range(0, len(samples.images), batch_size))
    starts = [0, *starts] if len(starts) == 1 else starts
    for start in tqdm(starts, "Explaining", unit="batch", leave=False):
        images = samples.images[start : start + batch_size]
        classes = samples.classes[start : start + batch_size]
        count = max(1, *map(len, classes))
        filled = [(row or [0]) + (row or [0])[:1] * count for row in classes]
        began = time.perf_counter()
        with warnings.catch_warnings():  # maps that are 0 are counted
            warnings.filterwarnings("ignore", message=".*heat map is 0")
            heat = method(images, [row[:count] for row in filled])
        seconds.append((time.perf_counter() - began) / len(images))
        for image, row in enumerate(classes):
            maps[start + image][:, :, row] = heat[image][:, :, : len(row)]
    return maps, float(np.median(seconds[1:]))


def _estimates(
    samples: BoxedImages, maps: np.ndarray, peaks: np.ndarray, seed: int
) -> dict[str, metrics.Estimate]:
    """Compute the metrics of heat maps that have no options."""
    boxes, size = samples.boxes, samples.size
    raw = logit(np.clip(maps, MARGIN, 1 - MARGIN))  # its sigmoid is the heat
    reports = {
        "point": metrics.point_localization(peaks, boxes, size, seed=seed),
        "iobb": metrics.iobb_accuracy(raw, boxes, size, IOBB, seed=seed),
        "energy": metrics.energy_in_boxes(maps, boxes, size, seed=seed),
    }
    pixels = metrics.pxap(maps, samples.masks, seed=seed)
    low, high = pixels["intervals"]["pooled"]
    estimates = {"pxap": metrics.Estimate(pixels["pooled"], low, high, len(maps))}
    for name, report in reports.items():
        estimates[name] = metrics.Estimate.from_report(report)
    return estimates


def _aopc(
    wrapper: Localizer, samples: BoxedImages, maps: np.ndarray, config: CamComparison
) -> np.ndarray:
    """Compute AOPC (k,) of drawn images, one class each."""
    drawn, classes = samples.draw(config.aopc_images, config.seed)
    if not len(drawn):
        return np.empty(0)
    curves = metrics.morf_curves(
        lambda images: wrapper.predict_proba(images, squeeze=False),
        samples.images[drawn],
        maps[drawn, :, :, classes],
        dataclasses.replace(config.aopc, seed=config.seed),
        classes,
    )
    return metrics.aopc(curves)


def cam_table(scores: Mapping[str, MapScores]) -> ResultTable:
    """Tabulate methods, with 95 % bootstrap intervals over images."""
    rows = []
    for name, score in scores.items():
        columns = ("pairs", "empty", "aopc_images", "seconds")
        row = {"method": name} | {key: getattr(score, key) for key in columns}
        for key, estimate in score.estimates.items():
            row |= columns_of(key, estimate)
        rows.append(row)
    titles = {"pairs": "pairs", **TITLES, "seconds": "seconds per image"}
    return ResultTable.from_rows(rows, titles)


def write_cams(
    folder: pathlib.Path,
    scores: Mapping[str, MapScores],
    samples: BoxedImages,
    settings: Mapping[str, Any],
    seed: int = 0,
) -> ResultTable:
    """Write cams.csv, cams.json, cams.png (bars) and maps.png (maps side by side).

    The page has ``samples``, images of the first model, with the maps of every method
    that was measured on them; ``settings`` are further entries of cams.json.
    """
    from kerasloc.plotting import method_bars, method_page

    table = cam_table(scores)
    table.write_csv(folder / "cams.csv")
    thresholds = {name: score.threshold for name, score in scores.items()}
    content = {"rows": table.rows, "max_box_acc_v2_thresholds": thresholds}
    write_json(folder / "cams.json", {**settings, **content})
    write_figure(folder / "cams.png", method_bars(table.rows, TITLES), DPI)
    drawn, classes = samples.draw(SHOWN, seed)
    images, skipped = samples.images[drawn], []
    maps: dict[str, list[np.ndarray]] = {}
    for name, score in scores.items():
        if np.array_equal(score.images, images):
            title = CENTER if name.endswith(f": {CENTER}") else name
            maps.setdefault(title, list(score.maps))
        else:
            skipped.append(name)
    if skipped:
        text = "Other images than the first model's, so not on the page of maps: %s"
        logger.info(text, ", ".join(skipped))
    boxes = [samples.boxes_of(*pair) for pair in zip(drawn, classes, strict=True)]
    names = [samples.class_names[index] for index in classes]
    page = method_page(images, boxes, maps, names)
    write_figure(folder / "maps.png", page, 90)
    return table
