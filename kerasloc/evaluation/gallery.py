"""Galleries of heat maps: drawn pages with a table, and a page for a browser."""

import contextlib
import dataclasses
import itertools
import logging
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.special import expit

from kerasloc.checks import class_index
from kerasloc.configs import NetworkConfig
from kerasloc.data.table import Table
from kerasloc.evaluation.configs import DPI, GalleryConfig
from kerasloc.evaluation.samples import (
    boxes_of,
    pick_samples,
    positive_classes,
    read_batches,
    true_classes,
)
from kerasloc.io import atomic_write, write_csv, write_figure
from kerasloc.localizers import Localizer
from kerasloc.metrics import locate_point, min_max, resize_maps
from kerasloc.plotting import (
    HeatmapRow,
    ReportClass,
    ReportConfig,
    ReportImage,
    heatmap_page,
    write_report,
)

logger = logging.getLogger(__name__)

COLUMNS = ("image", "class", "label", "probability", "hit", "page", "row", "x", "y")
EXPLAINED = "The explanation, one for all classes, as the model answers it, from 0 to 1"
PATTERNS = ("page-[0-9][0-9][0-9]*.png", "heatmaps.pdf", "heatmaps.csv")
FIELDS = ("image", "labels", "boxes", "index")
CLASS_LIMIT = 16  # of more classes, html shows the likeliest only
LIKELIEST = 5


@dataclasses.dataclass(frozen=True, eq=False)
class Example:
    """An image with its annotations and the outputs of a model."""

    image: np.ndarray  # (rows, cols, channels) in [0, 1]
    path: str
    labels: np.ndarray  # (classes,): 1, 0 or NaN (unknown)
    boxes: np.ndarray  # rows x, y, w, h, class in pixels, class -1 for padding
    probabilities: np.ndarray
    maps: dict[int, np.ndarray]  # raw, by class index
    heat: dict[int, np.ndarray]  # in [0, 1], by class index
    mask: np.ndarray | None = None
    abnormality: np.ndarray | None = None  # heat map of "any class"
    abnormality_probability: float | None = None

    def locate(self, index: int) -> tuple[tuple[int, int], bool | None]:
        """Locate the maximum x, y of a class's raw map; tell whether it is in a box."""
        boxes = boxes_of(self.boxes, index)
        return locate_point(self.maps[index], boxes, self.image.shape[:2])


@dataclasses.dataclass(frozen=True, eq=False)
class GalleryRow:
    """One class of one image: its row of a page, and its path and label."""

    shown: HeatmapRow
    path: str
    label: float

    def record(self) -> dict[str, str | int | float]:
        """Return image, class, label, probability, hit, x and y as a line of a table.

        Hit is 1, 0 or "-" (no box); an unknown label is "".

        Examples:
            >>> image, point = np.zeros((4, 6)), (5, 0)
            >>> shown = HeatmapRow(image, image, [], "cat", 0.75, point=point)
            >>> list(GalleryRow(shown, "a.png", 1.0).record().values())
            ['a.png', 'cat', 1, 0.75, '-', 5, 0]
        """
        hit = self.shown.hit
        x, y = self.shown.point  # type: ignore[misc]  # of every row of a gallery
        return {
            "image": self.path,
            "class": self.shown.title,
            "label": "" if np.isnan(self.label) else int(self.label),
            "probability": self.shown.probability,
            "hit": "-" if hit is None else int(hit),
            "x": x,
            "y": y,
        }


def rows_of(
    wrapper: Localizer, table: Table, config: GalleryConfig | None = None
) -> Iterator[GalleryRow]:
    """Yield the rows of a model on a table, image by image.

    The maximum is that of the raw map, resized bilinearly (half-pixel centers) to the
    image; shown is the heat map, scaled by its own minimum and maximum. Explanations,
    one map for all classes, have one row, of the true class, and are not scaled.

    Raises:
        ValueError: If there is no such image or class.
    """
    config = config or GalleryConfig()
    table, classes = _choose(wrapper, table, config)
    if config.limit is not None:
        needed = np.cumsum([max(1, len(indices)) for indices in classes])
        count = int(np.searchsorted(needed, config.limit)) + 1
        table, classes = table.subset(np.arange(len(table))[:count]), classes[:count]
    examples = _examples(wrapper, table, classes, config.batch_size, FIELDS)
    rows = (
        _row(example, index, wrapper) for example in examples for index in example.maps
    )
    return itertools.islice(rows, config.limit)


def images_of(
    wrapper: Localizer, table: Table, config: GalleryConfig | None = None
) -> Iterator[ReportImage]:
    """Yield the images of an html page with their annotations and outputs.

    Images, classes and errors are those of :func:`rows_of`; without ``config.classes``
    the other classes follow, likeliest first, all of up to 16, five of more. Heat maps
    are not scaled.
    """
    config = config or GalleryConfig()
    table, classes = _choose(wrapper, table, config)
    table = table.subset(np.arange(len(table))[: config.limit])
    count = len(table.class_names)
    more = 0 if config.classes else count if count <= CLASS_LIMIT else LIKELIEST
    fields = (*FIELDS, "mask") if (table.masks != "").any() else FIELDS
    examples = _examples(wrapper, table, classes, config.batch_size, fields, more)
    folders = [pathlib.PurePath(path).parts[:-1] for path in table.paths]
    levels = zip(*folders, strict=False)  # as deep as the shortest
    shared = itertools.takewhile(lambda names: len(set(names)) == 1, levels)
    start = len(list(shared))
    return (_report_image(example, wrapper.config, start) for example in examples)


def _choose(
    wrapper: Localizer, table: Table, config: GalleryConfig
) -> tuple[Table, list[list[int]]]:
    names = dict.fromkeys(config.classes)
    named = [class_index(name, table.class_names) for name in names]
    table = pick_samples(table, config.images)
    if named:
        return table, [named] * len(table)
    choose = true_classes if hasattr(wrapper, "explanations") else positive_classes
    return table, choose(table)


def _examples(
    wrapper: Localizer,
    table: Table,
    classes: list[list[int]],
    batch_size: int,
    fields: tuple[str, ...],
    more: int = 0,
) -> Iterator[Example]:
    """Yield every image with its outputs, one forward pass per batch."""
    network = wrapper.config
    for batch in read_batches(network, table, fields, batch_size, "Drawing heat maps"):
        outputs = wrapper.forward(batch["image"])
        probabilities = outputs["probabilities"]
        chosen = [
            _with_likeliest(classes[index], row, more)
            for index, row in zip(batch["index"], probabilities, strict=True)
        ]
        needed = sorted(set(itertools.chain(*chosen)))
        maps = wrapper.maps_of(outputs, needed)
        heat = wrapper.heatmaps_of(outputs, needed)
        abnormality = {}
        if "abnormality_refined_maps" in outputs:
            refined = outputs["abnormality_refined_maps"][..., 0]
            abnormality = {
                "abnormality": resize_maps(refined, network.im_size),
                "abnormality_probability": expit(outputs["abnormality_logits"][:, 0]),
            }
        for number, index in enumerate(batch["index"]):
            columns = {c: needed.index(c) for c in chosen[number]}
            yield Example(
                batch["image"][number],
                str(table.paths[index]),
                batch["labels"][number],
                batch["boxes"][number],
                probabilities[number],
                {c: maps[number, ..., column] for c, column in columns.items()},
                {c: heat[number, ..., column] for c, column in columns.items()},
                batch["mask"][number] if "mask" in batch else None,
                **{name: values[number] for name, values in abnormality.items()},
            )


def _with_likeliest(
    classes: list[int], probabilities: np.ndarray, more: int
) -> list[int]:
    """Return the classes of an image and then the likeliest; at least one."""
    order = np.argsort(-probabilities, kind="stable")[: more or int(not classes)]
    return [*classes, *(int(index) for index in order if index not in classes)]


def _row(example: Example, index: int, wrapper: Localizer) -> GalleryRow:
    names, heat = wrapper.config.class_names, example.heat[index]
    point, hit = example.locate(index)
    note, likeliest = os.path.basename(example.path), example.probabilities.argmax()
    if not hasattr(wrapper, "explanations"):
        heat = min_max([heat])[0]
    elif likeliest != index:
        note = f"predicted: {names[likeliest]}; {note}"
    boxes, probability = boxes_of(example.boxes, index), example.probabilities[index]
    shown = HeatmapRow(
        example.image, heat, boxes, names[index], float(probability), hit, point, note
    )
    return GalleryRow(shown, example.path, float(example.labels[index]))


def _report_image(example: Example, network: NetworkConfig, start: int) -> ReportImage:
    probabilities = example.probabilities
    if network.multi_label:
        predicted = probabilities > network.thresholds
    else:
        predicted = np.arange(len(probabilities)) == probabilities.argmax()
    classes = []
    for index, heat in example.heat.items():
        point, hit = example.locate(index)
        probability, label = float(probabilities[index]), float(example.labels[index])
        likely = bool(predicted[index])
        classes.append(ReportClass(index, heat, probability, label, likely, hit, point))
    abnormality = example.abnormality_probability
    return ReportImage(
        image=example.image,
        name="/".join(pathlib.PurePath(example.path).parts[start:]),
        classes=tuple(classes),
        boxes=example.boxes[example.boxes[:, 4] >= 0],
        abnormality=example.abnormality,
        abnormality_probability=None if abnormality is None else float(abnormality),
        mask=example.mask,
    )


def write_pages(
    folder: pathlib.Path,
    wrapper: Localizer,
    table: Table,
    config: GalleryConfig,
    title: str,
    *,
    pdf: bool = False,
) -> None:
    """Write page-NUMBER.png and heatmaps.csv, and the pages as heatmaps.pdf.

    Files of an earlier call are removed; ``title`` is that of every page.

    Raises:
        ValueError: If there is no such image or class.
    """
    from matplotlib.backends.backend_pdf import PdfPages

    rows = rows_of(wrapper, table, config)
    folder.mkdir(parents=True, exist_ok=True)
    for path in itertools.chain(*map(folder.glob, PATTERNS)):
        path.unlink()
    records: list[dict[str, Any]] = []
    with contextlib.ExitStack() as stack:
        book = None
        if pdf:
            partial = stack.enter_context(atomic_write(folder / "heatmaps.pdf"))
            book = stack.enter_context(PdfPages(partial))
        chunks = iter(lambda: list(itertools.islice(rows, config.rows_per_page)), [])
        for page, chunk in enumerate(chunks, start=1):
            figure = heatmap_page([row.shown for row in chunk], f"{title}, page {page}")
            write_figure(folder / f"page-{page:03d}.png", figure, DPI)
            if book is not None:
                book.savefig(figure, dpi=2 * DPI)
            for number, row in enumerate(chunk, start=1):
                record = {**row.record(), "page": page, "row": number}
                records.append({name: record[name] for name in COLUMNS})
    write_csv(folder / "heatmaps.csv", records)
    hits = [record["hit"] for record in records if record["hit"] != "-"]
    logger.info("%d of %d rows with boxes are hits", sum(hits), len(hits))
    pages = records[-1]["page"]
    logger.info("%d rows on %d pages are in %s", len(records), pages, folder)


def write_html(
    folder: pathlib.Path,
    wrapper: Localizer,
    table: Table,
    config: GalleryConfig,
    title: str,
) -> None:
    """Write html/index.html and its pictures; arguments as of :func:`write_pages`."""
    network = wrapper.config
    thresholds = network.thresholds if network.multi_label else None
    report = ReportConfig(title, network.class_names, thresholds)
    if hasattr(wrapper, "explanations"):
        report = dataclasses.replace(report, scaling=EXPLAINED, attention="Explanation")
    images = images_of(wrapper, table, config)
    count = write_report(folder / "html", images, report)
    logger.info("%d images are in %s", count, folder / "html" / "index.html")
