"""Table of Pascal VOC from ``VOCdevkit/VOC2012``: labels and boxes of 20 classes.

Read are ``Annotations/*.xml``, ``ImageSets/Main/train.txt``, ``val.txt`` (and
``test.txt``) and ``JPEGImages``.

Reference:
    Everingham et al., The Pascal Visual Object Classes Challenge: A Retrospective, IJCV
    111, 2015.
"""

import dataclasses
import logging
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np

from kerasloc.data.datasets.reading import Box, Draft, finish, image_files
from kerasloc.data.problems import check_on_error, complain, listing
from kerasloc.data.table import Table

VOC_CLASSES = (
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)
BACKGROUND = "background"
CORNERS = ("xmin", "ymin", "xmax", "ymax")

logger = logging.getLogger(__name__)


def read_voc(
    root, year="2012", *, difficult=False, background=False, on_error="raise"
) -> Table:
    """Table of a year of Pascal VOC: 20 labels, boxes in pixels.

    The annotations of VOC 2012's test images are not public: its ``val`` list is the
    "test" split here, and validation images are to be cut off the "train" split
    (``kerasloc.data.cut_validation``). With annotated test images (VOC 2007), ``val``
    is "val" and ``test`` is "test". Images on no list are left out.

    VOC counts pixels from 1 and its corners are part of the box: a box from xmin to
    xmax becomes x = xmin - 1, w = xmax - xmin + 1.

    Args:
        root: ``VOCdevkit``, ``VOCdevkit/VOC2012`` or the folder of ``VOCdevkit``.
        year: Of the challenge.
        difficult: Whether objects marked as difficult count. If not, their boxes are
            left out, and a class with no other object in an image is unknown (NaN).
        background: Whether there is a last class "background": 1 for an image without
            any object, 0 for one with objects, NaN where all are difficult ones that do
            not count.
        on_error: "raise", or "skip" to leave out, with a warning, images that are
            missing or without a readable annotation, and boxes that are empty or
            outside their image.

    Raises:
        ValueError: If files are missing or say something else; lists what.
    """
    check_on_error(on_error)
    folder = _folder(Path(root), str(year))
    lists = _lists(folder)
    found, problems = {}, []
    for image in lists:
        try:
            found[image] = read_objects(folder / "Annotations" / f"{image}.xml")
        except (OSError, ValueError) as error:
            problems.append(f"{image}.xml: {error}")
    rule = f"{folder / 'Annotations'} holds the objects of every image"
    complain(problems, rule, on_error)
    _report_empty(found)
    files = _files(folder, lists)
    draft = Draft(
        source=str(folder),
        class_names=VOC_CLASSES + (BACKGROUND,) * background,
        names=list(found),
        wheres=[f"{image}.xml" for image in found],
        labels=_labels(found.values(), difficult, background),
        splits=[lists[image] for image in found],
        boxes=[
            Box(image, f"{image}.xml", *thing.box, thing.cls)
            for image, things in found.items()
            for thing in things
            if difficult or not thing.difficult
        ],
    )
    return finish(
        draft, {name: files[name] for name in found if name in files}, on_error
    )


@dataclasses.dataclass(frozen=True)
class Thing:
    """An object of an annotation.

    Args:
        cls: Index in ``VOC_CLASSES``.
        difficult: Whether it is hard to recognize.
        box: x, y, w, h in pixels from 0.
    """

    cls: int
    difficult: bool
    box: tuple[float, float, float, float]


def read_objects(path) -> list[Thing]:
    """The objects of an annotation file.

    Args:
        path: The xml file. One with a document type is refused, as that may define
            entities that grow without end.

    Raises:
        OSError: If there is no such file.
        ValueError: If it is no such annotation.
    """
    parser = ET.XMLParser(target=_NoDocumentType())
    try:
        parser.feed(Path(path).read_bytes())
        tree = parser.close()
    except ET.ParseError as error:
        raise ValueError(f"no xml: {error}") from error
    return [_thing(element) for element in tree.findall("object")]


class _NoDocumentType(ET.TreeBuilder):
    """Builds the tree of a file that has no document type."""

    def doctype(self, name, pubid, system):
        """Refuse it."""
        raise ValueError("a document type (<!DOCTYPE ...>) is not accepted")


def _thing(element) -> Thing:
    """What an ``object`` element says."""
    name = (element.findtext("name") or "").strip()
    if name not in VOC_CLASSES:
        raise ValueError(
            f"an object is one of {', '.join(VOC_CLASSES)}, not {name or 'nameless'}"
        )
    try:
        left, top, right, bottom = (
            float(element.findtext(f"bndbox/{corner}", "")) for corner in CORNERS
        )
    except ValueError:
        raise ValueError(f"{name}: bndbox has {', '.join(CORNERS)}") from None
    return Thing(
        cls=VOC_CLASSES.index(name),
        difficult=(element.findtext("difficult") or "0").strip() not in ("0", ""),
        box=(left - 1, top - 1, right - left + 1, bottom - top + 1),
    )


def _folder(root: Path, year: str) -> Path:
    """The folder of the year."""
    name = f"VOC{year}"
    places = [root / "VOCdevkit" / name, root / name, root]
    for place in places:
        if (place / "Annotations").is_dir() and (place / "ImageSets" / "Main").is_dir():
            return place
    raise ValueError(
        "The root is VOCdevkit, a folder of a year in it, or its parent; the year has "
        f"the folders Annotations, ImageSets/Main and JPEGImages. Received: {root}, "
        f"without them in {', '.join(map(str, places))}. Name another root or year."
    )


def _lists(folder: Path) -> dict[str, str]:
    """Split of each image that is on a list."""
    lists = {}
    for name in ("train", "val", "test"):
        path = folder / "ImageSets" / "Main" / f"{name}.txt"
        if path.is_file():
            lines = path.read_text(encoding="utf-8").splitlines()
            lists[name] = [line.split()[0] for line in lines if line.strip()]
    if not lists:
        raise ValueError(
            f"{folder / 'ImageSets' / 'Main'} holds train.txt and val.txt. Received: "
            "none of them. Unpack VOC's archive again."
        )
    annotations = {path.stem for path in (folder / "Annotations").glob("*.xml")}
    if not annotations & set(lists.get("test", ())):
        lists["test"] = lists.pop("val", [])
        logger.info("%s: the val list is the test split", folder)
    splits, twice = {}, []
    for split, images in lists.items():
        for image in images:
            if splits.setdefault(image, split) != split:
                twice.append(f"{image}: {splits[image]} and {split}")
    complain(twice, f"{folder}: an image is on one list", way_out="Take it off one.")
    return splits


def _files(folder: Path, lists) -> dict[str, str]:
    """Path of each image by its name without extension."""
    found = image_files(folder, None, ("JPEGImages",))
    files = {Path(name).stem: path for name, path in found.items()}
    others = len(set(files) - set(lists))
    if others:
        logger.info("%s: %d images are on no list", folder, others)
    return files


def _report_empty(found) -> None:
    """Log which images have no object at all."""
    empty = [image for image, things in found.items() if not things]
    if empty:
        logger.warning(
            "%d images have no object; all of their labels are 0:\n%s",
            len(empty),
            listing(empty),
        )


def _labels(found, difficult: bool, background: bool) -> np.ndarray:
    """1, 0 or NaN of each image and class."""
    labels = np.zeros((len(found), len(VOC_CLASSES)), np.float32)
    for row, things in enumerate(found):
        hard = [thing.cls for thing in things if thing.difficult and not difficult]
        labels[row, hard] = np.nan
        sure = [thing.cls for thing in things if difficult or not thing.difficult]
        labels[row, sure] = 1
    if not background:
        return labels
    objects = np.where((labels == 1).any(axis=1), 1, labels.sum(axis=1))
    return np.column_stack([labels, 1 - objects])
