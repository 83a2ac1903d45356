"""Boxes of HAM's ``BBoxes.json``: {image: {class: [[a, b, c, d], ...]}}.

The numbers are x, y, width, height ("xywh") for ChestX-ray14, in pixels of its
originals (1024 x 1024), and xmin, ymin, xmax, ymax ("xyxy") for CheXpert, in those of
the files.
"""

import json
import re
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from kerasloc.data.datasets.files import PathLike, image_sizes
from kerasloc.data.datasets.nih14 import BOX_SIDE
from kerasloc.data.datasets.reading import BOX_COLUMNS, XYWH, read_json
from kerasloc.data.problems import report_problems

CONVENTIONS = {"xywh": "x, y, width, height", "xyxy": "xmin, ymin, xmax, ymax"}
NIH_IMAGE = re.compile(r"(?:.*/)?(\d{8})_\d{3}\.\w+")
CHEXPERT_IMAGE = re.compile(r"(?:.*/)?(patient\d+)/study\d+/[^/]+")
SLACK = 0.02  # of a side: hand-drawn boxes stick out by so little
RAW = ["image", "location", "label", "a", "b", "c", "d"]


def read_boxes(path: PathLike) -> pd.DataFrame:
    """Read all boxes of a ``BBoxes.json``: image, location, label, and a, b, c, d.

    Raises:
        ValueError: If it is broken or of another structure; lists the places.
    """
    rows, problems = [], []
    for image, classes in read_json(path).items():
        if not isinstance(classes, dict):
            problems.append(f"{image}: {abbreviate(classes)}")
            continue
        for name, boxes in classes.items():
            listed = boxes if isinstance(boxes, list) else [boxes]
            for number, box in enumerate(listed, 1):
                valid = isinstance(box, list) and len(box) == 4
                if valid and all(type(value) in (int, float) for value in box):
                    rows.append((image, f"{name} {number}", name, *box))
                else:
                    problems.append(f"{image}, {name} {number}: {abbreviate(box)}")
    rule = f"Expected {{image: {{class: [[a, b, c, d], ...]}}}} in {path}"
    report_problems(problems, rule, remedy="Fix or remove these.")
    return pd.DataFrame(rows, columns=RAW)


def convert_boxes(
    raw: pd.DataFrame, class_names: Sequence[str], convention: str
) -> pd.DataFrame:
    """Convert boxes with valid labels, of some classes, to ``reading.box_frame``."""
    index = {name: i for i, name in enumerate(class_names)}
    raw = raw.loc[raw["label"].isin(index)]
    boxes = raw.set_axis([*RAW[:3], *XYWH], axis=1).astype(dict.fromkeys(XYWH, float))
    if convention == "xyxy":
        boxes[["w", "h"]] -= boxes[["x", "y"]].to_numpy()
    boxes["class_index"] = boxes["label"].map(index)
    boxes["rows"] = boxes["cols"] = _frame_side(raw)
    return boxes[BOX_COLUMNS]


def check_convention(
    raw: pd.DataFrame,
    files: Mapping[str, str],
    convention: str,
    source: PathLike,
    remedy: str,
) -> None:
    """Validate that at least half of the boxes lie in their images.

    ``remedy`` is the advice if the other convention fits, with "{}" for its name.

    Raises:
        ValueError: If not; counts the boxes that either convention fits.
    """
    names = list(dict.fromkeys(name for name in raw["image"] if name in files))
    frame = pd.DataFrame(image_sizes([files[name] for name in names]), index=names)
    sizes = frame.reindex(raw["image"]).to_numpy(float)
    readable = np.isfinite(sizes).all(axis=1)
    side = _frame_side(raw)[:, None]
    frames = np.where(np.isnan(side), sizes, side)[readable]
    raw = raw.loc[readable]
    fit = {name: _count_inside(raw, frames, name) for name in CONVENTIONS}
    if 2 * fit[convention] >= len(raw):
        return
    (alternative,) = set(CONVENTIONS) - {convention}
    better = 2 * fit[alternative] >= len(raw) and fit[alternative] > fit[convention]
    advice = remedy.format(alternative) if better else "Neither fits these images."
    counts = [
        f"{fit[name]} of {len(raw)} as {name} ({CONVENTIONS[name]})"
        for name in (convention, alternative)
    ]
    raise ValueError(
        f"Expected at least half of the boxes of {source} to have a size and lie in "
        f"their image. Received: {' and '.join(counts)}. {advice}"
    )


def abbreviate(value: object) -> str:
    """Format a value of a json file in at most 60 characters."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _count_inside(raw: pd.DataFrame, frames: np.ndarray, convention: str) -> int:
    """Number of boxes with a size inside frames (m, 2) of rows and columns."""
    start, end = np.split(raw[list("abcd")].to_numpy(float), 2, axis=1)
    if convention == "xywh":
        end = start + end
    sides = frames[:, ::-1]  # x before y
    slack = SLACK * sides
    inside = (start < end) & (start >= -slack) & (end <= sides + slack)
    return int(inside.all(axis=1).sum())


def _frame_side(raw: pd.DataFrame) -> np.ndarray:
    """Side of the image that each box was measured in; NaN: that of its file."""
    original = raw["image"].map(lambda name: NIH_IMAGE.fullmatch(name) is not None)
    return np.where(original.astype(bool), BOX_SIDE, np.nan)
