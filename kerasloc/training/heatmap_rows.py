"""What a model shows and answers, a row for every image and class, batch by batch."""

import dataclasses
import itertools
import os
from collections.abc import Iterator

import numpy as np
from tqdm import tqdm

from kerasloc.data.pipeline import PipelineConfig, batches
from kerasloc.data.tables import Table, listing
from kerasloc.metrics import min_max, resize_maps
from kerasloc.plotting import HeatmapRow


@dataclasses.dataclass(frozen=True)
class Choice:
    """Which rows there are.

    Attributes:
        images: File names (also without folder or ending, or with more of the path),
            or indices in the table, in the order that the rows are to have; all when
            empty, those with boxes first.
        classes: Names, for every image these. When empty those that the image has
            boxes of; without boxes the true ones, without these the likeliest one.
        limit: How many rows there are at most.
        batch_size: Images at a time.
    """

    images: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    limit: int | None = None
    batch_size: int = 16

    def __post_init__(self):
        if self.limit is not None and self.limit < 1:
            raise ValueError(
                f"limit is a positive number of rows. Received: {self.limit}. Leave "
                "it out for all."
            )
        if self.batch_size < 1:
            raise ValueError(f"batch_size is positive. Received: {self.batch_size}.")


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

    Args:
        wrapper: Of any family: ``config``, ``predict_proba``, ``maps`` and
            ``heatmaps`` are used.
        table: Images whose classes are the wrapper's, in its order.
        choice: Which; everything by default.

    Raises:
        ValueError: If there is no such image or class.
    """
    choice = choice or Choice()
    chosen = _classes_of(choice.classes, table)
    table = picked(table, choice.images)
    classes = [chosen] * len(table) if chosen else positive_classes(table)
    if choice.limit is not None:
        enough = np.cumsum([max(1, len(each)) for each in classes])
        count = int(np.searchsorted(enough, choice.limit)) + 1
        table, classes = table.subset(np.arange(len(table))[:count]), classes[:count]
    return itertools.islice(_answers(wrapper, table, classes, choice), choice.limit)


def picked(table: Table, images=()) -> Table:
    """The table of the images that are asked for.

    Args:
        table: The images.
        images: As in :class:`Choice`.

    Raises:
        ValueError: If one is not there, or one name is that of several.
    """
    if not images:
        boxed = np.isin(np.arange(len(table)), table.boxes[:, 0])
        return table.subset(np.argsort(~boxed, kind="stable"))
    asked = {_normal(one) for one in images}
    places, problems = {}, []
    for row, path in enumerate(table.paths):
        for name in _names(str(path)) & asked:
            places.setdefault(name, []).append(row)
    rows = [places.get(_normal(one), _as_index(one, len(table))) for one in images]
    for one, found in zip(images, rows, strict=True):
        if not found:
            problems.append(f"{one}: no image has this name or index")
        elif len(found) > 1:
            some = ", ".join(table.paths[found[:3]])
            problems.append(f"{one}: {len(found)} images have this name: {some}")
    if problems:
        raise ValueError(
            "Images are picked by file name, by the end of a path, or by an index from "
            f"0 to {len(table) - 1}. Received:\n{listing(problems)}\nThe first image "
            f"is {table.paths[0]}."
        )
    return table.subset([found[0] for found in rows])


def positive_classes(table: Table) -> list[list[int]]:
    """The classes of each image: those with boxes, or else the true ones."""
    boxed = [set() for _ in range(len(table))]
    for row in table.boxes:
        boxed[int(row[0])].add(int(row[5]))
    labels = np.nan_to_num(table.labels) == 1
    true = (np.flatnonzero(row).tolist() for row in labels)
    return [sorted(some) or other for some, other in zip(boxed, true, strict=True)]


def point_and_hit(resized, boxes) -> tuple[tuple[int, int], bool | None]:
    """Where a map is highest, x and y, and whether that is in a box.

    Args:
        resized: Raw map at the image's size, (rows, cols); the first of equal maxima
            counts, row by row.
        boxes: Rows x, y, w, h, pixels; their borders are inside. None, no hit or miss.
    """
    y, x = (int(one) for one in np.unravel_index(resized.argmax(), resized.shape))
    if not len(boxes):
        return (x, y), None
    left, top, width, height = np.reshape(boxes, (-1, 4)).T
    across = (left <= x) & (x <= left + width)
    return (x, y), bool((across & (top <= y) & (y <= top + height)).any())


def _classes_of(names, table: Table) -> list[int]:
    """Indices of classes by their names."""
    known = table.class_names
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(
            f"Classes are among {', '.join(known[:20])}. Received: "
            f"{', '.join(map(repr, unknown))}."
        )
    return [known.index(name) for name in dict.fromkeys(names)]


def _answers(wrapper, table, classes, choice) -> Iterator[Answer]:
    """The rows of all images."""
    network = wrapper.config
    fields = ("image", "labels", "boxes", "index")
    config = PipelineConfig(
        network.im_size, network.channels, choice.batch_size, fields
    )
    count = -(-len(table) // choice.batch_size)
    data = batches(table, config)
    for tensors in tqdm(data, "Drawing heat maps", count, unit="batch", leave=False):
        batch = {key: value.numpy() for key, value in tensors.items()}
        chances = wrapper.predict_proba(batch["image"], squeeze=False)
        wanted = [
            classes[index] or [int(chance.argmax())]
            for index, chance in zip(batch["index"], chances, strict=True)
        ]
        needed = sorted({one for some in wanted for one in some})
        maps = wrapper.maps(batch["image"], needed, squeeze=False)
        heatmaps = wrapper.heatmaps(batch["image"], needed, squeeze=False)
        for place, index in enumerate(batch["index"]):
            example = {key: value[place] for key, value in batch.items()}
            example |= {"chances": chances[place], "path": str(table.paths[index])}
            for one in wanted[place]:
                column = needed.index(one)
                pair = maps[place, ..., column], heatmaps[place, ..., column]
                yield _answer(example, one, network.class_names[one], pair)


def _answer(example: dict, index: int, name: str, maps) -> Answer:
    """The row of one class; maps are the raw one and the heat map."""
    raw, heat = maps
    boxes = example["boxes"][example["boxes"][:, 4] == index, :4]
    point, hit = point_and_hit(resize_maps(raw, example["image"].shape[:2]), boxes)
    path = example["path"]
    shown = HeatmapRow(
        image=example["image"],
        heat=min_max([heat])[0],
        boxes=boxes,
        title=name,
        probability=float(example["chances"][index]),
        hit=hit,
        point=point,
        note=os.path.basename(path),
    )
    return Answer(shown, path, float(example["labels"][index]))


def _normal(name) -> str:
    return str(name).replace("\\", "/").removeprefix("./")


def _names(path: str) -> set[str]:
    """What an image may be called: every end of its path, also without its ending."""
    parts = _normal(path).split("/")
    ends = ["/".join(parts[start:]) for start in range(len(parts))]
    return {*ends, *(os.path.splitext(end)[0] for end in ends)}


def _as_index(name, count: int) -> list[int]:
    """The one row of an index, none for what is no index."""
    text = str(name)
    return [int(text)] if text.isdecimal() and int(text) < count else []
