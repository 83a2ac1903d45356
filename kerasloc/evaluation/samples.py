"""Images that a trained model is evaluated on, and their batches."""

import dataclasses
import logging
import os
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from tqdm import tqdm

from kerasloc import boxes as box_tools
from kerasloc.configs import NetworkConfig
from kerasloc.data import config as data_config
from kerasloc.data.pipeline import PipelineConfig, batches
from kerasloc.data.problems import listing
from kerasloc.data.table import Table
from kerasloc.data.validate import naming_files
from kerasloc.evaluation.configs import EvaluationConfig, SampleConfig
from kerasloc.runs import changed_data, has_config, read_config

logger = logging.getLogger(__name__)


def table_of_run(
    folder: str | os.PathLike, network: NetworkConfig, config: SampleConfig
) -> Table:
    """Read and check the images of a split of a run's data, or of other data.

    Raises:
        ValueError: If there are no such images with the network's classes.
    """
    recorded = read_config(folder)["data"] if has_config(folder) else {}
    data = data_config.data_of_run(recorded, config.overrides)
    names, channels = network.class_names, network.channels
    table = data_config.read_table(data, names)
    if recorded and data == data_config.data_of_run(recorded, {}):
        _warn_of_changes(folder, data_config.record_table(data, table))
    return data_config.evaluation_table(data, config.split, names, channels, table)


def _warn_of_changes(folder: str | os.PathLike, record: Mapping) -> None:
    if changes := changed_data(folder, record):
        logger.warning(
            "The data of %s has changed since its training: %s. Images that it was "
            "trained on may be among those that are evaluated.",
            *(folder, "; ".join(changes)),
        )


def expect_best(config: EvaluationConfig) -> None:
    """Check that the checkpoint is ``best``, which alone most families keep."""
    if config.checkpoint != "best":
        raise ValueError(
            f"Expected the checkpoint best for this family. Received: checkpoint "
            f"{config.checkpoint}. Leave it out; a phase of an explainer-classifier is "
            "evaluated with --weights RUN/phase1-classifier."
        )


def draw_samples(table: Table, limit: int, seed: int) -> Table:
    """Draw at most ``limit`` images of a table; they stay in their order.

    Examples:
        >>> table = Table(["a.png", "b.png", "c.png"], ("cat",), np.ones((3, 1)))
        >>> len(draw_samples(table, 2, seed=0)), len(draw_samples(table, 9, seed=0))
        (2, 3)
    """
    order = np.random.default_rng(seed).permutation(len(table))
    return table.subset(np.sort(order[:limit]))


def first_of_each_class(labels: np.ndarray) -> np.ndarray:
    """Order images by their first class of labels (n, classes): classes take turns.

    Examples:
        >>> first_of_each_class(np.eye(3)[[0, 0, 2, 1]])
        array([0, 2, 3, 1])
    """
    index = labels.argmax(axis=1)
    before = np.cumsum(np.eye(labels.shape[1])[index], axis=0) - 1
    return np.argsort(before[np.arange(len(index)), index], kind="stable")


def positive_classes(table: Table) -> list[list[int]]:
    """List the classes of each image: those with boxes, or else the true ones.

    Examples:
        >>> boxes = [(0, 1, 1, 4, 4, 1)]
        >>> names, labels = ("cat", "dog"), [[1, 1], [1, 0]]
        >>> positive_classes(Table(["a.png", "b.png"], names, labels, boxes=boxes))
        [[1], [0]]
    """
    boxed: list[set[int]] = [set() for _ in range(len(table))]
    for row in table.boxes:
        boxed[int(row[0])].add(int(row[5]))
    labels = np.nan_to_num(table.labels) == 1
    true = (np.flatnonzero(row).tolist() for row in labels)
    return [sorted(classes) or rest for classes, rest in zip(boxed, true, strict=True)]


def true_classes(table: Table) -> list[list[int]]:
    """List the first true class of each image, or else the first with a box, if any.

    Examples:
        >>> true_classes(Table(["a.png", "b.png"], ("cat", "dog"), [[1, 1], [0, 0]]))
        [[0], []]
    """
    labels = np.nan_to_num(table.labels) == 1
    true = (np.flatnonzero(row).tolist() for row in labels)
    pairs = zip(true, positive_classes(table), strict=True)
    return [(classes or boxed)[:1] for classes, boxed in pairs]


def pick_samples(table: Table, names: Sequence[str | int] = ()) -> Table:
    """Pick images by name or index, in this order; else all, those with boxes first.

    Names are ends of paths, with or without extension.

    Raises:
        ValueError: If an image does not exist, or several have the name.

    Examples:
        >>> table = Table(["x/a.png", "x/b.png"], ("cat",), [[1], [0]])
        >>> pick_samples(table, ["b", 0]).paths.tolist()
        ['x/b.png', 'x/a.png']
    """
    if not names:
        boxed = np.isin(np.arange(len(table)), table.boxes[:, 0])
        return table.subset(np.argsort(~boxed, kind="stable"))
    requested = {_posix(name) for name in names}
    matches: dict[str, list[int]] = {}
    for row, path in enumerate(table.paths):
        for name in _names(str(path)) & requested:
            matches.setdefault(name, []).append(row)
    rows, problems = [], []
    for sample in names:
        name = _posix(sample)
        is_index = name.isdecimal() and int(name) < len(table)
        matched = matches.get(name, [int(name)] if is_index else [])
        rows += matched[:1]
        if not matched:
            problems.append(f"{sample}: no image has this name or index")
        elif len(matched) > 1:
            shown = ", ".join(table.paths[matched[:3]])
            problems.append(f"{sample}: {len(matched)} images have this name: {shown}")
    if problems:
        raise ValueError(
            "Expected file names, ends of paths, or indices from 0 to "
            f"{len(table) - 1}. Received:\n{listing(problems)}\nThe first image is "
            f"{table.paths[0]}."
        )
    return table.subset(rows)


def _posix(name: str | int) -> str:
    return str(name).replace("\\", "/").removeprefix("./")


def _names(path: str) -> set[str]:
    """Names of an image: every end of its path, with and without the extension."""
    folders = _posix(path).split("/")
    ends = ["/".join(folders[start:]) for start in range(len(folders))]
    return {*ends, *(os.path.splitext(end)[0] for end in ends)}


def read_batches(
    network: NetworkConfig,
    table: Table,
    fields: tuple[str, ...],
    batch_size: int,
    title: str,
) -> Iterator[dict[str, np.ndarray]]:
    """Yield images in [0, 1] and annotations batch by batch, with a progress bar.

    The ``fields`` are those of :class:`kerasloc.data.pipeline.PipelineConfig`.
    """
    config = PipelineConfig(network.im_size, network.channels, batch_size, fields)
    count = -(-len(table) // batch_size)
    data = batches(table, config)
    with naming_files([table], network.channels):
        for tensors in tqdm(data, title, count, unit="batch", leave=False):
            yield {name: tensor.numpy() for name, tensor in tensors.items()}


def boxes_of(padded: np.ndarray, index: int | None = None) -> np.ndarray:
    """Select the boxes x, y, w, h of an image, (k, 4), all or those of a class.

    ``padded`` are rows x, y, w, h, class in pixels, class -1 for padding.

    Examples:
        >>> boxes_of(np.array([[0, 1, 2, 3, 0], [4, 5, 6, 7, 1], [0, 0, 0, 0, -1]]), 1)
        array([[4, 5, 6, 7]])
    """
    chosen = padded[:, 4] >= 0 if index is None else padded[:, 4] == index
    return padded[chosen, :4]


def target_areas(masks: np.ndarray, boxes: Sequence[np.ndarray]) -> np.ndarray:
    """Return the mask of every image, or the area of its boxes, where it has no mask.

    Examples:
        >>> target_areas(np.zeros((1, 2, 3), bool), [np.array([[1, 0, 2, 1]])])
        array([[[False,  True,  True],
                [False, False, False]]])
    """
    boxed = np.stack([box_tools.to_mask(rows, masks.shape[1:]) for rows in boxes])
    return np.where(masks.any(axis=(1, 2), keepdims=True), masks, boxed)


def target_masks(batch: Mapping[str, np.ndarray], classes: np.ndarray) -> np.ndarray:
    """Return the areas of objects of one class per image, boolean (n, rows, cols)."""
    labels = np.nan_to_num(batch["labels"])
    only = labels[np.arange(len(classes)), classes] * labels.sum(axis=1) == 1
    pairs = zip(batch["boxes"], classes, strict=True)
    boxes = [boxes_of(padded, index) for padded, index in pairs]
    masks = batch["mask"] & only[:, None, None]  # a mask is of its image's class
    return target_areas(masks, boxes)


@dataclasses.dataclass(frozen=True, eq=False)
class BoxedImages:
    """Images in memory, with the boxes that maps are compared with.

    Examples:
        >>> boxes = np.array([[0, 1, 0, 2, 1, 0]])
        >>> samples = BoxedImages(np.zeros((1, 2, 3, 3)), boxes, [[0]], ("cat",), ["a"])
        >>> samples.pairs, int(samples.masks.sum()), samples.draw(6)
        ({(0, 0)}, 2, (array([0]), array([0])))
    """

    images: np.ndarray  # (n, rows, cols, channels) in [0, 1]
    boxes: np.ndarray  # rows image, x, y, w, h, class in pixels of these images
    classes: list[list[int]]  # of each image: those with boxes, or else the true ones
    class_names: tuple[str, ...]
    paths: list[str]

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the images."""
        return self.images.shape[1], self.images.shape[2]

    @property
    def pairs(self) -> set[tuple[int, int]]:
        """Indices of every image and class with a box."""
        return {(int(row[0]), int(row[5])) for row in self.boxes}

    def boxes_of(self, image: int, index: int) -> np.ndarray:
        """Select the boxes x, y, w, h of a class in an image, (k, 4)."""
        chosen = (self.boxes[:, 0] == image) & (self.boxes[:, 5] == index)
        return self.boxes[chosen, 1:5]

    def draw(self, limit: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Draw indices (k,) of images with boxes and of a class of each, in turns."""
        pairs = self.pairs
        order = np.random.default_rng(seed).permutation(len(self.images)).tolist()
        indices = sorted({index for _, index in pairs})
        queues = {k: [image for image in order if (image, k) in pairs] for k in indices}
        drawn: dict[int, int] = {}
        while len(drawn) < limit and any(queues.values()):
            for index, queue in queues.items():
                queue[:] = [image for image in queue if image not in drawn]
                if queue and len(drawn) < limit:
                    drawn[queue.pop(0)] = index
        return np.array(list(drawn), int), np.array(list(drawn.values()), int)

    @property
    def masks(self) -> np.ndarray:
        """Areas of the boxes, boolean (n, rows, cols, classes)."""
        masks = np.zeros((len(self.images), *self.size, len(self.class_names)), bool)
        for image, index in self.pairs:
            boxes = self.boxes_of(image, index)
            masks[image, :, :, index] = box_tools.to_mask(boxes, self.size)
        return masks


def read_boxed_images(
    network: NetworkConfig, table: Table, batch_size: int = 8
) -> BoxedImages:
    """Read the images of a table and their boxes at the size of a network.

    Raises:
        ValueError: If no image has a box.
    """
    images, rows = [], []
    fields = ("image", "boxes", "index")
    for batch in read_batches(network, table, fields, batch_size, "Reading"):
        images.append(batch["image"])
        for index, padded in zip(batch["index"], batch["boxes"], strict=True):
            boxes = padded[padded[:, 4] >= 0]
            rows.append(np.column_stack([np.full(len(boxes), index), boxes]))
    boxes = np.concatenate(rows)
    if not len(boxes):
        raise ValueError(
            f"Expected images with boxes. Received: {len(table)} images without. Use "
            "others with --data-dir, or AOPC: python scripts/compare_explanations.py."
        )
    names, paths = tuple(network.class_names), table.paths.tolist()
    stacked = np.concatenate(images)
    return BoxedImages(stacked, boxes, positive_classes(table), names, paths)
