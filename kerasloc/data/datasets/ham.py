"""Folders in the layout that HAM (hierarchical attention mining) published.

Files below the root: ``Annotations/Tags.json`` {image: [class names]},
``Annotations/BBoxes.json`` {image: {class: [[a, b, c, d], ...]}} (both may lie in the
root itself), the lists of ``ImageSets``, and the images in ``images``.

Reference:
    Ouyang et al., Learning hierarchical attention for weakly-supervised chest X-ray
    abnormality localization and diagnosis, IEEE TMI 40(10), 2021.
"""

import collections
import difflib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from kerasloc.data.class_names import (
    choose_names,
    match_names,
    spelling,
    with_nearest,
)
from kerasloc.data.datasets.chexpert import CHEXPERT_CLASSES, chexpert_patients
from kerasloc.data.datasets.files import PathLike, files_below, image_files
from kerasloc.data.datasets.ham_boxes import (
    CHEXPERT_IMAGE,
    CONVENTIONS,
    NIH_IMAGE,
    abbreviate,
    check_convention,
    convert_boxes,
    read_boxes,
)
from kerasloc.data.datasets.nih14 import FOLDERS, NIH_CLASSES
from kerasloc.data.datasets.reading import Annotations, build_table, read_json
from kerasloc.data.image_lists import apply_lists, read_lists
from kerasloc.data.problems import check_choice, check_on_error, report_problems
from kerasloc.data.table import Table

TAGS, BOXES, LISTS = "Tags.json", "BBoxes.json", "ImageSets"
ANNOTATIONS = "Annotations"
NO_FINDING = "No Finding"
TYPO = 0.85  # similarity from which one of two names is a misspelling


class _Source(NamedTuple):
    """Dataset that the names of the images identify."""

    classes: tuple[str, ...]
    convention: str


SOURCES = {
    NIH_IMAGE: _Source(NIH_CLASSES, "xywh"),
    CHEXPERT_IMAGE: _Source(CHEXPERT_CLASSES, "xyxy"),
}


class _Tags(NamedTuple):
    """Contents of ``Tags.json``: the valid names of the classes by image."""

    source: Path
    images: dict[str, set[str]]
    valid: tuple[str, ...]  # all classes that may occur, in their order
    present: tuple[str, ...]  # those that do


def read_ham(
    root: PathLike,
    image_dir: PathLike | None = None,
    *,
    image_sets: PathLike | None = None,
    convention: str = "auto",
    class_names: Iterable[str] | None = None,
    on_error: str = "raise",
) -> Table:
    """Read tags, boxes and lists in HAM's layout, boxes in pixels of the files.

    Images are identified by name: ``00000001_000.png`` belongs to ChestX-ray14, whose
    boxes are measured in originals of 1024 x 1024 and scaled to each file;
    ``train/patient00001/study1/view1_frontal.jpg`` belongs to CheXpert. Boxes of all
    others are in pixels of the files. Class names are compared without case, blanks and
    underscores; renamings are logged. With a list "annotated", training images that are
    not on it lose their boxes. Without lists every split is "".

    Args:
        root: Folder of the layout above.
        image_dir: Folder that the images' names are relative to. None: ``images`` in
            the root, or the root; bare names also in folders such as
            ``images_001/images``.
        image_sets: Folder of the lists. None: ``ImageSets`` in the root, if it exists.
        convention: "xywh", "xyxy", or "auto": "xywh" for ChestX-ray14, "xyxy" for
            CheXpert, an error for others that have boxes.
        class_names: Some of the classes, in the order of the labels. None: those that
            occur, in the order of the dataset, or sorted.
        on_error: "raise", or "skip" to leave out, with a warning, tags and lines of
            lists without an image, boxes of classes that the image's tags lack, and
            boxes that are empty or outside their image.

    Raises:
        ValueError: If files are missing or invalid, or most boxes do not fit their
            images in this convention; lists the problems.
    """
    check_on_error(on_error)
    check_choice("convention", convention, ("auto", *CONVENTIONS))
    root = Path(root)
    tags = _read_tags(root)
    names = tags.present
    if class_names is not None:
        names = choose_names(class_names, tags.valid)
    files = _files(root, image_dir, tags.images)
    annotations = _annotations(tags, names)
    path = _find(root, BOXES)
    if path is not None:
        raw, convention = _read_boxes(path, tags, files, convention)
        raw = _tagged(raw, tags, path, on_error)
        annotations.boxes = convert_boxes(raw, names, convention)
    table = build_table(annotations, files, on_error)
    lists = root / LISTS if image_sets is None else Path(image_sets)
    if image_sets is None and not lists.is_dir():
        return table
    return apply_lists(table, read_lists(lists), on_error)


def _find(root: Path, name: str) -> Path | None:
    """One of the json files, in the folder of annotations or in the root."""
    candidates = (root / ANNOTATIONS / name, root / name)
    return next(filter(Path.is_file, candidates), None)


def _identify(images: Collection[str]) -> _Source | None:
    """The dataset that all images belong to by their names; None: another."""
    matches = (s for name, s in SOURCES.items() if all(map(name.fullmatch, images)))
    return next(matches, None) if images else None


def _read_tags(root: Path) -> _Tags:
    """The tags in their valid spelling."""
    path = _find(root, TAGS)
    if path is None:
        raise ValueError(
            f"Expected the labels in {ANNOTATIONS}/{TAGS} or {TAGS}. Received: {root}, "
            "which has neither. Name its folder, or read the official files "
            '("nih14", "chexpert").'
        )
    findings = _read_findings(path)
    counts = collections.Counter(tag for tags in findings.values() for tag in tags)
    valid = _valid_classes(counts, _identify(findings), path)
    matches = match_names(counts, valid, path)
    images = {image: {matches[tag] for tag in tags} for image, tags in findings.items()}
    present = set(matches.values()) or set(valid)  # of normal images only: all
    return _Tags(path, images, valid, tuple(n for n in valid if n in present))


def _read_findings(path: Path) -> dict[str, set[str]]:
    """The class names of each image as written, without "No Finding"."""
    content = read_json(path)
    report_problems(
        [
            f"{i}: {abbreviate(tags)}"
            for i, tags in content.items()
            if not _is_tags(tags)
        ],
        f"Expected tags as {{image: [class names]}} in {path}",
        remedy="Fix or remove these.",
    )
    normal = {spelling(NO_FINDING), ""}
    findings = {
        image: {tag for tag in tags if spelling(tag) not in normal}
        for image, tags in content.items()
    }
    contradictory = [
        i for i, tags in findings.items() if tags and tags != set(content[i])
    ]
    rule = f"Expected classes or {NO_FINDING} for an image in {path}"
    report_problems(contradictory, rule, remedy="Remove one of the two.")
    return findings


def _is_tags(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _valid_classes(
    counts: Mapping[str, int], source: _Source | None, path: Path
) -> tuple[str, ...]:
    """The classes that a dataset may have, in their order."""
    if source is not None:
        return source.classes
    spellings = {spelling(name) for name in counts}
    for classes in (NIH_CLASSES, CHEXPERT_CLASSES):
        if spellings and spellings <= {spelling(name) for name in classes}:
            return classes
    if not counts:
        raise ValueError(
            f"Expected classes in {path}. Received: no class for any of its images. "
            "Label some of them."
        )
    for classes in (NIH_CLASSES, CHEXPERT_CLASSES):
        _check_typos(counts, classes, path)
    names: dict[str, str] = {}  # of each spelling the most frequent
    for name in sorted(counts, key=lambda name: (-counts[name], name)):
        names.setdefault(spelling(name), name)
    return tuple(sorted(names.values()))


def _check_typos(counts: Mapping[str, int], classes, path: Path) -> None:
    """Raise if most names are published classes and the others nearly are."""
    keys = {spelling(name) for name in classes}
    unknown = [name for name in sorted(counts) if spelling(name) not in keys]
    if 2 * len(unknown) <= len(counts):
        typos = [
            with_nearest(name, classes)
            for name in unknown
            if difflib.get_close_matches(spelling(name), keys, 1, TYPO)
        ]
        rule = f"Expected classes in {path} to be written as {', '.join(classes)}"
        report_problems(typos, rule, remedy="Rename or remove them.")


def _annotations(tags: _Tags, names: tuple[str, ...]) -> Annotations:
    """The images with their labels and patients."""
    images = list(tags.images)
    labels = [[name in tags.images[image] for name in names] for image in images]
    nih = map(NIH_IMAGE.fullmatch, images)
    return Annotations(
        source=str(tags.source),
        class_names=names,
        names=images,
        locations=[TAGS] * len(images),
        labels=np.array(labels, np.float32).reshape(len(images), len(names)),
        splits=[""] * len(images),
        groups=[
            match[1] if match else patient
            for match, patient in zip(nih, chexpert_patients(images), strict=True)
        ],
    )


def _files(
    root: Path, image_dir: PathLike | None, images: Iterable[str]
) -> dict[str, str]:
    """Path of each image by name: a bare file name or a relative path."""
    if not any("/" in name for name in images):
        return image_files(root, image_dir, FOLDERS)
    base = [root / "images", root] if image_dir is None else [image_dir]
    return files_below(base, images)


def _read_boxes(
    path: Path, tags: _Tags, files: Mapping[str, str], convention: str
) -> tuple[pd.DataFrame, str]:
    """Boxes with valid labels, and their convention."""
    raw = read_boxes(path)
    _check_same_images(raw, tags, path)
    matches = match_names(collections.Counter(raw["label"]), tags.valid, path)
    raw["label"] = raw["label"].map(matches)
    if len(raw):
        convention = _convention(convention, raw, path)
        remedy = 'Read the file with convention="{}".'
        check_convention(raw, files, convention, path, remedy)
    return raw, convention


def _convention(convention: str, raw: pd.DataFrame, path: Path) -> str:
    """The selected convention, or that of the dataset."""
    if convention != "auto":
        return convention
    source = _identify(set(raw["image"]))
    if source is None:
        choices = [f'"{name}" ({numbers})' for name, numbers in CONVENTIONS.items()]
        raise ValueError(
            'convention="auto" expects images named like 00000001_000.png '
            "(ChestX-ray14) or patient00001/study1/view1_frontal.jpg (CheXpert). "
            f"Received: {raw['image'].iat[0]!r} in {path}. Use convention="
            f"{' or '.join(choices)}."
        )
    return source.convention


def _tagged(raw: pd.DataFrame, tags: _Tags, path: Path, on_error: str) -> pd.DataFrame:
    """Boxes whose classes are tags of their images; reports the others.

    Boxes of images without any tags stay: they go, with a warning, with the images.
    """
    tagged = np.array(
        [
            label in tags.images.get(image, {label})
            for image, label in zip(raw["image"], raw["label"], strict=True)
        ],
        bool,
    )
    report_problems(
        [
            f"{image} ({location}), tags: "
            f"{', '.join(sorted(tags.images[image])) or NO_FINDING}"
            for image, location in raw.loc[~tagged, ["image", "location"]].to_numpy()
        ],
        f"Expected boxes in {path} of classes that the image has in {TAGS}",
        on_error,
        f"Add the tags to {tags.source}, remove the boxes, or skip such boxes with "
        'on_error="skip".',
    )
    return raw[tagged]


def _check_same_images(raw: pd.DataFrame, tags: _Tags, path: Path) -> None:
    """Raise if one of the files has folders before the same images and one has not."""
    boxed, tagged = set(raw["image"]), set(tags.images)
    if not boxed or boxed & tagged:
        return
    common = (boxed & _path_ends(tagged)) or (_path_ends(boxed) & tagged)
    if common:
        raise ValueError(
            f"Expected the same names of images in {path} and {tags.source}. Received: "
            f"no common name, but {min(common)!r} in one, with folders before it in "
            "the other. Write the same names in both."
        )


def _path_ends(names: Iterable[str]) -> set[str]:
    """Every path without one or more of its first folders."""
    split = [name.split("/") for name in names]
    return {"/".join(words[i:]) for words in split for i in range(1, len(words))}
