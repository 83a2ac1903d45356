"""Where the images of a run come from: one checked table with train, val and test."""

import dataclasses
import pathlib

import numpy as np

from kerasloc.data import (
    SyntheticConfig,
    check,
    cut_validation,
    default_folder,
    default_polygons,
    read_dataset,
)
from kerasloc.data.splits import apply_lists, keep_boxes, make_lists, read_lists
from kerasloc.data.synthetic import MULTI_LABEL
from kerasloc.data.table import Table, only_classes
from kerasloc.training.arguments import make


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Which images a run uses.

    Attributes:
        data_dir: Image folders, a csv file, or the folder of a known data set.
        image_dir: Where the csv's images lie; beside the csv by default.
        dataset: A key of :data:`kerasloc.data.datasets.READERS`. By the path if None:
            ``csv`` for a file, ``folders`` for a folder.
        image_sets: Folder of lists that say which images are for what; see
            :func:`kerasloc.data.splits.read_lists`.
        protocol: A published way to make such lists; see
            :func:`kerasloc.data.splits.make_lists`.
        fold: Of the protocol; the first when None.
        box_share: Share of the training images with boxes whose boxes are learned
            from; all when None.
        uncertain: What CheXpert's uncertain labels become.
        classes: Only images with exactly one of these, which is then their one label;
            all images and classes when None.
        val_share: Share of the training images kept for validation when the data has
            no validation images.
        on_error: ``raise`` or ``skip`` broken images.
        seed: Decides which images are kept for validation.
    """

    data_dir: str
    image_dir: str | None = None
    val_share: float = 0.2
    on_error: str = "raise"
    seed: int = 0
    dataset: str | None = None
    image_sets: str | None = None
    protocol: str | None = None
    fold: int | None = None
    box_share: float | None = None
    uncertain: str | None = None
    classes: tuple[str, ...] | None = None

    def __post_init__(self):
        if self.protocol is not None and self.image_sets is not None:
            raise ValueError(
                "Lists are read or made. Received: both an image_sets folder, "
                f"{self.image_sets}, and the protocol {self.protocol}. Leave one out."
            )
        classes = tuple(self.classes or ()) or None  # lists, as json has them
        object.__setattr__(self, "classes", classes)
        for name in (
            "data_dir",
            "image_dir",
            "image_sets",
        ):  # found again from other folders
            if getattr(self, name) is not None:
                path = str(pathlib.Path(getattr(self, name)).expanduser().resolve())
                object.__setattr__(self, name, path)

    @property
    def name(self) -> str:
        """A readable name: that of the folder or file."""
        return pathlib.Path(self.data_dir).stem


def data_of_run(known: dict, given: dict) -> DataConfig:
    """The data that a run was made on, or other data in its place.

    Args:
        known: What the run's configuration says of its data; its seed stays, so that
            the same images are held out.
        given: Options by name. Another ``data_dir`` leaves what belongs to the old
            one behind; without one the run's ``classes`` stay.

    Raises:
        ValueError: If neither says which data.
    """
    if "data_dir" in given:
        own = ("image_dir", "dataset", "image_sets", "protocol", "uncertain", "classes")
        known = {**known, **dict.fromkeys(own)}
    else:
        given = {name: given[name] for name in given if name != "classes"}
    values = {**known, **given, "seed": known.get("seed", given.get("seed", 0))}
    if values.get("data_dir") is None:
        raise ValueError(
            "A model that was saved without its data is used with other data. "
            "Received: no data. Give --data-dir."
        )
    return make(DataConfig, values)


def embedded_data(multi_label: bool = False) -> dict:
    """Where the embedded synthetic data lies, made in ``data/`` when absent.

    Args:
        multi_label: Whether images hold any number of objects, or exactly one.

    Returns:
        ``data_dir`` and ``dataset`` of a :class:`DataConfig`.
    """
    config = SyntheticConfig(most_objects=MULTI_LABEL if multi_label else 1)
    folder = str(pathlib.Path(default_folder(config=config)).resolve())
    return {"data_dir": folder, "dataset": "csv" if multi_label else "folders"}


def embedded_polygons() -> dict:
    """Where the synthetic polygons lie, made in ``data/`` when absent.

    Returns:
        ``data_dir`` and ``dataset`` of a :class:`DataConfig`.
    """
    folder = str(pathlib.Path(default_polygons()).resolve())
    return {"data_dir": folder, "dataset": "folders"}


def is_embedded(data_dir) -> bool:
    """Whether a path is that of the embedded data with one object an image."""
    return pathlib.Path(data_dir).name == SyntheticConfig().name


def read_table(config: DataConfig, class_names=None) -> Table:
    """All images of the data with their splits, unchecked.

    Args:
        config: Which.
        class_names: The classes of a run, for its evaluation.

    Raises:
        ValueError: If the data is missing or not as described.
    """
    if config.classes is None:
        return _read_all(config, class_names)
    names = config.classes if class_names is None else tuple(class_names)
    if sorted(names) != sorted(config.classes):
        raise ValueError(
            f"--classes are those of the network, {', '.join(names)}. Received: "
            f"{', '.join(config.classes)}. Leave it out, or name these."
        )
    return only_classes(_read_all(config), names)


def _read_all(config: DataConfig, class_names=None) -> Table:
    """All images of the data, of whatever class."""
    path = pathlib.Path(config.data_dir)
    by_path = "csv" if path.suffix.lower() == ".csv" else "folders"
    name = config.dataset or by_path
    options = {"image_dir": config.image_dir, "on_error": config.on_error}
    options["uncertain"] = config.uncertain
    if name == "ham":  # its own lists are not to be applied before these
        options["image_sets"] = config.image_sets
    table = read_dataset(name, path, class_names, **options)
    if config.protocol is not None:
        lists = make_lists(table, config.protocol, config.fold or 0, config.seed)
        return apply_lists(table, lists)
    if config.image_sets is not None and name != "ham":
        return apply_lists(table, read_lists(config.image_sets), config.on_error)
    return table


def training_tables(
    config: DataConfig, channels: int = 3, class_names=None
) -> dict[str, Table]:
    """Checked ``train`` and ``val`` tables; test images are not even opened.

    Args:
        config: Which data.
        channels: That the images are read with.
        class_names: As for :func:`read_table`.

    Raises:
        ValueError: If files are broken (and not skipped), splits overlap, or there are
            no training images.
    """
    table = read_table(config, class_names)
    if not (table.splits != "").any():  # a csv without a split column
        table = dataclasses.replace(table, splits=["train"] * len(table))
    if not (table.splits == "train").any():
        raise ValueError(
            f"Training needs training images. Received: {config.data_dir} without any. "
            "Put them in train/CLASS/, or say train in the csv's column split."
        )
    table = table.subset((table.splits == "train") | (table.splits == "val"))
    table, _ = check(table, on_error=config.on_error, channels=channels)
    table = cut_validation(table, config.val_share, config.seed)
    if config.box_share is not None:
        table = keep_boxes(table, config.box_share, config.seed)
    return {name: table.split(name) for name in ("train", "val")}


def check_class_count(table: Table, expected: int | None):
    """Makes sure that the data has as many classes as were expected, if any.

    Raises:
        ValueError: If not.
    """
    names = table.class_names
    if expected is not None and expected != len(names):
        raise ValueError(
            f"--num-classes is the number of classes in the data, {len(names)} here "
            f"({', '.join(names[:10])}). Received: {expected}. Leave it out."
        )


def check_same_classes(table: Table, expected: tuple[str, ...]):
    """Makes sure that the data's classes are those of a network, in their order.

    Raises:
        ValueError: If not.
    """
    if table.class_names != tuple(expected):
        raise ValueError(
            f"The data has the network's classes, {', '.join(expected[:10])}. "
            f"Received: {', '.join(table.class_names[:10])}. Use the data that the "
            "half model was trained on, or train a half model on this data."
        )


def evaluation_table(config: DataConfig, split: str, class_names, channels=3) -> Table:
    """Checked images of one split: ``test``, or the very ``val`` images of training.

    Raises:
        ValueError: If there are none, or files are broken (and not skipped).
    """
    table = read_table(config, class_names)
    if split == "val" and (table.splits == "train").any():
        return training_tables(config, channels, class_names)["val"]
    table = table.split(split)
    if not len(table):
        raise ValueError(
            f"Evaluation needs {split} images. Received: {config.data_dir} without any."
            f" Put them in {split}/CLASS/, or say {split} in the csv's column split."
        )
    table, _ = check(table, on_error=config.on_error, channels=channels)
    return table


def has_validation(config: DataConfig, class_names=None) -> bool:
    """Whether the data holds ``val`` images, or ``train`` ones to cut them from."""
    return bool(np.isin(read_table(config, class_names).splits, ("train", "val")).any())
