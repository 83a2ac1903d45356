"""What a model shows and answers, batch by batch: by image and class, or by image."""

import dataclasses
import itertools
import os
import pathlib
from collections.abc import Iterator

import numpy as np
from tqdm import tqdm

from kerasloc.data.pipeline import PipelineConfig, batches
from kerasloc.data.table import Table
from kerasloc.evaluation.choice import (
    Choice,
    class_indices,
    picked,
    positive_classes,
    true_classes,
)
from kerasloc.metrics import locate_point, min_max
from kerasloc.plotting import HeatmapRow, ReportClass, ReportImage

FIELDS = ("image", "labels", "boxes", "index")
MANY_CLASSES = 16  # of more classes an image has only the likeliest on a report
LIKELIEST = 5


@dataclasses.dataclass(frozen=True, eq=False)
class Answer:
    """One class of one image.

    Attributes:
        shown: What a page or a report draws.
        path: Of the image.
        label: 1, 0 or NaN (unknown).
    """

    shown: HeatmapRow
    path: str
    label: float

    def record(self) -> dict:
        """The line of a table: image, class, label, probability, hit, x, y.

        Hit is 1, 0 or "-" (no box), an unknown label is "".
        """
        hit = self.shown.hit
        return {
            "image": self.path,
            "class": self.shown.title,
            "label": "" if np.isnan(self.label) else int(self.label),
            "probability": self.shown.probability,
            "hit": "-" if hit is None else int(hit),
            "x": self.shown.point[0],
            "y": self.shown.point[1],
        }


def rows_of(wrapper, table: Table, choice: Choice | None = None) -> Iterator[Answer]:
    """The rows of a model on a table, one after the other.

    Images are read, and maps made, batch by batch while the rows are taken; a bar
    shows how far they are. The maximum is that of the raw map, resized bilinearly
    (half-pixel centers) to the image's size; what is shown is the family's heat map,
    scaled by its own minimum and maximum.

    A wrapper with ``explanations`` has one map for all classes of an image: there is
    one row per image, of its true class, and the explanation is shown as it is.

    Args:
        wrapper: Of any family: ``config``, ``predict_proba``, ``maps`` and
            ``heatmaps`` are used.
        table: Images whose classes are the wrapper's, in its order.
        choice: Which; everything by default.

    Raises:
        ValueError: If there is no such image or class.
    """
    choice = choice or Choice()
    chosen = class_indices(choice.classes, table)
    table = picked(table, choice.images)
    classes = [chosen] * len(table) if chosen else _own_classes(wrapper, table)
    if choice.limit is not None:
        enough = np.cumsum([max(1, len(each)) for each in classes])
        count = int(np.searchsorted(enough, choice.limit)) + 1
        table, classes = table.subset(np.arange(len(table))[:count]), classes[:count]
    answers = _rows(_answered(wrapper, table, classes, choice), wrapper.config)
    return itertools.islice(answers, choice.limit)


def images_of(
    wrapper, table: Table, choice: Choice | None = None
) -> Iterator[ReportImage]:
    """The images of a report with what a model shows and answers, one after the other.

    Images and classes are chosen as for :func:`rows_of`; without ``choice.classes``
    the other classes follow, likeliest first, all of up to 16, five of more. Heat maps
    are the model's own, in [0, 1], not scaled by their minimum and maximum. A wrapper
    with ``abnormality_heatmaps`` shows these, a table with masks its masks.

    Args:
        wrapper: As for :func:`rows_of`.
        table: Images whose classes are the wrapper's, in its order.
        choice: Which; everything by default.

    Returns:
        Iterator of :class:`kerasloc.plotting.ReportImage`.

    Raises:
        ValueError: If there is no such image or class.
    """
    choice = choice or Choice()
    chosen = class_indices(choice.classes, table)
    table = picked(table, choice.images)
    table = table.subset(np.arange(len(table))[: choice.limit])
    classes = [chosen] * len(table) if chosen else _own_classes(wrapper, table)
    count = len(table.class_names)
    more = 0 if chosen else count if count <= MANY_CLASSES else LIKELIEST
    examples = _answered(wrapper, table, classes, choice, more)
    start = _shared_folders(table.paths)
    return (_report_image(example, wrapper.config, start) for example in examples)


def _answered(wrapper, table, classes, choice, more: int | None = None):
    """Every image, its labels and boxes, the answers, and the maps of its classes.

    Args:
        wrapper: Of any family.
        table: The images.
        classes: Of each image; where there is none, the likeliest.
        choice: How many at a time.
        more: How many of the likeliest are asked for besides, for a report, which has
            masks and abnormality, too; None for rows, which have neither.
    """
    network, fields = wrapper.config, FIELDS
    if more is not None and (table.masks != "").any():
        fields = (*FIELDS, "mask")
    config = PipelineConfig(
        network.im_size, network.channels, choice.batch_size, fields
    )
    count = -(-len(table) // choice.batch_size)
    data = batches(table, config)
    for tensors in tqdm(data, "Drawing heat maps", count, unit="batch", leave=False):
        batch = {key: value.numpy() for key, value in tensors.items()}
        batch["chances"] = wrapper.predict_proba(batch["image"], squeeze=False)
        if more is not None:
            batch |= _abnormality(wrapper, batch["image"])
        wanted = [
            _wanted(classes[index], chances, more or 0)
            for index, chances in zip(batch["index"], batch["chances"], strict=True)
        ]
        needed = sorted({one for some in wanted for one in some})
        maps = wrapper.maps(batch["image"], needed, squeeze=False)
        heatmaps = wrapper.heatmaps(batch["image"], needed, squeeze=False)
        for place, index in enumerate(batch["index"]):
            example = {key: value[place] for key, value in batch.items()}
            columns = [(one, needed.index(one)) for one in wanted[place]]
            example["maps"] = {one: maps[place, ..., at] for one, at in columns}
            example["heat"] = {one: heatmaps[place, ..., at] for one, at in columns}
            example["explained"] = _explains(wrapper)
            yield example | {"path": str(table.paths[index])}


def _own_classes(wrapper, table) -> list[list[int]]:
    """The classes of each image that are shown when none is asked for."""
    return true_classes(table) if _explains(wrapper) else positive_classes(table)


def _explains(wrapper) -> bool:
    """Whether an image has one map for all of its classes."""
    return hasattr(wrapper, "explanations")


def _wanted(own: list[int], chances, most: int) -> list[int]:
    """The classes of an image and then the likeliest ones; at least one."""
    likely = np.argsort(-chances, kind="stable")[: most or int(not own)]
    return [*own, *(int(one) for one in likely if one not in own)]


def _abnormality(wrapper, images) -> dict:
    """Heat maps (n, rows, cols) and probabilities (n,) of a wrapper that has them."""
    if not hasattr(wrapper, "abnormality_heatmaps"):
        return {}
    answer = {"abnormality": wrapper.abnormality_heatmaps(images, squeeze=False)}
    if hasattr(wrapper, "predict_abnormality"):
        chances = wrapper.predict_abnormality(images)
        answer["abnormality_chance"] = np.reshape(chances, len(images))
    return answer


def _located(example: dict, index: int):
    """Boxes of a class, where its raw map is highest, and whether it is in one."""
    boxes = example["boxes"][example["boxes"][:, 4] == index, :4]
    size = example["image"].shape[:2]
    return boxes, *locate_point(example["maps"][index], boxes, size)


def _rows(examples, network) -> Iterator[Answer]:
    """The rows of all images."""
    for example in examples:
        for index in example["maps"]:
            yield _answer(example, index, network.class_names)


def _answer(example: dict, index: int, names) -> Answer:
    """The row of one class."""
    boxes, point, hit = _located(example, index)
    path, heat = example["path"], example["heat"][index]
    note, likeliest = os.path.basename(path), int(example["chances"].argmax())
    if example["explained"] and likeliest != index:
        note = f"predicted: {names[likeliest]}; {note}"
    shown = HeatmapRow(
        image=example["image"],
        heat=heat if example["explained"] else min_max([heat])[0],
        boxes=boxes,
        title=names[index],
        probability=float(example["chances"][index]),
        hit=hit,
        point=point,
        note=note,
    )
    return Answer(shown, path, float(example["labels"][index]))


def _shared_folders(paths) -> int:
    """How many folders all paths begin with."""
    folders = [pathlib.PurePath(path).parts[:-1] for path in paths]
    levels = zip(*folders, strict=False)  # as deep as the shortest
    same = itertools.takewhile(lambda names: len(set(names)) == 1, levels)
    return len(list(same))


def _report_image(example: dict, network, start: int) -> ReportImage:
    """An image of a report with all of its classes, called by its path from start."""
    chances, boxes = example["chances"], example["boxes"]
    if network.multi_label:
        predicted = chances > network.thresholds
    else:
        predicted = np.arange(len(chances)) == chances.argmax()
    classes = []
    for index, heat in example["heat"].items():
        _, point, hit = _located(example, index)
        answer = float(chances[index]), float(example["labels"][index])
        said = bool(predicted[index])
        classes.append(ReportClass(index, heat, *answer, said, hit, point))
    chance = example.get("abnormality_chance")
    return ReportImage(
        image=example["image"],
        name="/".join(pathlib.PurePath(example["path"]).parts[start:]),
        classes=tuple(classes),
        boxes=boxes[boxes[:, 4] >= 0],
        abnormality=example.get("abnormality"),
        abnormality_probability=None if chance is None else float(chance),
        mask=example.get("mask"),
    )
