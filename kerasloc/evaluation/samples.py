"""Images that a trained model is evaluated on, and their batches."""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from kerasloc import boxes as box_tools
from kerasloc.configs import NetworkConfig, check_rules, option
from kerasloc.data import config as data_config
from kerasloc.data.datasets import READERS
from kerasloc.data.pipeline import PipelineConfig, batches
from kerasloc.data.table import Table
from kerasloc.evaluation.choice import positive_classes
from kerasloc.runs import has_config, read_config

SPLITS = ("test", "val")
CHECKPOINTS = ("best", "best-auroc", "best-tiou", "best-tior", "last")


@dataclasses.dataclass(frozen=True)
class SampleConfig:
    """Images of a run's data, or of other data in its place.

    The help texts of the fields (``metadata``) describe them.

    Raises:
        ValueError: If the split is unknown.
    """

    data_dir: str | None = option(
        None,
        "Folder of the images, or csv file (default: data of the run, from its "
        "config.json).",
    )
    dataset: str | None = option(
        None,
        "Kind of the data in --data-dir (default: csv for a file, folders for a "
        "folder).",
        choices=tuple(READERS),
    )
    image_dir: str | None = option(
        None, "Folder of the csv's images (default: the csv's)."
    )
    split: str = option("test", "Split of the data.", choices=SPLITS)
    on_error: str | None = option(
        None,
        "Treatment of broken images: stop, or leave out and count (default: as in "
        "training).",
        choices=("raise", "skip"),
    )

    def __post_init__(self) -> None:
        check_rules(
            {f"a split of {', '.join(SPLITS)}": self.split in SPLITS}, self.split
        )

    @property
    def overrides(self) -> Mapping[str, Any]:
        """Options that replace those of the run; see ``data_of_run``."""
        return {key: value for key, value in vars(self).items() if value is not None}


@dataclasses.dataclass(frozen=True)
class EvaluationConfig(SampleConfig):
    """Options of the evaluation of a run.

    The help texts of the fields (``metadata``) describe them.

    Raises:
        ValueError: If a value is out of its range.

    Examples:
        >>> EvaluationConfig(split="val", checkpoint="last").folder
        'evaluation-val-last'
    """

    checkpoint: str = option(
        "best",
        "Weights of the run; HAM keeps one checkpoint for each score.",
        choices=CHECKPOINTS,
    )
    batch_size: int = option(16, "Number of images in a batch.")
    aopc_images: int = option(
        32, "Number of images that AOPC of an explainer-classifier is measured on."
    )
    figures: int = option(
        2, "Number of images whose refinement is drawn (HRCAM's full model)."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        rules = {
            "aopc_images of at least 0": self.aopc_images >= 0,
            "batch_size of at least 1": self.batch_size >= 1,
        }
        check_rules(
            rules, f"aopc_images={self.aopc_images}, batch_size={self.batch_size}"
        )

    @property
    def folder(self) -> str:
        """Name of the folder in the run that the results are written to."""
        names = ["evaluation"]
        names += [] if self.split == "test" else [self.split]
        names += [] if self.checkpoint == "best" else [self.checkpoint]
        return "-".join(names)


def table_of_run(
    folder: str | os.PathLike, network: NetworkConfig, config: SampleConfig
) -> Table:
    """Read and check the images of a split of a run's data, or of other data.

    Args:
        folder: Run folder; a folder without a configuration has no data.
        network: Network that the classes and channels are those of.
        config: Options.

    Raises:
        ValueError: If there are no such images.
    """
    recorded = read_config(folder)["data"] if has_config(folder) else {}
    data = data_config.data_of_run(recorded, config.overrides)
    names, channels = network.class_names, network.channels
    return data_config.evaluation_table(data, config.split, names, channels)


@dataclasses.dataclass(frozen=True, eq=False)
class Looked:
    """Images that maps are measured on.

    Attributes:
        images: (n, rows, cols, channels) in [0, 1].
        boxes: Rows image, x, y, w, h, class in pixels of these images.
        classes: Those of each image with boxes, or else its true ones.
        names: Of the classes that there are.
        paths: Of the images.
    """

    images: np.ndarray
    boxes: np.ndarray
    classes: list[list[int]]
    names: tuple[str, ...]
    paths: list[str]

    @property
    def count(self) -> int:
        """Classes that there are."""
        return len(self.names)

    @property
    def pairs(self) -> set[tuple[int, int]]:
        """Every image and class with a box."""
        return {(int(row[0]), int(row[5])) for row in self.boxes}

    def boxes_of(self, place: int, index: int) -> np.ndarray:
        """Boxes x, y, w, h of a class in an image, (k, 4)."""
        own = (self.boxes[:, 0] == place) & (self.boxes[:, 5] == index)
        return self.boxes[own, 1:5]

    def spread(self, most: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Images with boxes, drawn, and a class of each; the classes take turns.

        Args:
            most: Images at most.
            seed: Of the draw.

        Returns:
            Places (k,) and classes (k,).
        """
        pairs = self.pairs
        order = np.random.default_rng(seed).permutation(len(self.images)).tolist()
        queues = {
            index: [place for place in order if (place, index) in pairs]
            for index in sorted({index for _, index in pairs})
        }
        taken = {}
        while len(taken) < most and any(queues.values()):
            for index, queue in queues.items():
                queue[:] = [place for place in queue if place not in taken]
                if queue and len(taken) < most:
                    taken[queue.pop(0)] = index
        return np.array(list(taken), int), np.array(list(taken.values()), int)

    @property
    def masks(self) -> np.ndarray:
        """What boxes cover, boolean (n, rows, cols, classes)."""
        size = self.images.shape[1:3]
        masks = np.zeros((len(self.images), *size, self.count), bool)
        for image, index in self.pairs:
            own = self.boxes_of(image, index)
            masks[image, :, :, index] = box_tools.to_mask(own, size)
        return masks


def look(wrapper, table: Table, batch_size: int = 8) -> Looked:
    """The images of a table as a wrapper takes them.

    Args:
        wrapper: Of any family.
        table: Its classes in the wrapper's order.
        batch_size: Images read at a time.

    Raises:
        ValueError: If no image has a box.
    """
    network = wrapper.config
    settings = PipelineConfig(
        network.im_size, network.channels, batch_size, ("image", "boxes")
    )
    images, rows = [], []
    for element in batches(table, settings):
        for padded in element["boxes"].numpy():
            own = padded[padded[:, 4] >= 0]
            rows.append(np.column_stack([np.full(len(own), len(rows)), own]))
        images.append(element["image"].numpy())
    boxes = np.concatenate(rows)
    if not len(boxes):
        raise ValueError(
            f"Maps are measured against boxes. Received: {len(table)} images without "
            "any. Give others with --data-dir, or compare AOPC alone: python "
            "scripts/compare_explanations.py."
        )
    classes, names = positive_classes(table), tuple(network.class_names)
    return Looked(np.concatenate(images), boxes, classes, names, table.paths.tolist())


def first_of_each_class(labels) -> np.ndarray:
    """Rows in an order in which the classes take turns.

    Args:
        labels: (n, classes), 0 or 1; the first class of a row counts.
    """
    index = labels.argmax(axis=1)
    before = np.cumsum(np.eye(labels.shape[1])[index], axis=0) - 1
    return np.argsort(before[np.arange(len(index)), index], kind="stable")
