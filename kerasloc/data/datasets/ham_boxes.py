"""What HAM's json files say: tags and boxes, class names and box conventions mended.

``BBoxes.json`` is {image: {class: [[a, b, c, d], ...]}}. The four numbers are x, y,
width, height ("xywh") in the file for ChestX-ray14, in pixels of its originals of
1024 x 1024, and xmin, ymin, xmax, ymax ("xyxy") in the file for CheXpert, in pixels of
the image files.
"""

import collections
import difflib
import json
import logging
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kerasloc.data.datasets.nih14 import BOX_SIDE
from kerasloc.data.datasets.reading import OWN, Box, image_sizes
from kerasloc.data.problems import complain

CONVENTIONS = {"xywh": "x, y, width, height", "xyxy": "xmin, ymin, xmax, ymax"}
ALIASES = {
    "infiltrate": "infiltration",
    "enlargcardiomediastinum": "enlargedcardiomediastinum",
}
NIH_IMAGE = re.compile(r"(?:.*/)?(\d{8})_\d{3}\.\w+")
CHEXPERT_IMAGE = re.compile(r"(?:.*/)?(patient\d+)/study\d+/[^/]+")
SLACK = 0.02  # of a side: so little sticks out of hand-drawn boxes, too

logger = logging.getLogger(__name__)


class RawBox(NamedTuple):
    """A box as it stands in a json file.

    Attributes:
        image: Name of the image.
        where: What messages call it, such as "Mass 1".
        label: Name of its class, as written.
        values: Four numbers of either convention.
    """

    image: str
    where: str
    label: str
    values: tuple[float, float, float, float]


def read_json(path) -> dict:
    """The object in a JSON file.

    Args:
        path: The file.

    Raises:
        ValueError: If it is broken or no object, or has a key twice.
    """

    def once(pairs):
        content = dict(pairs)
        if len(content) < len(pairs):
            counts = collections.Counter(key for key, _ in pairs)
            twice = [f"{key!r}, {n} times" for key, n in counts.items() if n > 1]
            rule = f"{path}: a name stands once in its object"
            complain(twice, rule, way_out="Join or remove them.")
        return content

    text = Path(path).read_bytes()
    try:
        content = json.loads(text, object_pairs_hook=once)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path} is JSON. Received: broken JSON, {error}. Mend it, or get the file "
            "anew."
        ) from error
    if not isinstance(content, dict):
        raise ValueError(
            f"{path} is one JSON object with the images as its keys. Received: "
            f"{type(content).__name__}. Write {{image: ...}}."
        )
    return content


def read_boxes(path) -> list[RawBox]:
    """All boxes of a ``BBoxes.json``, none looked at closely.

    Args:
        path: The file.

    Raises:
        ValueError: If it is broken or built in another way; lists where.
    """
    raw, problems = [], []
    for image, classes in read_json(path).items():
        if not isinstance(classes, dict):
            problems.append(f"{image}: {short(classes)}")
            continue
        for name, boxes in classes.items():
            listed = boxes if isinstance(boxes, list) else [boxes]
            for number, box in enumerate(listed, 1):
                if _is_box(box):
                    raw.append(RawBox(image, f"{name} {number}", name, tuple(box)))
                else:
                    problems.append(f"{image}, {name} {number}: {short(box)}")
    rule = f"{path}: boxes stand as {{image: {{class: [[a, b, c, d], ...]}}}}"
    complain(problems, rule, way_out="Mend or remove these.")
    return raw


def spelling(name: str) -> str:
    """What is left of a name without case, blanks, underscores and known slips.

    Args:
        name: As somebody wrote it.
    """
    key = "".join(letter for letter in name.casefold() if letter.isalnum())
    return ALIASES.get(key, key) or name.strip()


def nearest(name: str, known) -> str:
    """The known name that looks most like another.

    Args:
        name: As somebody wrote it.
        known: Names, at least one.
    """
    by_key = {spelling(other): other for other in known}
    (key,) = difflib.get_close_matches(spelling(name), by_key, n=1, cutoff=0)
    return by_key[key]


def known_names(counts, known, source) -> dict[str, str]:
    """The known name for each written one; renamings are logged with their counts.

    Args:
        counts: How often each name is written, by name.
        known: The names as they should be.
        source: What messages call the file.

    Raises:
        ValueError: If a name is none of them in any spelling; suggests the nearest.
    """
    by_key = {spelling(name): name for name in known}
    found = {name: by_key.get(spelling(name)) for name in counts}
    unknown = [name for name, meant in found.items() if meant is None]
    complain(
        [f"{name!r} (nearest: {nearest(name, known)})" for name in sorted(unknown)],
        f"{source}: classes are {', '.join(known)}",
        way_out="Rename or remove them.",
    )
    for name, meant in found.items():
        if name != meant:
            logger.warning(
                "%s: %r is read as %r, %d times", source, name, meant, counts[name]
            )
    return found


def chosen_names(class_names, known) -> tuple[str, ...]:
    """The names that a caller picked.

    Args:
        class_names: Some of the known ones.
        known: All of them.

    Raises:
        ValueError: If there is another one; suggests the nearest.
    """
    names = tuple(class_names)
    complain(
        [
            f"{name!r} (nearest: {nearest(name, known)})"
            for name in names
            if name not in known
        ],
        f"class_names are among {', '.join(known)}",
        way_out="Write them so.",
    )
    return names


def place_boxes(raw, classes: dict[str, int], convention: str) -> list[Box]:
    """Boxes as readers hand them on; those of other classes are left out.

    Args:
        raw: As they stand.
        classes: Index of each class by the name that the file has for it.
        convention: "xywh" or "xyxy".
    """
    boxes = []
    for image, where, label, (a, b, c, d) in raw:
        if label in classes:
            size = (c, d) if convention == "xywh" else (c - a, d - b)
            frame = _frame(image)
            boxes.append(Box(image, where, a, b, *size, classes[label], frame))
    return boxes


def check_convention(raw, files, convention: str, source, way_out: str) -> None:
    """Make sure that half of the boxes or more lie in their images.

    Args:
        raw: Boxes as they stand.
        files: Path of each image by name; boxes of others do not count.
        convention: "xywh" or "xyxy", in which they are about to be read.
        source: What messages call the file.
        way_out: What to do if the other convention fits, with "{}" for its name.

    Raises:
        ValueError: If not; says how many boxes each convention fits, and which to take.
    """
    paths = {box.image: files[box.image] for box in raw if box.image in files}
    sizes = dict(zip(paths, image_sizes(list(paths.values())), strict=True))
    seen = [box for box in raw if np.isfinite(sizes.get(box.image, np.nan)).all()]
    (other,) = set(CONVENTIONS) - {convention}
    frames = [
        sizes[box.image] if np.isnan(_frame(box.image)).any() else _frame(box.image)
        for box in seen
    ]
    fit = {name: _count_inside(seen, frames, name) for name in CONVENTIONS}
    if 2 * fit[convention] >= len(seen):
        return
    neither = "Neither fits: look whether these are the images that the boxes are of."
    fits = 2 * fit[other] >= len(seen) and fit[other] > fit[convention]
    raise ValueError(
        f"{source}: read as {convention} ({CONVENTIONS[convention]}), at least half of "
        f"the boxes have a size and lie in their image. Received: {fit[convention]} of "
        f"{len(seen)} that do; as {other} ({CONVENTIONS[other]}) it is {fit[other]} of "
        f"{len(seen)}. {way_out.format(other) if fits else neither}"
    )


def _count_inside(raw, frames, convention: str) -> int:
    """How many boxes have a size and lie in frames (m, 2) of rows and columns."""
    values = np.array([box.values for box in raw], float).reshape(-1, 2, 2)
    sides = np.array(frames, float).reshape(-1, 2)[:, ::-1]  # x before y
    start, end = values[:, 0], values[:, 1]
    if convention == "xywh":
        end = start + end
    slack = SLACK * sides
    inside = (start < end) & (start >= -slack) & (end <= sides + slack)
    return int(inside.all(axis=1).sum())


def _frame(image: str) -> tuple[float, float]:
    """Rows and columns that an image's boxes were measured in; NaN: its file's."""
    return (BOX_SIDE, BOX_SIDE) if NIH_IMAGE.fullmatch(image) else OWN


def _is_box(box) -> bool:
    """Whether it is four numbers."""
    return (
        isinstance(box, list)
        and len(box) == 4
        and all(type(value) in (int, float) for value in box)
    )


def short(value) -> str:
    """The value as text of a bearable length.

    Args:
        value: Something out of a JSON file.
    """
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
