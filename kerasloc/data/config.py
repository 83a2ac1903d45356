"""Data of a run: its configuration, and checked tables for training and evaluation.

``class_names`` are those of a trained network, in its order; None for the data's.
"""

import dataclasses
import logging
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kerasloc.configs import check_rules, option, select_fields
from kerasloc.data import SyntheticConfig, default_folder, default_polygons, splits
from kerasloc.data.datasets import READERS, read_dataset
from kerasloc.data.digest import digest
from kerasloc.data.headers import MAX_PIXELS
from kerasloc.data.problems import check_bits
from kerasloc.data.synthetic import MULTI_LABEL
from kerasloc.data.table import Table, only_classes
from kerasloc.data.validate import check

PATHS = ("data_dir", "image_dir", "image_sets")
# fields that describe one data_dir and do not apply to another
OF_DATA_DIR = (*PATHS[1:], "dataset", "protocol", "uncertain", "classes", "bits")

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Images of a run, and how they are split; the fields' help describes them.

    Paths become absolute.

    Raises:
        ValueError: If both ``image_sets`` and ``protocol`` are set.

    Examples:
        >>> DataConfig("/data/animals", val_share=0.1).name
        'animals'
    """

    data_dir: str = option(
        dataclasses.MISSING,
        "Folder with train/CLASS/*.jpg (and test/, val/), csv file with the columns "
        "image and label (and split, group, mask, x, y, w, h and box_label), or folder "
        "of a --dataset (default: synthetic images, made in data/).",
    )
    image_dir: str | None = option(
        None, "Folder of the csv's images (default: the csv's)."
    )
    val_share: float = option(
        0.2, "Share of the training images kept for validation if there is no val/."
    )
    on_error: str = option(
        "raise",
        "Treatment of broken images: stop, or leave out and count.",
        choices=("raise", "skip"),
    )
    seed: int = option(0, "Seed of everything random.")
    dataset: str | None = option(
        None,
        "Kind of the data (default: csv for a file, folders for a folder).",
        choices=tuple(READERS),
    )
    image_sets: str | None = option(
        None,
        "Folder of lists train.txt, val.txt, test.txt, annotated.txt, such as "
        "utils/make_splits.py writes (with --folds: of folders fold0, fold1, ...).",
    )
    protocol: str | None = option(
        None,
        "Published way to split: the official lists; five folds of all images; "
        "training on images without boxes; five folds of the images with boxes.",
        choices=splits.PROTOCOLS,
    )
    fold: int | None = option(None, "Fold of the protocol, 0 to 4 (default: 0).")
    box_share: float | None = option(
        None,
        "Share of the training images with boxes whose boxes are learned from: 0 for "
        "labels alone, 1 for all (default: 1).",
    )
    uncertain: str | None = option(
        None,
        "Replacement of CheXpert's uncertain labels (default: unknown).",
        choices=("unknown", "ones", "zeros"),
    )
    classes: tuple[str, ...] | None = option(
        None, "Classes of which images have exactly one, single-label (default: all)."
    )

    bits: int | None = option(
        None,
        "Bits of the levels in 16-bit files, such as 12 if they end at 4095 "
        "(default: 16).",
    )
    max_megapixels: float = option(
        MAX_PIXELS / 1e6, "Largest image or mask, in million pixels."
    )

    def __post_init__(self) -> None:
        check_bits(self.bits)
        check_rules({"max_megapixels above 0": self.max_megapixels > 0}, self)
        if self.protocol is not None and self.image_sets is not None:
            raise ValueError(
                "Expected lists that are either read or made. Received: image_sets="
                f"{self.image_sets} and protocol={self.protocol}. Leave one out."
            )
        classes = tuple(self.classes or ()) or None  # json has lists
        object.__setattr__(self, "classes", classes)
        for name in PATHS:  # a run may be resumed from another working directory
            if (path := getattr(self, name)) is not None:
                path = pathlib.Path(path).expanduser().resolve()
                object.__setattr__(self, name, str(path))

    @property
    def max_pixels(self) -> int:
        """Largest number of pixels of an image."""
        return int(self.max_megapixels * 1e6)

    @property
    def name(self) -> str:
        """Name of the folder or file, without its extension."""
        return pathlib.Path(self.data_dir).stem


def data_of_run(recorded: Mapping, overrides: Mapping[str, Any]) -> DataConfig:
    """Return the data that a run was trained on, or other data in its place.

    Args:
        recorded: Data of the run; its seed stays, so that the same images are held out.
        overrides: Options by name; those that are no field are ignored. A new
            ``data_dir`` drops all fields that describe the recorded one; without it
            the recorded ``classes`` stay.

    Raises:
        ValueError: If neither has a ``data_dir``.

    Examples:
        >>> recorded = {"data_dir": "/data/a.csv", "image_dir": "/images", "seed": 3}
        >>> data_of_run(recorded, {"val_share": 0.1}).image_dir
        '/images'
        >>> data_of_run(recorded, {"data_dir": "/data/b.csv"}).image_dir
    """
    values = dict(recorded) | dict(overrides)
    if "data_dir" in overrides:
        values |= {name: overrides.get(name) for name in OF_DATA_DIR}
    else:
        values["classes"] = recorded.get("classes")
    values["seed"] = recorded.get("seed", overrides.get("seed", 0))
    if values.get("data_dir") is None:
        raise ValueError("Expected a data_dir. Received: no data. Give --data-dir.")
    return DataConfig(**select_fields(DataConfig, values))


def embedded_data(multi_label: bool = False) -> dict[str, str]:
    """Return fields for the embedded data, one object per image or any number.

    The images are written to ``data/`` if absent.
    """
    config = SyntheticConfig(most_objects=MULTI_LABEL if multi_label else 1)
    folder = str(default_folder(config=config).resolve())
    return {"data_dir": folder, "dataset": "csv" if multi_label else "folders"}


def embedded_polygons() -> dict[str, str]:
    """Return fields for the embedded polygons, written to ``data/`` if absent."""
    return {"data_dir": str(default_polygons().resolve()), "dataset": "folders"}


def is_embedded(data_dir: str | os.PathLike) -> bool:
    """Return whether a path is that of the embedded data with one object per image."""
    return pathlib.Path(data_dir).name == SyntheticConfig().name


def read_table(config: DataConfig, class_names: Sequence[str] | None = None) -> Table:
    """Read all images of the data with their splits, unchecked.

    Raises:
        ValueError: If the data is missing, malformed, or lacks the classes.
    """
    if config.classes is not None:
        names = config.classes if class_names is None else tuple(class_names)
        if sorted(names) != sorted(config.classes):
            raise ValueError(
                f"Expected --classes to be those of the network, {', '.join(names)}. "
                f"Received: {', '.join(config.classes)}. Leave it out, or name these."
            )
        everything = dataclasses.replace(config, classes=None)
        return only_classes(read_table(everything), names)
    path = pathlib.Path(config.data_dir)
    name = config.dataset or ("csv" if path.suffix.lower() == ".csv" else "folders")
    options = {
        "image_dir": config.image_dir,
        "on_error": config.on_error,
        "uncertain": config.uncertain,
        # HAM's files hold lists themselves, which these replace
        "image_sets": config.image_sets if name == "ham" else None,
    }
    table = read_dataset(name, path, class_names, **options)
    table = dataclasses.replace(table, bits=config.bits)
    if config.protocol is not None:
        fold = config.fold or 0
        lists = splits.make_lists(table, config.protocol, fold, config.seed)
        return splits.apply_lists(table, lists)
    if config.image_sets is not None and name != "ham":
        lists = splits.read_lists(config.image_sets)
        return splits.apply_lists(table, lists, config.on_error)
    return table


def record_table(config: DataConfig, table: Table) -> dict[str, dict[str, list]]:
    """Return the record of a table as read; see :func:`kerasloc.data.digest.digest`."""
    drawn = config.box_share is not None or not (table.splits == "val").any()
    return digest(table, ordered=drawn)


def training_tables(
    config: DataConfig,
    channels: int = 3,
    class_names: Sequence[str] | None = None,
    table: Table | None = None,
) -> dict[str, Table]:
    """Read and check ``train`` and ``val`` tables; test images are not opened.

    ``table`` is the result of :func:`read_table`, if the data has been read.

    Raises:
        ValueError: If files are broken, splits overlap, or there are no train images.
    """
    table = read_table(config, class_names) if table is None else table
    if not (table.splits != "").any():  # a csv without a split column
        table = dataclasses.replace(table, splits=np.full(len(table), "train"))
    _check_split(config, table, "train")
    table = table.subset((table.splits == "train") | (table.splits == "val"))
    table, _ = check(
        table, config.on_error, channels=channels, max_pixels=config.max_pixels
    )
    if not (table.splits == "val").any():
        table = splits.cut_validation(table, config.val_share, config.seed)
        logger.warning(
            "%s has no validation images: %d of %d training images are kept for "
            "validation (--val-share %g, --seed %d)",
            *(config.data_dir, (table.splits == "val").sum(), len(table)),
            *(config.val_share, config.seed),
        )
    if config.box_share is not None:
        table = splits.keep_boxes(table, config.box_share, config.seed)
    return {name: table.split(name) for name in ("train", "val")}


def evaluation_table(
    config: DataConfig,
    split: str,
    class_names: Sequence[str],
    channels: int = 3,
    table: Table | None = None,
) -> Table:
    """Read and check one split: ``test``, or the ``val`` images held out in training.

    ``table`` is the result of :func:`read_table`, if the data has been read.

    Raises:
        ValueError: If the split is empty, or files are broken (and not skipped).
    """
    table = read_table(config, class_names) if table is None else table
    if split == "val" and (table.splits == "train").any():
        return training_tables(config, channels, class_names, table)["val"]
    _check_split(config, table, split)
    table = table.split(split)
    limit = config.max_pixels
    return check(table, config.on_error, channels=channels, max_pixels=limit)[0]


def _check_split(config: DataConfig, table: Table, split: str) -> None:
    if not (table.splits == split).any():
        raise ValueError(
            f"Expected {split} images. Received: {config.data_dir} without any. "
            f"Put them in {split}/CLASS/, or write {split} in the csv's column split."
        )


def has_validation(
    config: DataConfig, class_names: Sequence[str] | None = None
) -> bool:
    """Return whether there are ``val`` images, or ``train`` images to cut them from."""
    return bool(np.isin(read_table(config, class_names).splits, ("train", "val")).any())


def check_class_count(table: Table, expected: int | None) -> None:
    """Raise a ValueError if a number of classes is expected and the data's differs."""
    names = table.class_names
    if expected is not None and expected != len(names):
        raise ValueError(
            f"Expected --num-classes of the data, {len(names)} here "
            f"({', '.join(names[:10])}). Received: {expected}. Leave it out."
        )


def check_same_classes(table: Table, expected: Sequence[str]) -> None:
    """Raise a ValueError unless the data has a network's classes, in their order."""
    if table.class_names != tuple(expected):
        raise ValueError(
            f"Expected the network's classes, {', '.join(expected[:10])}. Received: "
            f"{', '.join(table.class_names[:10])}. Use the data of the half model."
        )
