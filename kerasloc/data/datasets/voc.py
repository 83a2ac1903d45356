"""Pascal VOC from ``VOCdevkit/VOC2012``: labels and boxes of 20 classes.

Files below that folder: ``Annotations/*.xml``, ``ImageSets/Main/train.txt``,
``val.txt`` (and ``test.txt``) and ``JPEGImages``.

Reference:
    Everingham et al., The Pascal Visual Object Classes Challenge: A Retrospective, IJCV
    111, 2015.
"""

import logging
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from kerasloc.data.class_names import split_names
from kerasloc.data.datasets.files import (
    PathLike,
    by_split,
    by_stem,
    image_files,
    image_sizes,
)
from kerasloc.data.datasets.reading import BOX_COLUMNS, build_table, merge_lists
from kerasloc.data.problems import check_on_error, listing, report_problems
from kerasloc.data.table import Table
from kerasloc.io import read_text

VOC_CLASSES = split_names(
    "aeroplane, bicycle, bird, boat, bottle, bus, car, cat, chair, cow, diningtable, "
    "dog, horse, motorbike, person, pottedplant, sheep, sofa, train, tvmonitor"
)
BACKGROUND = "background"
CORNERS = ("xmin", "ymin", "xmax", "ymax")

logger = logging.getLogger(__name__)


def read_voc(
    root: PathLike,
    year: str | int = "2012",
    *,
    difficult: bool = False,
    background: bool = False,
    on_error: str = "raise",
) -> Table:
    """Read a year of Pascal VOC: 20 labels, boxes in pixels.

    The annotations of VOC 2012's test images are not public: its ``val`` list is the
    "test" split here, and validation images are to be cut from the "train" split
    (``kerasloc.data.cut_validation``). With annotated test images (VOC 2007), ``val``
    is "val" and ``test`` is "test". Images on no list are left out.

    VOC counts pixels from 1 and its corners are part of the box: a box from xmin to
    xmax becomes x = xmin - 1, w = xmax - xmin + 1. Boxes are scaled from the size in
    the annotation to that of the file.

    Args:
        root: ``VOCdevkit``, ``VOCdevkit/VOC2012`` or the folder of ``VOCdevkit``.
        year: Year of the challenge.
        difficult: Count objects marked as difficult. If not, their boxes are left out,
            and a class with no other object in an image is unknown (NaN).
        background: Add a last class "background": 1 for an image without any object, 0
            for one with objects, NaN where all are difficult ones that do not count.
        on_error: "raise", or "skip" (with a warning) images or annotations that are
            missing or unreadable, and invalid boxes.

    Raises:
        ValueError: If files are missing or invalid; lists the problems.
    """
    check_on_error(on_error)
    folder = _find_folder(Path(root), str(year))
    splits = _read_splits(folder)
    objects, problems = {}, []
    for image in splits:
        try:
            objects[image] = read_objects(folder / "Annotations" / f"{image}.xml")
        except (OSError, ValueError) as error:
            problems.append(f"{image}.xml: {error}")
    rule = f"Expected the objects of every image in {folder / 'Annotations'}"
    report_problems(problems, rule, on_error)
    empty = [image for image, items in objects.items() if not items]
    if empty:
        message = "%d images have no object; all of their labels are 0:\n%s"
        logger.warning(message, len(empty), listing(empty))
    images = image_files(folder, None, ("JPEGImages",))
    files = by_stem(images)
    unlisted = len(set(files) - set(splits))
    if unlisted:
        logger.info("%s: %d images are on no list", folder, unlisted)
    names = list(objects)
    rows = {"name": names, "split": [splits[name] for name in names]}
    items = pd.DataFrame(
        [(n, f"{n}.xml", *item) for n in names for item in objects[n]],
        columns=[*BOX_COLUMNS[:-2], "difficult", "rows", "cols"],
    )
    items = _without_turned_sizes(items, files)
    items["difficult"] = items["difficult"].astype(bool) & (not difficult)
    return build_table(
        pd.DataFrame(rows, [f"{name}.xml" for name in names]),
        VOC_CLASSES + (BACKGROUND,) * background,
        _labels(items, names, background),
        {name: files[name] for name in names if name in files},
        items[~items["difficult"]].reindex(columns=BOX_COLUMNS),
        source=folder,
        on_error=on_error,
    )


class VocObject(NamedTuple):
    """An object of an annotation, its box in pixels from 0."""

    x: float
    y: float
    w: float
    h: float
    class_index: int
    difficult: bool
    rows: float = np.nan  # of the image that the box was measured in
    cols: float = np.nan


def read_objects(path: PathLike) -> list[VocObject]:
    """Read the objects of an annotation file.

    A document type is refused, as it may define entities that grow without end.

    Raises:
        ValueError: If it is not such an annotation.
    """
    parser = ET.XMLParser(target=_NoDocumentType())
    try:
        parser.feed(Path(path).read_bytes())
        tree = parser.close()
    except ET.ParseError as error:
        raise ValueError(f"no xml: {error}") from error
    texts = [tree.findtext(f"size/{name}", "") for name in ("height", "width")]
    size = pd.to_numeric(pd.Series(texts), errors="coerce")
    sides = size.where(size > 0).tolist()
    return [_parse_object(element, *sides) for element in tree.findall("object")]


class _NoDocumentType(ET.TreeBuilder):
    """Tree builder that refuses document types."""

    def doctype(self, name: str, pubid: str, system: str) -> None:
        """Raise a ValueError."""
        raise ValueError("a document type (<!DOCTYPE ...>) is not accepted")


def _parse_object(element: ET.Element, rows: float, cols: float) -> VocObject:
    name = (element.findtext("name") or "").strip()
    if name not in VOC_CLASSES:
        names = ", ".join(VOC_CLASSES)
        raise ValueError(f"an object is one of {names}, not {name or 'nameless'}")
    try:
        left, top, right, bottom = (
            float(element.findtext(f"bndbox/{corner}", "")) for corner in CORNERS
        )
    except ValueError:
        raise ValueError(f"{name}: bndbox has {', '.join(CORNERS)}") from None
    difficult = (element.findtext("difficult") or "0").strip() not in ("0", "")
    size = right - left + 1, bottom - top + 1
    index = VOC_CLASSES.index(name)
    return VocObject(left - 1, top - 1, *size, index, difficult, rows, cols)


def _find_folder(root: Path, year: str) -> Path:
    """The folder of the year."""
    name = f"VOC{year}"
    candidates = (root / "VOCdevkit" / name, root / name, root)
    for folder in candidates:
        if all((folder / n).is_dir() for n in ("Annotations", "ImageSets/Main")):
            return folder
    raise ValueError(
        "Expected VOCdevkit, a folder of a year in it, or its parent. Received: "
        f"{root}, without Annotations and ImageSets/Main in "
        f"{', '.join(map(str, candidates))}. Use another root or year."
    )


def _read_splits(folder: Path) -> dict[str, str]:
    """Split of each image that is on a list."""
    lists, parent = {}, folder / "ImageSets" / "Main"
    for name, path in by_split(parent.glob("*.txt")).items():
        lines = read_text(path).splitlines()
        lists[name] = [line.split()[0] for line in lines if line.strip()]
    if not lists:
        raise ValueError(
            f"Expected train.txt and val.txt in {parent}. Received: neither. "
            "Unpack VOC's archive again."
        )
    annotations = {path.stem for path in (folder / "Annotations").glob("*.xml")}
    if not annotations & set(lists.get("test", ())):
        lists["test"] = lists.pop("val", [])
        logger.info("%s: the val list is the test split", folder)
    return merge_lists(lists, folder)


def _without_turned_sizes(
    items: pd.DataFrame, files: Mapping[str, str]
) -> pd.DataFrame:
    """Remove sizes with rows and columns exchanged: EXIF rotations and slips."""
    names = [name for name in items["image"].unique() if name in files]
    sizes = pd.DataFrame(image_sizes([files[name] for name in names]), names)
    of_files = sizes.reindex(items["image"]).to_numpy(float)
    stated = items[["cols", "rows"]].to_numpy(float)
    turned = (stated == of_files).all(axis=1) & (stated[:, 0] != stated[:, 1])
    if turned.any():
        message = "%d images have the size of their annotation turned, not used:\n%s"
        images = items["image"][turned].unique()
        logger.warning(message, len(images), listing(images))
    return items.assign(**items[["rows", "cols"]].mask(pd.Series(turned, items.index)))


def _labels(items: pd.DataFrame, names: list[str], background: bool) -> np.ndarray:
    """1, 0 or NaN (only difficult objects) of each image and class."""
    labels = np.zeros((len(names), len(VOC_CLASSES)), np.float32)
    rows = items["image"].map({name: row for row, name in enumerate(names)})
    for value, counted in ((np.nan, items["difficult"]), (1, ~items["difficult"])):
        labels[rows[counted], items["class_index"][counted]] = value
    if not background:
        return labels
    foreground = np.where((labels == 1).any(axis=1), 1, labels.sum(axis=1))
    return np.column_stack([labels, 1 - foreground])
