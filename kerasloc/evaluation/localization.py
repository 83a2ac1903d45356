"""AUROC and localization of networks that answer with logits and maps.

Every figure has a bootstrap interval over images, and the maps stand next to a
control that knows nothing of the image: a bump in the middle.
"""

import contextlib
import dataclasses
import logging
import pathlib
import tempfile

import numpy as np
from scipy.special import expit
from tqdm import tqdm

from kerasloc.data.pipeline import PipelineConfig, batches
from kerasloc.evaluation.attention import (
    OVERLAPS,
    Overlaps,
    overlap_figures,
    overlap_row,
)
from kerasloc.evaluation.results import ResultTable
from kerasloc.evaluation.samples import EvaluationConfig, table_of_run
from kerasloc.io import write_csv, write_json
from kerasloc.localizers import load
from kerasloc.metrics import (
    auroc,
    average_precision,
    center_gaussian,
    iobb_accuracy,
    iou_accuracy,
    multi_label_report,
    point_localization,
)
from kerasloc.runs import weights_of_run

logger = logging.getLogger(__name__)

THRESHOLDS = (0.1, 0.25, 0.5)
IN_MEMORY = 2**28  # numbers; more maps than this are kept in a temporary file


@dataclasses.dataclass(frozen=True)
class Answers:
    """What a network says of a table.

    Attributes:
        logits: (n, classes).
        maps: Raw maps of the images with boxes, (k, rows, cols, classes).
        boxes: Rows image (0 to k - 1), x, y, w, h, class, in pixels of the network's
            images.
        overlaps: Of networks with refined maps: ``tiou`` and ``tior``, the overlaps
            that these are made of, (k, classes), NaN without a box; and those of a
            bump in the middle, ``center_tiou`` and ``center_tior``.
    """

    logits: np.ndarray
    maps: np.ndarray
    boxes: np.ndarray
    overlaps: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)


@contextlib.contextmanager
def answers(model, network, table, batch_size: int = 16):
    """A network's :class:`Answers`; its maps may lie in a file while it is open.

    Args:
        model: With outputs ``logits`` and ``maps``.
        network: Its :class:`~kerasloc.configs.NetworkConfig`.
        table: Images.
        batch_size: Images at a time.
    """
    config = PipelineConfig(
        size=network.im_size,
        channels=network.channels,
        batch_size=batch_size,
        fields=("image", "boxes", "index"),
        **normalization(network),
    )
    boxed = np.unique(table.boxes[:, 0].astype(int))
    number = {image: k for k, image in enumerate(boxed)}
    shape = (len(boxed), *model.output["maps"].shape[1:])
    logits, rows, overlaps = [], [], Overlaps(network)
    with contextlib.ExitStack() as stack:
        maps = _array(stack, shape)
        data = tqdm(
            batches(table, config),
            "Answering",
            -(-len(table) // batch_size),
            unit="batch",
            leave=False,
        )
        for element in data:
            outputs = model.predict_on_batch(element["image"])
            logits.append(np.asarray(outputs["logits"]))
            indices = element["index"].numpy()
            places = np.flatnonzero(np.isin(indices, boxed))
            if "refined_maps" in outputs and len(places):
                overlaps.add(outputs["refined_maps"], element["boxes"], places)
            for place in places:
                image = number[int(indices[place])]
                maps[image] = outputs["maps"][place]
                own = element["boxes"].numpy()[place]
                own = own[own[:, 4] >= 0]
                rows.append(np.column_stack([np.full(len(own), image), own]))
        boxes = np.concatenate(rows) if rows else np.empty((0, 6))
        yield Answers(np.concatenate(logits), maps, boxes, overlaps.found())


def _array(stack, shape) -> np.ndarray:
    if np.prod(shape) <= IN_MEMORY:
        return np.empty(shape, np.float32)
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    path = pathlib.Path(folder) / "maps.npy"
    return np.lib.format.open_memmap(path, "w+", np.float32, shape)


def measure(found: Answers, network, table) -> dict:
    """Every figure of a network on a table.

    Args:
        found: Its answers.
        network: Its classes, size and thresholds.
        table: The same images.

    Returns:
        ``classification`` (at the network's thresholds), ``auroc``,
        ``average_precision``; with boxes also ``point``, ``iobb``, ``iou`` and
        ``center_point``, the control, and of refined maps ``tiou``, ``tior``,
        ``center_tiou`` and ``center_tior``. See :mod:`kerasloc.metrics`.
    """
    labels, size = table.labels, network.im_size
    probabilities = expit(found.logits.astype(float))
    thresholds = np.broadcast_to(network.thresholds, network.num_classes)
    figures = {
        "classification": multi_label_report(
            labels, probabilities, network.class_names, thresholds
        ),
        "auroc": auroc(labels, found.logits, network.class_names),
        "average_precision": average_precision(
            labels, found.logits, network.class_names
        ),
    }
    if len(found.boxes):
        middle = center_gaussian(size)[None, :, :, None]
        middle = np.broadcast_to(middle, (len(found.maps), *size, network.num_classes))
        figures |= {
            "point": point_localization(found.maps, found.boxes, size),
            "iobb": iobb_accuracy(found.maps, found.boxes, size, THRESHOLDS),
            "iou": iou_accuracy(found.maps, found.boxes, size, THRESHOLDS),
            "center_point": point_localization(middle, found.boxes, size),
        }
    return figures | overlap_figures(found.overlaps)


def rows(figures: dict, class_names) -> list[dict]:
    """The table of all figures: a row per class, then macro, micro and weighted.

    For localization, micro and weighted are the mean over all pairs of an image and
    a class with boxes.

    Args:
        figures: As from :func:`measure`.
        class_names: In their order.
    """
    answer = []
    for place, name in [*enumerate(class_names), *zip(AVERAGES, AVERAGES, strict=True)]:
        row = {"class": name, **_support(figures, place)}
        for key in ("auroc", "average_precision", "point", "center_point"):
            if key in figures:
                row |= _figure(key, figures[key], place)
        for key in OVERLAPS:
            if key in figures:
                row |= overlap_row(key, figures[key], place)
        for key in ("iobb", "iou"):
            if key in figures:
                values = _pick(figures[key], place)
                row |= {
                    f"{key}_{threshold:g}": float(value)
                    for threshold, value in zip(THRESHOLDS, values, strict=True)
                }
        answer.append(row)
    return answer


AVERAGES = ("macro", "micro", "weighted")


def _pick(figure: dict, place):
    """The value of a class (by number) or of an average (by name)."""
    if isinstance(place, str):
        known = place if place in figure else "weighted"
        return figure[known]
    return figure["per_class"][..., place]


def _figure(key: str, figure: dict, place) -> dict:
    around = figure["intervals"]
    if isinstance(place, str):
        low, high = around[place if place in around else "weighted"]
    else:
        low, high = around["per_class"][place]
    names = (key, f"{key}_low", f"{key}_high")
    values = (_pick(figure, place), low, high)
    return dict(zip(names, map(float, values), strict=True))


def _support(figures: dict, place) -> dict:
    """How many images, positives and pairs a row rests on."""
    counts = {
        "images": figures["auroc"]["count"],
        "positives": figures["auroc"]["positives"],
    }
    if "point" in figures:
        counts["pairs"] = figures["point"]["count"]
    if isinstance(place, str):
        totals = {name: int(np.sum(count)) for name, count in counts.items()}
        return totals | {"images": figures["classification"]["count"]}
    return {name: int(count[place]) for name, count in counts.items()}


TITLES = {
    "auroc": "AUROC",
    "tiou": "TIoU",
    "center_tiou": "center",
    "tior": "TIoR",
    "center_tior": "center",
    "point": "point accuracy",
    "center_point": "center",
}


def text(table: list[dict]) -> str:
    """The table for a terminal, with 95 % bootstrap intervals over images."""
    width = max(len(row["class"]) for row in table)
    columns = [k for k in TITLES if k in table[0]]
    shares = [k for k in table[0] if k.startswith(("iobb_", "iou_"))]
    head = f"{'':{width}s} positives  " + "  ".join(
        f"{TITLES[key]:20s}" for key in columns
    )
    lines = [head + "  ".join(f"{key:>9s}" for key in shares)]
    for row in table:
        cells = [
            f"{row[key]:.3f} [{row[f'{key}_low']:.3f}, {row[f'{key}_high']:.3f}]"
            for key in columns
        ]
        line = f"{row['class']:{width}s} {row['positives']:9d}  "
        line += "  ".join(f"{cell:20s}" for cell in cells)
        lines.append(line + "  ".join(f"{row[key]:9.3f}" for key in shares))
    return "\n".join(lines)


def write(
    folder, figures: dict, class_names, title=("evaluation", "test")
) -> list[dict]:
    """Writes the tables of a run; the rows.

    Args:
        folder: Of the run.
        figures: As from :func:`measure`.
        class_names: In their order.
        title: Name of the folder in it that the tables go to, and split of the images.
    """
    measured = rows(figures, class_names)
    name, split = title
    place = pathlib.Path(folder) / name
    place.mkdir(parents=True, exist_ok=True)
    write_csv(place / "metrics.csv", measured)
    count = figures["classification"]["count"]
    everything = {"split": split, "images": count, "rows": measured, **figures}
    write_json(place / "evaluation.json", everything)
    logger.info("%s: %d %s images\n%s", folder, count, split, text(measured))
    return measured


def evaluate_maps(folder: pathlib.Path, config: EvaluationConfig) -> ResultTable:
    """Measure a run of a network with logits and maps.

    Args:
        folder: Run folder.
        config: Options.

    Returns:
        A table of classes and their averages.
    """
    wrapper = load(
        folder
        if config.checkpoint == "best"
        else weights_of_run(folder, config.checkpoint)
    )
    model, network = wrapper.model, wrapper.config
    table = table_of_run(folder, network, config)
    with answers(model, network, table, config.batch_size) as found:
        figures = measure(found, network, table)
    title = config.folder, config.split
    measured = write(folder, figures, network.class_names, title)
    shares = [k for k in measured[0] if k.startswith(("iobb_", "iou_"))]
    titles = {"positives": "positives", **TITLES, **{key: key for key in shares}}
    return ResultTable.from_rows(measured, titles)


def normalization(network) -> dict:
    """Mean and deviation of a pipeline."""
    if set(network.mean) == {0.0} and set(network.std) == {1.0}:
        return {"mean": None, "std": None}
    return {
        name: tuple(np.broadcast_to(getattr(network, name), network.channels).tolist())
        for name in ("mean", "std")
    }
