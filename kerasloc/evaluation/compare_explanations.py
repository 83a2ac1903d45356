"""Comparison of explanations: AOPC and POMPOM of a model's maps and of controls."""

import dataclasses
import functools
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from kerasloc.data.table import Table
from kerasloc.evaluation.configs import EXPLANATIONS, ExplanationComparison
from kerasloc.evaluation.refinement import target_masks
from kerasloc.evaluation.results import ResultTable, columns_of
from kerasloc.evaluation.samples import positive_classes, read_batches
from kerasloc.io import write_json
from kerasloc.localizers import Localizer
from kerasloc.metrics import (
    AopcConfig,
    Estimate,
    aopc,
    center_gaussian,
    curve_interval,
    morf_curves,
    pompom,
    random_relevance,
    resize_maps,
)

FIELDS = ("image", "labels", "boxes", "mask", "index")
RAW = ("low", "gradcam")  # maps of any range
TITLES = {
    "images": "images",
    "aopc": "AOPC",
    "over_random": "over random",
    "targets": "targets",
    "pompom": "POMPOM",
}


@dataclasses.dataclass(frozen=True, eq=False)
class ExplanationScores:
    """Metrics of the maps of a method on every image.

    Attributes:
        curves: MoRF curves (n, L + 1).
        pompom: POMPOM (n,), NaN where the explained class has neither mask nor box.
    """

    curves: np.ndarray
    pompom: np.ndarray


def compare_explanations(
    wrapper: Localizer, table: Table, config: ExplanationComparison
) -> dict[str, ExplanationScores]:
    """Measure every method on the images of a table, by name.

    POMPOM takes the wrapper's heat maps as they are, and of raw maps (``low``,
    ``gradcam``) the values above 0, divided by their maximum.

    Args:
        wrapper: Wrapper of any family.
        table: Images whose classes are those of the wrapper, in its order.
        config: Methods and options.

    Raises:
        ValueError: If the wrapper lacks a method, or the grid is finer than its images.
    """
    methods = methods_of(wrapper, config.methods)
    predict = functools.partial(wrapper.predict_proba, squeeze=False)
    true = positive_classes(table) if config.of == "true" else [[]] * len(table)
    curves: dict[str, list] = {name: [] for name in methods}
    marked: dict[str, list] = {name: [] for name in methods}
    size, network = config.batch_size, wrapper.config
    for batch in read_batches(network, table, FIELDS, size, "Explaining"):
        images = batch["image"]
        likeliest = predict(images).argmax(axis=-1)
        pairs = zip((true[index] for index in batch["index"]), likeliest, strict=True)
        classes = np.array([row[0] if row else index for row, index in pairs])
        targets = target_masks(batch, classes)
        for name in methods:
            maps = _maps(name, wrapper, batch, classes, config.aopc)
            curves[name].append(
                morf_curves(predict, images, maps, config.aopc, classes)
            )
            heat = maps if name not in RAW else _positive(maps, images.shape[1:3])
            marked[name].append(pompom(heat, targets))
    return {
        name: ExplanationScores(
            np.concatenate(curves[name]), np.concatenate(marked[name])
        )
        for name in methods
    }


def methods_of(wrapper: Localizer, methods: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return the methods that a wrapper has, or the named ones.

    Args:
        wrapper: Wrapper of any family.
        methods: Names of methods; all that the wrapper has when empty.

    Raises:
        ValueError: If the wrapper lacks a named method.
    """
    if hasattr(wrapper, "grad_cam"):
        return methods or EXPLANATIONS
    if "gradcam" in methods:
        raise ValueError(
            "Expected methods that the wrapper has. Received: gradcam for "
            f"{type(wrapper).__name__}, which has no grad_cam. Leave it out; Grad-CAM "
            "of the networks of maps is their low map."
        )
    return methods or tuple(name for name in EXPLANATIONS if name != "gradcam")


def _maps(
    name: str,
    wrapper: Localizer,
    batch: dict[str, np.ndarray],
    classes: np.ndarray,
    config: AopcConfig,
) -> np.ndarray:
    """Compute maps (n, rows, cols) of any size, of one class per image."""
    images = batch["image"]
    count, rows, cols = images.shape[:3]
    if name == "random":
        rng = np.random.default_rng((config.seed, int(batch["index"][0])))
        return random_relevance(count, (rows, cols), config.grid, seed=rng)
    if name == "center":
        return np.broadcast_to(center_gaussian((rows, cols)), (count, rows, cols))
    if name in RAW:
        method = getattr(wrapper, "low_res_cam" if name == "low" else "grad_cam")
        return method(images, classes, squeeze=False)
    needed, columns = np.unique(classes, return_inverse=True)
    heat = wrapper.heatmaps(images, needed.tolist(), squeeze=False)
    return heat[np.arange(count), :, :, columns]


def _positive(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize raw maps and divide their values above 0 by the maximum."""
    maps = np.maximum(resize_maps(maps, size), 0)
    highest = maps.max(axis=(1, 2), keepdims=True)
    return maps / np.where(highest > 0, highest, 1)


def explanation_table(scores: Mapping[str, ExplanationScores]) -> ResultTable:
    """Tabulate methods, with 95 % bootstrap intervals over images.

    Args:
        scores: Scores by method; of several models by ``MODEL: METHOD``.

    Returns:
        Columns ``method``, ``images``, ``aopc``; ``over_random``, the paired difference
        to the random order of the same model, where there is one; ``targets``, the
        number of images with a mask or box, and ``pompom``, where there are any.
    """
    controls = {
        name.removesuffix("random"): aopc(score.curves)
        for name, score in scores.items()
        if name.endswith("random")
    }
    targets = any(np.isfinite(score.pompom).any() for score in scores.values())
    rows = []
    for name, score in scores.items():
        values = aopc(score.curves)
        row = {"method": name, "images": len(values)}
        row |= columns_of("aopc", Estimate.of_mean(values))
        if controls:
            nothing = np.full(len(values), np.nan)
            control = controls.get(name[: name.rfind(" ") + 1], nothing)
            row |= columns_of("over_random", Estimate.of_mean(values - control))
        if targets:
            estimate = Estimate.of_mean(score.pompom)
            row |= {"targets": estimate.count, **columns_of("pompom", estimate)}
        rows.append(row)
    return ResultTable.from_rows(rows, TITLES)


def write_explanations(
    folder: pathlib.Path,
    scores: Mapping[str, ExplanationScores],
    settings: Mapping[str, Any],
) -> ResultTable:
    """Write comparison.csv, comparison.json and morf.png.

    Args:
        folder: Folder, made when absent.
        scores: Scores by method; of several models by ``MODEL: METHOD``.
        settings: Further entries of comparison.json.
    """
    from kerasloc.plotting import morf_figure

    table = explanation_table(scores)
    table.write_csv(folder / "comparison.csv")
    names = ("mean", "low", "high")
    curves = {
        name: dict(zip(names, curve_interval(score.curves), strict=True))
        for name, score in scores.items()
    }
    images = {
        name: {"aopc": aopc(score.curves), "pompom": score.pompom}
        for name, score in scores.items()
    }
    content = {"rows": table.rows, "curves": curves, "images": images}
    write_json(folder / "comparison.json", {**settings, **content})
    figure = morf_figure({name: score.curves for name, score in scores.items()})
    figure.savefig(folder / "morf.png", dpi=110)
    return table
