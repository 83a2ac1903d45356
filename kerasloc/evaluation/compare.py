"""Comparison of trained models, and of their explanations by AOPC and POMPOM."""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from kerasloc import metrics
from kerasloc.data.table import Table
from kerasloc.evaluation.configs import (
    DPI,
    EXPLANATIONS,
    ComparedRuns,
    DrawnSamples,
    ExplanationComparison,
)
from kerasloc.evaluation.results import ResultTable, columns_of, curve_bounds
from kerasloc.evaluation.samples import (
    draw_samples,
    positive_classes,
    read_batches,
    table_of_run,
    target_masks,
)
from kerasloc.io import write_figure, write_json
from kerasloc.localizers import Localizer
from kerasloc.localizers.loading import load_wrapper, newest_run

Scores = TypeVar("Scores")
ClassRows = Sequence[Sequence[int]] | np.ndarray  # k classes of each image

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
class ComparedModel:
    """A trained model in a comparison, with its name in tables."""

    name: str
    path: pathlib.Path  # run folder or weight file
    wrapper: Localizer

    @property
    def folder(self) -> pathlib.Path:
        """Run folder."""
        return self.path if self.path.is_dir() else self.path.parent

    def samples(self, config: DrawnSamples) -> tuple[Table, int]:
        """Draw the images of a split, and count those that there are."""
        table = table_of_run(self.folder, self.wrapper.config, config)
        return draw_samples(table, config.limit, config.seed), len(table)

    def output_folder(
        self, name: str, split: str, output: str | os.PathLike | None = None
    ) -> pathlib.Path:
        """Return the folder of results: NAME or NAME-SPLIT in the run, or another.

        Examples:
            >>> model = ComparedModel("pylon", pathlib.Path("run/a.weights.h5"), None)
            >>> print(model.output_folder("cams", "val"))
            run/cams-val
        """
        name = name if split == "test" else f"{name}-{split}"
        return pathlib.Path(output or self.folder / name)


def open_models(runs: ComparedRuns, family: str) -> list[ComparedModel]:
    """Load the models to compare, or the newest run of ``runs.type`` or ``family``.

    Raises:
        ValueError: If a model does not exist or is repeated.
    """
    paths = [pathlib.Path(path) for path in runs.weights]
    paths = paths or [newest_run(runs.type or family, runs.results_dir)]
    expected = runs.type or (None if runs.weights else family)
    wrappers = [load_wrapper(path, expected) for path in paths]
    names = model_names(paths, [wrapper.config.family for wrapper in wrappers])
    return list(map(ComparedModel, names, paths, wrappers))


def label_scores(results: Mapping[str, Mapping[str, Scores]]) -> dict[str, Scores]:
    """Name scores by method, or by ``MODEL: METHOD`` for several models.

    Examples:
        >>> label_scores({"ham": {"own": 1}, "full": {"own": 2}})
        {'ham: own': 1, 'full: own': 2}
    """
    return {
        f"{model}: {method}" if len(results) > 1 else method: score
        for model, scores in results.items()
        for method, score in scores.items()
    }


def model_names(paths: Sequence[pathlib.Path], families: Sequence[str]) -> list[str]:
    """Name models by family, by FAMILY/RUN, or by path, as short as names differ.

    Raises:
        ValueError: If a path is repeated.

    Examples:
        >>> paths = [pathlib.Path("results/pylon/a"), pathlib.Path("results/pylon/b")]
        >>> model_names(paths, ["pylon", "pylon"])
        ['pylon/a', 'pylon/b']
    """
    if len({path.resolve() for path in paths}) < len(paths):
        shown = ", ".join(map(str, paths))
        raise ValueError(f"Expected every run once. Received: {shown}.")
    names = list(families)
    if len(set(names)) < len(names):
        pairs = zip(families, paths, strict=True)
        names = [f"{family}/{path.resolve().name}" for family, path in pairs]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]


@dataclasses.dataclass(frozen=True, eq=False)
class ExplanationScores:
    """Metrics of the maps of a method on every image."""

    curves: np.ndarray  # MoRF curves (n, L + 1)
    pompom: np.ndarray  # (n,), NaN where the class has neither mask nor box


def compare_explanations(
    wrapper: Localizer, table: Table, config: ExplanationComparison
) -> dict[str, ExplanationScores]:
    """Measure every method on the images of a table, by name.

    POMPOM takes the wrapper's heat maps as they are, and of raw maps (``low``,
    ``gradcam``) the values above 0, divided by their maximum.

    Raises:
        ValueError: If the wrapper lacks a method, or the grid is finer than its images.
    """
    methods = explanations_of(wrapper, config.methods)
    predict = functools.partial(wrapper.predict_proba, squeeze=False)
    true = positive_classes(table) if config.of == "true" else [[]] * len(table)
    measured: dict[str, list] = {name: [] for name in methods}
    size, network = config.batch_size, wrapper.config
    for batch in read_batches(network, table, FIELDS, size, "Explaining"):
        images = batch["image"]
        likeliest = predict(images).argmax(axis=-1)
        pairs = zip((true[index] for index in batch["index"]), likeliest, strict=True)
        classes = np.array([row[0] if row else index for row, index in pairs])
        targets = target_masks(batch, classes)
        for name in methods:
            maps = _maps(name, wrapper, batch, classes, config.aopc)
            curves = metrics.morf_curves(predict, images, maps, config.aopc, classes)
            if name in RAW:
                maps = np.maximum(metrics.resize_maps(maps, images.shape[1:3]), 0)
                highest = maps.max(axis=(1, 2), keepdims=True)
                maps = maps / np.where(highest > 0, highest, 1)
            measured[name].append((curves, metrics.pompom(maps, targets)))
    return {
        name: ExplanationScores(*map(np.concatenate, zip(*batches, strict=True)))
        for name, batches in measured.items()
    }


def class_heatmaps(
    wrapper: Localizer, images: np.ndarray, classes: ClassRows
) -> np.ndarray:
    """Compute heat maps (n, rows, cols, k) of k classes per image, (n, k)."""
    needed, columns = np.unique(classes, return_inverse=True)
    heat = wrapper.heatmaps(images, needed.tolist(), squeeze=False)
    columns = columns.reshape(np.shape(classes))
    return np.take_along_axis(heat, columns[:, None, None], axis=-1)


def center_maps(images: np.ndarray, classes: ClassRows) -> np.ndarray:
    """Return a Gaussian at the center, (n, rows, cols, k), for k classes per image."""
    shape = (*images.shape[:3], len(classes[0]))
    return np.broadcast_to(metrics.center_gaussian(images.shape[1:3])[..., None], shape)


def explanations_of(
    wrapper: Localizer, methods: tuple[str, ...] = ()
) -> tuple[str, ...]:
    """Return the named methods, or all that a wrapper has.

    Raises:
        ValueError: If the wrapper lacks a named method.
    """
    if hasattr(wrapper, "grad_cam"):
        return methods or EXPLANATIONS
    if "gradcam" in methods:
        raise ValueError(
            "Expected methods that the wrapper has. Received: gradcam for "
            f"{type(wrapper).__name__}, which has no grad_cam. Use low in its place."
        )
    return methods or tuple(name for name in EXPLANATIONS if name != "gradcam")


def _maps(
    name: str,
    wrapper: Localizer,
    batch: dict[str, np.ndarray],
    classes: np.ndarray,
    config: metrics.AopcConfig,
) -> np.ndarray:
    """Compute maps (n, rows, cols) of any size, of one class per image."""
    images = batch["image"]
    count, rows, cols = images.shape[:3]
    if name == "random":
        rng = np.random.default_rng((config.seed, int(batch["index"][0])))
        return metrics.random_relevance(count, (rows, cols), config.grid, seed=rng)
    if name in RAW:
        method = getattr(wrapper, "low_res_cam" if name == "low" else "grad_cam")
        return method(images, classes, squeeze=False)
    columns = classes[:, None]
    if name == "center":
        return center_maps(images, columns)[..., 0]
    return class_heatmaps(wrapper, images, columns)[..., 0]


def explanation_table(scores: Mapping[str, ExplanationScores]) -> ResultTable:
    """Tabulate methods, with 95 % bootstrap intervals over images.

    ``over_random`` is the paired difference to the random order of the same model,
    where there is one; ``targets`` counts the images with a mask or box.
    """
    controls = {
        name.removesuffix("random"): metrics.aopc(score.curves)
        for name, score in scores.items()
        if name.endswith("random")
    }
    targets = any(np.isfinite(score.pompom).any() for score in scores.values())
    rows, mean = [], metrics.Estimate.of_mean
    for name, score in scores.items():
        values = metrics.aopc(score.curves)
        row = {
            "method": name,
            "images": len(values),
            **columns_of("aopc", mean(values)),
        }
        if controls:
            control = controls.get(name[: name.rfind(" ") + 1], np.nan)
            row |= columns_of("over_random", mean(values - control))
        if targets:
            estimate = mean(score.pompom)
            row |= {"targets": estimate.count, **columns_of("pompom", estimate)}
        rows.append(row)
    return ResultTable.from_rows(rows, TITLES)


def write_comparison(
    folder: pathlib.Path,
    scores: Mapping[str, ExplanationScores],
    settings: Mapping[str, Any],
) -> ResultTable:
    """Write comparison.csv, comparison.json (with ``settings``) and morf.png."""
    from kerasloc.plotting import morf_figure

    table = explanation_table(scores)
    table.write_csv(folder / "comparison.csv")
    raw = {name: score.curves for name, score in scores.items()}
    images = {
        name: {"aopc": metrics.aopc(score.curves), "pompom": score.pompom}
        for name, score in scores.items()
    }
    content = {"rows": table.rows, "curves": curve_bounds(raw), "images": images}
    write_json(folder / "comparison.json", {**settings, **content})
    write_figure(folder / "morf.png", morf_figure(raw), DPI)
    return table
