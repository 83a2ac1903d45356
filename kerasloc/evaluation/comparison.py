"""Which explanation explains best: AOPC and POMPOM of a model's maps, and controls."""

import dataclasses
import functools
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np
from tqdm import tqdm

from kerasloc.data.pipeline import PipelineConfig, batches
from kerasloc.data.table import Table
from kerasloc.evaluation import refinement as evaluation
from kerasloc.evaluation import results_old as report
from kerasloc.evaluation.choice import positive_classes
from kerasloc.metrics import (
    AopcConfig,
    aopc,
    center_gaussian,
    curve_interval,
    interval,
    morf_curves,
    paired_difference,
    pompom,
    random_relevance,
    resize_maps,
)

METHODS = ("high", "low", "gradcam", "random", "center")
CLASSES = ("predicted", "true")
FIELDS = ("image", "labels", "boxes", "mask", "index")
TITLES = {"aopc": "AOPC", "over_random": "over random", "pompom": "POMPOM"}
RAW = ("low", "gradcam")  # maps of any range


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What is compared, and how.

    Attributes:
        methods: Some of :data:`METHODS`: ``high``, the wrapper's own heat map; ``low``,
            its ``low_res_cam``; ``gradcam``, its ``grad_cam``; and the controls
            ``random``, another order of tiles for every image, and ``center``, a bump
            in the middle. All that the wrapper has when empty.
        of: The class that is explained: ``predicted``, the likeliest one, or ``true``,
            the first of those that the image has boxes of or else of its labels; the
            likeliest one where it has neither.
        aopc: How images are perturbed.
        batch_size: Images at a time.

    Raises:
        ValueError: If a value is none of these.
    """

    methods: tuple[str, ...] = ()
    of: str = "predicted"
    aopc: AopcConfig = dataclasses.field(default_factory=AopcConfig)
    batch_size: int = 8

    def __post_init__(self):
        """Check the values."""
        object.__setattr__(self, "methods", tuple(dict.fromkeys(self.methods)))
        unknown = [name for name in self.methods if name not in METHODS]
        if unknown:
            raise ValueError(
                f"Methods are among {', '.join(METHODS)}. Received: {unknown}."
            )
        if self.of not in CLASSES:
            raise ValueError(
                f"What is explained is one of {', '.join(CLASSES)}. "
                f"Received: {self.of!r}."
            )
        if self.batch_size < 1:
            raise ValueError(f"batch_size is positive. Received: {self.batch_size}.")


@dataclasses.dataclass(frozen=True, eq=False)
class Explained:
    """What one method's maps are worth on every image.

    Attributes:
        curves: Of MoRF, (n, L + 1).
        pompom: (n,), NaN where the explained class has neither mask nor box.
    """

    curves: np.ndarray
    pompom: np.ndarray


def compare(wrapper, table: Table, config: Comparison) -> dict[str, Explained]:
    """Every method on the images of a table, by name.

    POMPOM takes the wrapper's heat maps as they are, and of raw maps (``low``,
    ``gradcam``) what is above 0, over its maximum.

    Args:
        wrapper: Of any family.
        table: Its classes in the wrapper's order.
        config: What is compared.

    Raises:
        ValueError: If the wrapper lacks a method, or the grid is finer than its images.
    """
    methods = methods_of(wrapper, config.methods)
    predict = functools.partial(wrapper.predict_proba, squeeze=False)
    own = positive_classes(table) if config.of == "true" else [[]] * len(table)
    parts = {name: [] for name in methods}
    for batch in _batches(wrapper.config, table, config.batch_size):
        images, likeliest = batch["image"], predict(batch["image"]).argmax(axis=-1)
        pairs = zip((own[i] for i in batch["index"]), likeliest, strict=True)
        classes = np.array([some[0] if some else one for some, one in pairs])
        targets = evaluation.target_masks(batch, classes)
        controls = _controls(batch, config.aopc)
        for name in methods:
            maps = controls.get(name)
            maps = _maps(name, wrapper, images, classes) if maps is None else maps
            curves = morf_curves(predict, images, maps, config.aopc, classes)
            heat = maps if name not in RAW else _positive(maps, images.shape[1:3])
            parts[name].append((curves, pompom(heat, targets)))
    return {
        name: Explained(*(np.concatenate(each) for each in zip(*some, strict=True)))
        for name, some in parts.items()
    }


def methods_of(wrapper, asked: Sequence[str] = ()) -> tuple[str, ...]:
    """The methods that a wrapper has, or the asked ones.

    Args:
        wrapper: Of any family.
        asked: Some of :data:`METHODS`; all that there are when empty.

    Raises:
        ValueError: If the wrapper lacks one of the asked.
    """
    lacking = () if hasattr(wrapper, "grad_cam") else ("gradcam",)
    missing = [name for name in asked if name in lacking]
    if missing:
        raise ValueError(
            f"A method is one that the wrapper has. Received: {', '.join(missing)} of "
            f"{type(wrapper).__name__}, which has no grad_cam. Leave it out; Grad-CAM "
            "of the networks of maps is their low map."
        )
    return tuple(asked) or tuple(name for name in METHODS if name not in lacking)


def rows(found: dict[str, Explained]) -> list[dict]:
    """The table of methods, with 95 % bootstrap intervals over images.

    Args:
        found: By name, of one model (:func:`compare`), or of several, each name then
            being ``MODEL: METHOD``.

    Returns:
        Dicts of ``method``, ``images``, ``aopc``; where there is a random order of the
        same model the paired difference to it, ``over_random``; where there are masks
        or boxes ``targets``, how many images have one, and ``pompom``; and ``_low``
        and ``_high`` of these three.
    """
    controls = {
        name.removesuffix("random"): one.curves
        for name, one in found.items()
        if name.endswith("random")
    }
    aimed = any(np.isfinite(one.pompom).any() for one in found.values())
    answer = []
    for name, one in found.items():
        values = aopc(one.curves)
        row = {"method": name, "images": len(values), **_figure("aopc", values)}
        if controls:
            control = controls.get(name[: name.rfind(" ") + 1])
            other = np.full(len(values), np.nan) if control is None else aopc(control)
            row |= _named("over_random", paired_difference(values, other))
        if aimed:
            row |= {"targets": int(np.isfinite(one.pompom).sum())}
            row |= _figure("pompom", one.pompom)
        answer.append(row)
    return answer


def text(table: list[dict]) -> str:
    """The table for a terminal.

    Args:
        table: As from :func:`rows`.
    """
    width = max(len(row["method"]) for row in table)
    shown = [name for name in TITLES if name in table[0]]
    head = "  ".join(f"{TITLES[name]:22s}" for name in shown)
    lines = [f"{'method':{width}s}  images  {head}"]
    for row in table:
        cells = [
            f"{row[name]:.3f} [{row[f'{name}_low']:.3f}, {row[f'{name}_high']:.3f}]"
            for name in shown
        ]
        cells = "  ".join(f"{cell:22s}" for cell in cells)
        lines.append(f"{row['method']:{width}s}  {row['images']:6d}  {cells}")
    if "targets" in table[0]:
        most = max(row["targets"] for row in table)
        lines.append(f"POMPOM of the {most} images with a mask or box of the class")
    return "\n".join(line.rstrip() for line in lines)


def write(folder, found: dict[str, Explained], known: dict) -> list[dict]:
    """Writes comparison.csv, comparison.json and morf.png; the rows.

    Args:
        folder: Made when absent.
        found: As for :func:`rows`.
        known: What comparison.json says besides: settings, names of the images.
    """
    from kerasloc.plotting import morf_figure

    folder, table = pathlib.Path(folder), rows(found)
    folder.mkdir(parents=True, exist_ok=True)
    report.write_csv(folder / "comparison.csv", table)
    names = ("mean", "low", "high")
    curves = {
        name: dict(zip(names, curve_interval(one.curves), strict=True))
        for name, one in found.items()
    }
    each = {
        name: {"aopc": aopc(one.curves), "pompom": one.pompom}
        for name, one in found.items()
    }
    everything = {**known, "rows": table, "curves": curves, "images": each}
    report.write_json(folder / "comparison.json", everything)
    figure = morf_figure({name: one.curves for name, one in found.items()})
    figure.savefig(folder / "morf.png", dpi=110)
    return table


def _batches(network, table: Table, batch_size: int) -> Iterator[dict]:
    """Images with what is known of them, as arrays, behind a bar."""
    settings = PipelineConfig(network.im_size, network.channels, batch_size, FIELDS)
    count = -(-len(table) // batch_size)
    data = batches(table, settings)
    for tensors in tqdm(data, "Explaining", count, unit="batch", leave=False):
        yield {key: value.numpy() for key, value in tensors.items()}


def _controls(batch: dict, config: AopcConfig) -> dict[str, np.ndarray]:
    """Maps (n, rows, cols) in [0, 1] that know nothing of the images."""
    count, *size = batch["image"].shape[:3]
    seed = config.seed, int(batch["index"][0])
    middle = center_gaussian(tuple(size))
    return {
        "random": random_relevance(count, size, config.grid, seed=seed),
        "center": np.broadcast_to(middle, (count, *size)),
    }


def _maps(name: str, wrapper, images, classes) -> np.ndarray:
    """Maps (n, any rows, any cols) of one class per image."""
    if name in RAW:
        method = wrapper.low_res_cam if name == "low" else wrapper.grad_cam
        return method(images, classes, squeeze=False)
    needed, place = np.unique(classes, return_inverse=True)
    heat = wrapper.heatmaps(images, needed.tolist(), squeeze=False)
    return heat[np.arange(len(images)), :, :, place]


def _positive(maps, size) -> np.ndarray:
    """What is above 0 of raw maps, over its maximum, at a size."""
    maps = np.maximum(resize_maps(maps, size), 0)
    highest = maps.max(axis=(1, 2), keepdims=True)
    return maps / np.where(highest > 0, highest, 1)


def _figure(name: str, values) -> dict:
    """Mean and interval of one value per image."""
    return _named(name, interval(values))


def _named(name: str, values) -> dict:
    keys = (name, f"{name}_low", f"{name}_high")
    return dict(zip(keys, map(float, values), strict=True))
