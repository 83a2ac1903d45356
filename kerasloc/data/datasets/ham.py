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
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from kerasloc.data.class_names import choose_names, match_names, spelling, with_nearest
from kerasloc.data.datasets import ham_boxes
from kerasloc.data.datasets.chexpert import CHEXPERT_CLASSES
from kerasloc.data.datasets.files import PathLike, files_below, image_files
from kerasloc.data.datasets.ham_boxes import CHEXPERT_IMAGE, CONVENTIONS, NIH_IMAGE
from kerasloc.data.datasets.nih14 import FOLDERS, NIH_CLASSES
from kerasloc.data.datasets.reading import build_table, read_json
from kerasloc.data.image_lists import apply_lists, read_lists
from kerasloc.data.problems import check_choice, check_on_error, report_problems
from kerasloc.data.table import Table

TAGS, BOXES, LISTS = "Tags.json", "BBoxes.json", "ImageSets"
ANNOTATIONS = "Annotations"
NO_FINDING = "No Finding"
TYPO = 0.85  # similarity from which one of two names is a misspelling


CLASSES = {NIH_IMAGE: NIH_CLASSES, CHEXPERT_IMAGE: CHEXPERT_CLASSES}
PUBLISHED = {NIH_IMAGE: "xywh", CHEXPERT_IMAGE: "xyxy"}

Tags = Mapping[str, set[str]]  # names of the classes by image


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
    ``train/patient00001/study1/view1_frontal.jpg`` belongs to CheXpert. Class names are
    compared without case, blanks and underscores; renamings are logged. With a list
    "annotated", training images that are not on it lose their boxes. Without lists
    every split is "".

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
        on_error: "raise", or "skip" (with a warning) missing images, invalid boxes, and
            boxes of classes that the image's tags lack.

    Raises:
        ValueError: If files are missing or invalid, or boxes in another convention.
    """
    check_on_error(on_error)
    check_choice("convention", convention, ("auto", *CONVENTIONS))
    root = Path(root)
    tags, valid = _read_tags(root)
    if class_names is None:
        present = (
            set[str]().union(*tags.values()) or valid
        )  # of normal images only: all
        names = tuple(name for name in valid if name in present)
    else:
        names = choose_names(class_names, valid)
    if any("/" in name for name in tags):
        base = [root / "images", root] if image_dir is None else [image_dir]
        files = files_below(base, tags)
    else:
        files = image_files(root, image_dir, FOLDERS)
    path = _find(root, BOXES)
    boxes = None
    if path is not None:
        raw, convention = _read_boxes(path, tags, valid, files, convention)
        boxes = ham_boxes.convert_boxes(_tagged(raw, tags, on_error), names, convention)
    matches = (NIH_IMAGE.fullmatch(n) or CHEXPERT_IMAGE.fullmatch(n) for n in tags)
    groups = [match[1] if match else "" for match in matches]
    table = build_table(
        pd.DataFrame({"name": list(tags), "group": groups}, [TAGS] * len(tags)),
        names,
        np.array([[name in labels for name in names] for labels in tags.values()]),
        files,
        boxes,
        source=root,
        on_error=on_error,
    )
    lists = root / LISTS if image_sets is None else Path(image_sets)
    if image_sets is None and not lists.is_dir():
        return table
    return apply_lists(table, read_lists(lists), on_error)


def _find(root: Path, name: str) -> Path | None:
    """One of the json files, in the folder of annotations or in the root."""
    candidates = (root / ANNOTATIONS / name, root / name)
    return next(filter(Path.is_file, candidates), None)


def _identify(images: Iterable[str]) -> re.Pattern | None:
    """The pattern that the names of all images match; None: another dataset."""
    images = list(images)
    matches = (name for name in CLASSES if all(map(name.fullmatch, images)))
    return next(matches, None) if images else None


def _read_tags(root: Path) -> tuple[Tags, tuple[str, ...]]:
    """The tags in their valid spelling, and all classes that may occur, in order."""
    path = _find(root, TAGS)
    if path is None:
        raise ValueError(
            f"Expected {ANNOTATIONS}/{TAGS} or {TAGS}. Received: {root}, which has "
            'neither. Name its folder, or read official files ("nih14", "chexpert").'
        )
    findings = _read_findings(path)
    counts = collections.Counter(tag for tags in findings.values() for tag in tags)
    valid = _valid_classes(counts, findings, path)
    matches = match_names(counts, valid, path)
    return {i: {matches[tag] for tag in tags} for i, tags in findings.items()}, valid


def _read_findings(path: Path) -> Tags:
    """The class names of each image as written, without "No Finding"."""
    content = read_json(path)
    report_problems(
        [
            f"{image}: {ham_boxes.abbreviate(tags)}"
            for image, tags in content.items()
            if not isinstance(tags, list) or {*map(type, tags)} - {str}
        ],
        f"Expected tags as {{image: [class names]}} in {path}",
        remedy="Fix or remove these.",
    )
    normal = {spelling(NO_FINDING), ""}
    findings = {
        image: {tag for tag in tags if spelling(tag) not in normal}
        for image, tags in content.items()
    }
    mixed = [i for i, tags in findings.items() if tags and tags != set(content[i])]
    rule = f"Expected classes or {NO_FINDING} for an image in {path}"
    report_problems(mixed, rule, remedy="Remove one of the two.")
    return findings


def _valid_classes(
    counts: Mapping[str, int], images: Iterable[str], path: Path
) -> tuple[str, ...]:
    """The classes that a dataset may have, in their order."""
    source = _identify(images)
    if source is not None:
        return CLASSES[source]
    if not counts:
        raise ValueError(
            f"Expected classes in {path}. Received: no class for any of its images. "
            "Label some of them."
        )
    keys = {classes: {spelling(c) for c in classes} for classes in CLASSES.values()}
    unknown = {
        classes: [n for n in sorted(counts) if spelling(n) not in keys[classes]]
        for classes in keys
    }
    for classes, names in unknown.items():
        if not names:
            return classes
    for classes, names in unknown.items():
        typos = [
            with_nearest(name, classes)
            for name in names
            if 2 * len(names) <= len(counts)
            if difflib.get_close_matches(spelling(name), keys[classes], 1, TYPO)
        ]
        rule = f"Expected classes in {path} to be written as {', '.join(classes)}"
        report_problems(typos, rule, remedy="Rename or remove them.")
    by_count = sorted(counts, key=lambda name: (-counts[name], name))
    frequent = {spelling(name): name for name in reversed(by_count)}  # of each spelling
    return tuple(sorted(frequent.values()))


def _read_boxes(
    path: Path,
    tags: Tags,
    valid: Sequence[str],
    files: Mapping[str, str],
    convention: str,
) -> tuple[pd.DataFrame, str]:
    """Boxes with valid labels, and their convention."""
    raw = ham_boxes.read_boxes(path)
    _check_same_images(set(raw["image"]), set(tags), path)
    matches = match_names(collections.Counter(raw["label"]), valid, path)
    raw["label"] = raw["label"].map(matches)
    source = _identify(raw["image"])
    if raw.empty:
        return raw, convention
    if convention == "auto" and source is None:
        choices = [f'"{name}" ({numbers})' for name, numbers in CONVENTIONS.items()]
        raise ValueError(
            "Expected names of images of ChestX-ray14 or CheXpert with convention="
            f"'auto'. Received: {raw['image'].iat[0]!r} in {path}. Use convention="
            f"{' or '.join(choices)}."
        )
    if convention == "auto" and source is not None:
        convention = PUBLISHED[source]
    remedy = 'Read the file with convention="{}".'
    ham_boxes.check_convention(raw, files, convention, path, remedy)
    return raw, convention


def _tagged(raw: pd.DataFrame, tags: Tags, on_error: str) -> pd.DataFrame:
    """Boxes whose classes are tags of their images, or whose images have no tags."""
    pairs = zip(raw["image"], raw["label"], strict=True)
    tagged = np.array([label in tags.get(i, {label}) for i, label in pairs], bool)
    report_problems(
        [
            f"{i} ({location}), tags: {', '.join(sorted(tags[i])) or NO_FINDING}"
            for i, location in raw.loc[~tagged, ["image", "location"]].to_numpy()
        ],
        f"Expected boxes of {BOXES} to be of classes that the image has in {TAGS}",
        on_error,
        'Add the tags, remove the boxes, or --on-error skip (on_error="skip").',
    )
    return raw[tagged]


def _check_same_images(boxed: set[str], tagged: set[str], path: Path) -> None:
    """Raise if one of the files has folders before the same images and one has not."""
    if not boxed or boxed & tagged:
        return
    common = (boxed & _path_ends(tagged)) or (_path_ends(boxed) & tagged)
    if common:
        raise ValueError(
            f"Expected the same names of images in {path} and {TAGS}. Received: no "
            f"common name, but {min(common)!r} in one, with folders before it in the "
            "other. Write the same names in both."
        )


def _path_ends(names: Iterable[str]) -> set[str]:
    """Every path without one or more of its first folders."""
    split = [name.split("/") for name in names]
    return {"/".join(words[i:]) for words in split for i in range(1, len(words))}
