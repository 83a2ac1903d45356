"""Table of a folder in the layout that HAM (hierarchical attention mining) published.

Read below the root: ``Annotations/Tags.json`` {image: [class names]},
``Annotations/BBoxes.json`` {image: {class: [[a, b, c, d], ...]}} (both may lie in the
root itself), the lists of ``ImageSets``, and the images in ``images``.

Reference:
    Ouyang et al., Learning hierarchical attention for weakly-supervised chest X-ray
    abnormality localization and diagnosis, IEEE TMI 40(10), 2021.
"""

import collections
import difflib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kerasloc.data.datasets.chexpert import (
    CHEXPERT_CLASSES,
    chexpert_patients,
    files_below,
)
from kerasloc.data.datasets.ham_boxes import (
    CHEXPERT_IMAGE,
    CONVENTIONS,
    NIH_IMAGE,
    RawBox,
    check_convention,
    chosen_names,
    known_names,
    nearest,
    place_boxes,
    read_boxes,
    read_json,
    short,
    spelling,
)
from kerasloc.data.datasets.nih14 import FOLDERS, NIH_CLASSES
from kerasloc.data.datasets.reading import Box, Draft, finish, image_files
from kerasloc.data.problems import check_on_error, complain
from kerasloc.data.splits import apply_lists, read_lists
from kerasloc.data.table import Table

TAGS, BOXES, LISTS = "Tags.json", "BBoxes.json", "ImageSets"
ANNOTATIONS = "Annotations"
NO_FINDING = "No Finding"
SLIP = 0.85  # so alike that one of two names is misspelt


class _Kind(NamedTuple):
    """What the names of the images tell about a data set."""

    classes: tuple[str, ...]
    convention: str


KINDS = {
    NIH_IMAGE: _Kind(NIH_CLASSES, "xywh"),
    CHEXPERT_IMAGE: _Kind(CHEXPERT_CLASSES, "xyxy"),
}

WAY_OUT = 'Read the file with convention="{}".'


class _Tags(NamedTuple):
    """What ``Tags.json`` says.

    Attributes:
        source: The file.
        images: Known names of the classes of each image, by image.
        known: All classes that may occur, in their order.
        written: Those that do.
    """

    source: Path
    images: dict[str, set[str]]
    known: tuple[str, ...]
    written: tuple[str, ...]


def read_ham(
    root,
    image_dir=None,
    *,
    image_sets=None,
    convention="auto",
    class_names=None,
    on_error="raise",
) -> Table:
    """Table of tags, boxes and lists in HAM's layout, boxes in pixels of the files.

    Images are told apart by name: ``00000001_000.png`` is ChestX-ray14's, whose boxes
    are measured in originals of 1024 x 1024 and scaled to each file;
    ``train/patient00001/study1/view1_frontal.jpg`` is CheXpert's. Boxes of all others
    are in pixels of the files. Class names are compared without case, blanks and
    underscores; renamings are logged. With a list "annotated", training images that are
    not on it lose their boxes. Without lists every split is "".

    Args:
        root: Folder of the layout above.
        image_dir: Folder that the images' names are relative to. None: ``images`` in
            the root, or the root; bare names also in folders such as
            ``images_001/images``.
        image_sets: Folder of the lists. None: ``ImageSets`` in the root, if there.
        convention: "xywh", "xyxy", or "auto": "xywh" for ChestX-ray14, "xyxy" for
            CheXpert, an error for others that have boxes.
        class_names: Some of the classes, in the order that labels are to have. None:
            those that occur, in the order of the data set, or sorted.
        on_error: "raise", or "skip" to leave out, with a warning, tags and lines of
            lists without an image, boxes of classes that the image's tags lack, and
            boxes that are empty or outside their image.

    Raises:
        ValueError: If files are missing or say something else, or most boxes do not fit
            their images in this convention; lists what.
    """
    check_on_error(on_error)
    if convention not in ("auto", *CONVENTIONS):
        raise ValueError(
            f'convention is "auto" or one of {", ".join(CONVENTIONS)}. Received: '
            f"{convention!r}."
        )
    root = Path(root)
    tags = _read_tags(root)
    names = tags.written
    if class_names is not None:
        names = chosen_names(class_names, tags.known)
    files = _files(root, image_dir, tags.images)
    draft = _draft(tags, names)
    path = _find(root, BOXES)
    if path is not None:
        draft.boxes = _boxes(path, convention, tags, files, names, on_error)
    table = finish(draft, files, on_error)
    lists = root / LISTS if image_sets is None else Path(image_sets)
    if image_sets is None and not lists.is_dir():
        return table
    return apply_lists(table, read_lists(lists), on_error)


def _find(root: Path, name: str) -> Path | None:
    """One of the json files, in the folder of annotations or in the root."""
    places = (root / ANNOTATIONS / name, root / name)
    return next((place for place in places if place.is_file()), None)


def _kind(images) -> _Kind | None:
    """The data set that all images are of by their names; None: another."""
    kinds = (kind for name, kind in KINDS.items() if all(map(name.fullmatch, images)))
    return next(kinds, None) if images else None


def _read_tags(root: Path) -> _Tags:
    """The tags with their names mended."""
    path = _find(root, TAGS)
    if path is None:
        raise ValueError(
            f"The labels lie in {ANNOTATIONS}/{TAGS} or {TAGS}. Received: {root}, "
            "which has neither. Name its folder, or read the official files "
            '("nih14", "chexpert").'
        )
    found = _findings(path)
    counts = collections.Counter(tag for tags in found.values() for tag in tags)
    known = _vocabulary(counts, _kind(found), path)
    meant = known_names(counts, known, path)
    images = {image: {meant[tag] for tag in tags} for image, tags in found.items()}
    present = set(meant.values()) or set(known)  # of normal images only: all
    return _Tags(path, images, known, tuple(n for n in known if n in present))


def _findings(path: Path) -> dict[str, set[str]]:
    """The class names of each image as written, none for one without findings."""
    content = read_json(path)
    complain(
        [f"{i}: {short(tags)}" for i, tags in content.items() if not _is_tags(tags)],
        f"{path}: tags stand as {{image: [class names]}}",
        way_out="Mend or remove these.",
    )
    normal = {spelling(NO_FINDING), ""}
    found = {
        image: {tag for tag in tags if spelling(tag) not in normal}
        for image, tags in content.items()
    }
    both = [
        image for image in found if found[image] and found[image] != set(content[image])
    ]
    rule = f"{path}: an image has classes or {NO_FINDING}"
    complain(both, rule, way_out="Remove one of the two.")
    return found


def _is_tags(value) -> bool:
    """Whether it is a list of names."""
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _vocabulary(counts, kind: _Kind | None, source: Path) -> tuple[str, ...]:
    """The classes that a data set may have, in their order."""
    if kind is not None:
        return kind.classes
    spellings = {spelling(name) for name in counts}
    for known in (NIH_CLASSES, CHEXPERT_CLASSES):
        if spellings and spellings <= {spelling(name) for name in known}:
            return known
    if not counts:
        raise ValueError(
            f"{source} names classes. Received: no class for any of its images. Label "
            "some of them."
        )
    return _own_names(counts, source)


def _own_names(counts, source: Path) -> tuple[str, ...]:
    """The names of a data set that is not known, sorted, each in its usual spelling."""
    for known in (NIH_CLASSES, CHEXPERT_CLASSES):
        keys = {spelling(name) for name in known}
        others = [name for name in sorted(counts) if spelling(name) not in keys]
        slips = [
            n for n in others if difflib.get_close_matches(spelling(n), keys, 1, SLIP)
        ]
        if 2 * len(others) <= len(counts):
            complain(
                [f"{name!r} (nearest: {nearest(name, known)})" for name in slips],
                f"{source}: classes are written as {', '.join(known)}",
                way_out="Rename or remove them.",
            )
    names = {}
    for name, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        names.setdefault(spelling(name), name)
    return tuple(sorted(names.values()))


def _draft(tags: _Tags, names) -> Draft:
    """The draft of the images and their tags."""
    images = list(tags.images)
    labels = [[name in tags.images[image] for name in names] for image in images]
    return Draft(
        source=str(tags.source),
        class_names=names,
        names=images,
        wheres=[TAGS] * len(images),
        labels=np.array(labels, np.float32).reshape(len(images), len(names)),
        splits=[""] * len(images),
        groups=_patients(images),
    )


def _patients(images) -> list[str]:
    """Patient of each image by its name, "" where that does not tell."""
    matches = map(NIH_IMAGE.fullmatch, images)
    return [
        match[1] if match else patient
        for match, patient in zip(matches, chexpert_patients(images), strict=True)
    ]


def _files(root: Path, image_dir, images) -> dict[str, str]:
    """Path of each image by name: a bare file name or a relative path."""
    if not any("/" in name for name in images):
        return image_files(root, image_dir, FOLDERS)
    base = [root / "images", root] if image_dir is None else [image_dir]
    return files_below(base, images)


def _boxes(path, convention, tags: _Tags, files, names, on_error) -> list[Box]:
    """The boxes of the file, of classes that their images are tagged with."""
    raw = read_boxes(path)
    _check_same_images(raw, tags, path)
    counts = collections.Counter(box.label for box in raw)
    meant = known_names(counts, tags.known, path)
    raw = [box._replace(label=meant[box.label]) for box in raw]
    if raw:
        convention = _convention(convention, raw, path)
        check_convention(raw, files, convention, path, WAY_OUT)
    raw = _tagged(raw, tags, path, on_error)
    return place_boxes(raw, {name: i for i, name in enumerate(names)}, convention)


def _check_same_images(raw, tags: _Tags, path: Path) -> None:
    """Raise if the two files call the same images by longer and by shorter names."""
    boxed = {box.image for box in raw}
    if not boxed or boxed & set(tags.images):
        return
    alike = (boxed & _ends(tags.images)) or (_ends(boxed) & set(tags.images))
    if alike:
        raise ValueError(
            f"{path} and {tags.source} name images alike. Received: none in common, "
            f"but {min(alike)!r} in one, with folders before it in the other. Write "
            "the same names in both."
        )


def _ends(names) -> set[str]:
    """Every path without one folder or more of its first ones."""
    parts = [name.split("/") for name in names]
    return {"/".join(words[i:]) for words in parts for i in range(1, len(words))}


def _convention(convention: str, raw, path: Path) -> str:
    """The convention asked for, or that of the data set."""
    if convention != "auto":
        return convention
    kind = _kind({box.image for box in raw})
    if kind is None:
        ways = [f'"{name}" ({numbers})' for name, numbers in CONVENTIONS.items()]
        raise ValueError(
            "The convention of boxes is known for images named like "
            "00000001_000.png (ChestX-ray14) or patient00001/study1/view1_frontal.jpg "
            f"(CheXpert). Received: {raw[0].image!r} in {path}. Say convention="
            f"{' or '.join(ways)}."
        )
    return kind.convention


def _tagged(raw, tags: _Tags, path: Path, on_error: str) -> list[RawBox]:
    """Those boxes whose classes are tags of their images; others are complained of.

    Boxes of images without any tags stay: they go, with a warning, with the images.
    """
    odd = [
        box
        for box in raw
        if box.image in tags.images and box.label not in tags.images[box.image]
    ]
    way_out = (
        f"Add the tags to {tags.source}, remove the boxes, or leave such boxes out "
        'with on_error="skip".'
    )
    complain(
        [f"{box.image} ({box.where}), tags: {_shown(tags, box.image)}" for box in odd],
        f"{path}: boxes are of classes that the image has in {TAGS}",
        on_error,
        way_out,
    )
    left_out = {id(box) for box in odd}
    return [box for box in raw if id(box) not in left_out]


def _shown(tags: _Tags, image: str) -> str:
    """The tags of an image as text."""
    return ", ".join(sorted(tags.images[image])) or NO_FINDING
