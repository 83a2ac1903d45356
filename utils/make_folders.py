"""Make an image-folder tree (train/CLASS, test/CLASS) from a table of labels.

Example:
    python utils/make_folders.py --table Data_Entry_2017.csv --images images \
        --test-list test_list.txt --classes Cardiomegaly Pneumothorax --out data/nih2
"""

import argparse
import collections
import json
import os
import pathlib
import shutil
from collections.abc import Mapping

import numpy as np
from tqdm import tqdm

ABOUT = """\
Makes an image-folder tree (train/CLASS, test/CLASS) from a table of labels: NIH
ChestX-ray14's Data_Entry_2017.csv, or a csv with the columns image and label (several
labels joined by |), and, optionally, split and group. An image goes to the single class
of --classes among its labels; images with none or several of them are left out."""
EXAMPLE = """\
example:
  python utils/make_folders.py --table Data_Entry_2017.csv --images images \\
      --test-list test_list.txt --classes Cardiomegaly Pneumothorax \\
      --boxes BBox_List_2017.csv --out data/nih2"""
# names of columns, those of NIH ChestX-ray14 first
IMAGE = ("Image Index", "image")
LABEL = ("Finding Labels", "label")
GROUP = ("Patient ID", "group")
MAKERS = {"symlink": os.symlink, "hardlink": os.link, "copy": shutil.copyfile}


def parse(arguments=None):
    """Create the parser and parse arguments (None: the command line's)."""
    from kerasloc.training.cli import Parser

    parser = Parser(ABOUT, EXAMPLE)
    path = {"type": pathlib.Path}
    add = parser.add_argument
    add("--table", required=True, **path, metavar="CSV", help="the labels")
    text = "folder of the images, also in subfolders"
    add("--images", required=True, **path, metavar="DIR", help=text)
    add("--out", required=True, **path, metavar="DIR", help="folder to write")
    add("--classes", nargs="+", metavar="A", help="two or more (default: all)")
    text = "use only images without further labels (default: no)"
    add("--only", action="store_true", help=text)
    text = "names of the test images (default: none)"
    add("--test-list", **path, metavar="FILE", help=text)
    text = "share of the images for testing, by patients "
    text += "(default: 0.2 without --test-list or a column split)"
    add("--test-share", type=float, metavar="S", help=text)
    text = "seed of the test share (default: %(default)s)"
    add("--seed", type=int, default=0, metavar="N", help=text)
    text = f"column of the patient (default: {' or '.join(GROUP)}, if present)"
    add("--group-column", metavar="NAME", help=text)
    text = "type of the files; copies where links fail (default: %(default)s)"
    add("--link", choices=MAKERS, default="symlink", help=text)
    text = "rows image, label, x, y, w, h, as in BBox_List_2017.csv (default: no boxes)"
    add("--boxes", **path, metavar="CSV", help=text)
    text = "factor on the boxes: size of your images / of the boxes' images "
    text += "(NIH at 320 px: 0.3125; default: %(default)s)"
    add("--box-scale", type=float, default=1.0, metavar="F", help=text)
    text = "leave out rows without an image file (default: no)"
    add("--skip-missing", action="store_true", help=text)
    return parser, parser.parse_args(arguments)


def main(arguments=None) -> None:
    """Make the tree and print its content, or an error."""
    parser, options = parse(arguments)
    try:
        print(make(options))
    except (ValueError, OSError) as error:
        parser.error(str(error))


def make(options: argparse.Namespace) -> str:
    """Make the tree; returns the report, lines of text."""
    out = options.out
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(
            f"Expected an empty folder as --out. Received: {out}. Remove it or name "
            "another folder."
        )
    rows = read_table(options.table, options.group_column)
    chosen, left_out = choose(rows, options.classes, options.only)
    chosen, missing = locate(chosen, options.images, options.skip_missing)
    splits = split(chosen, options)
    names = [
        f"{subset}/{row['class']}/{row['image'].replace('/', '_')}"
        for subset, row in zip(splits, chosen, strict=True)
    ]
    check_names(names)
    boxes = read_boxes(options.boxes, options.box_scale) if options.boxes else {}
    check_boxes(boxes, {row["image"]: row["path"] for row in chosen})
    for name, row in zip(tqdm(names, "linking", unit="image"), chosen, strict=True):
        link_file(row["path"], out / name, options.link)
    annotated = {}
    for name, row in zip(names, chosen, strict=True):
        of_class = [b for b in boxes.get(row["image"], ()) if b[4] == row["class"]]
        annotated |= {name: of_class} if of_class else {}
    if options.boxes:
        content = {"settings": settings(options), "boxes": annotated, "masks": {}}
        (out / "annotations.json").write_text(json.dumps(content), encoding="utf-8")
    counts = collections.Counter(tuple(name.split("/")[:2]) for name in names)
    lines = [
        f"{out}: {len(names)} images; {left_out} rows with none or several of the "
        f"classes left out, {missing} without an image",
        *(f"  {s:5} {c:24} {counts[s, c]:7}" for s, c in sorted(counts)),
        f"  boxes: {sum(map(len, annotated.values()))} in {len(annotated)} images",
    ]
    return "\n".join(lines)


def read_table(path: pathlib.Path, group_column=None) -> list[dict]:
    """Read rows of image, labels (a set), group and split (None without a column)."""
    from kerasloc.data.datasets import reading

    lines = reading.read_table(path).to_dict("records")
    columns = list(lines[0]) if lines else []
    image, label = (
        next((c for c in names if c in columns), None) for names in (IMAGE, LABEL)
    )
    if image is None or label is None:
        raise ValueError(
            f"Expected rows with {' or '.join(IMAGE)} and {' or '.join(LABEL)} in "
            f"{path}. Received: {len(lines)} rows with "
            f"{', '.join(columns) or 'no columns'}."
        )
    if group_column is not None and group_column not in columns:
        raise ValueError(
            f"Expected --group-column as one of {', '.join(columns)}. "
            f"Received: {group_column!r}."
        )
    group = group_column or next((c for c in GROUP if c in columns), None)
    return [
        {
            "image": line[image],
            "labels": {word.strip() for word in line[label].split("|")} - {""},
            "group": line[group] if group else "",
            "split": line["split"] if "split" in columns else None,
        }
        for line in lines
    ]


def choose(rows, classes, only: bool) -> tuple[list[dict], int]:
    """Choose rows with exactly one of the classes; also counts the remaining rows."""
    labels = set().union(*(row["labels"] for row in rows))
    classes = set(classes or labels)
    if len(classes) < 2 or not classes <= labels:
        raise ValueError(
            f"Expected two or more --classes of {', '.join(sorted(labels))}. "
            f"Received: {', '.join(sorted(classes))}."
        )
    chosen = [
        {**row, "class": next(iter(row["labels"] & classes))}
        for row in rows
        if len(row["labels"] & classes) == 1 and (len(row["labels"]) == 1 or not only)
    ]
    empty = classes - {row["class"] for row in chosen}
    if empty:
        raise ValueError(
            "Expected an image of every class without the remaining classes. "
            f"Received: no row of {', '.join(sorted(empty))}."
        )
    return chosen, len(rows) - len(chosen)


def locate(rows, folder: pathlib.Path, skip: bool) -> tuple[list[dict], int]:
    """Add the ``path`` of their image to rows; also counts rows without."""
    from kerasloc.data.datasets.files import files_in
    from kerasloc.data.problems import report_problems

    below = collections.defaultdict(list)
    if not all((folder / row["image"]).is_file() for row in rows):
        for path in files_in(folder):
            below[path.name].append(path)
    located, missing, ambiguous = [], [], []
    for row in rows:
        direct = folder / row["image"]
        paths = [direct] if direct.is_file() else below.get(row["image"], [])
        if not paths:
            missing.append(row["image"])
        elif len(paths) > 1:
            ambiguous.append(", ".join(map(str, paths)))
        else:
            located.append({**row, "path": paths[0]})
    rule = f"Expected every name of the table to be that of one image in {folder}"
    report_problems(ambiguous, rule, remedy="Write more of the path in the table.")
    if not located or (missing and not skip):
        raise ValueError(
            f"Expected all images in {folder}. Received: {len(missing)} of {len(rows)} "
            f"are missing, {', '.join(missing[:10])}. Check --images, or use "
            "--skip-missing."
        )
    return located, len(missing)


def split(rows, options: argparse.Namespace) -> np.ndarray:
    """Assign "train", "val" or "test" to each row, and a group to only one of them."""
    from kerasloc.data import Table, check_disjoint, cut_validation
    from kerasloc.data.table import split_of
    from kerasloc.io import read_text

    names = sorted({row["class"] for row in rows})
    classes = [names.index(row["class"]) for row in rows]
    if options.test_list and options.test_share is not None:
        raise ValueError(
            "Expected --test-list or --test-share. Received: "
            f"{options.test_list} and {options.test_share}."
        )
    share = options.test_share
    if options.test_list:
        listed = set(read_text(options.test_list).split())
        splits = ["test" if row["image"] in listed else "train" for row in rows]
    elif rows[0]["split"] is not None and share is None:
        splits = [split_of(row["split"]) or row["split"] for row in rows]
    else:
        share = 0.2 if share is None else share
        splits = ["train"] * len(rows)
    table = Table(
        paths=[str(row["path"]) for row in rows],
        class_names=names,
        labels=np.eye(len(names))[classes],
        splits=splits,
        groups=[row["group"] for row in rows],
    )
    if share is not None:
        cut = cut_validation(table, share, options.seed).splits
        return np.where(cut == "val", "test", cut)
    if "" in splits or not {"train", "test"} <= set(splits):
        raise ValueError(
            "Expected every image in train, val or test, and images in train and test, "
            f"by the column split or --test-list. Received: {sorted(set(splits))}."
        )
    check_disjoint(table)
    return table.splits


def check_names(names) -> None:
    """Raise if two images would become one file, or a label is no name of a folder."""
    twice = [name for name, n in collections.Counter(names).items() if n > 1]
    invalid = [name for name in names if name.count("/") != 2 or "\\" in name]
    if twice or invalid:
        raise ValueError(
            "Expected names of different files and labels that are names of folders. "
            f"Received: {', '.join((twice + invalid)[:10])}. Rename them in the table."
        )


def link_file(
    source: pathlib.Path, target: pathlib.Path, link: str, makers: Mapping = MAKERS
) -> None:
    """Link or copy a file; copy where the file system has no such links."""
    target.parent.mkdir(parents=True, exist_ok=True)
    source = source.resolve()
    try:
        makers[link](source, target)
    except OSError:
        if link == "copy":
            raise
        shutil.copyfile(source, target)


def read_boxes(path: pathlib.Path, scale: float) -> dict[str, list]:
    """Read the boxes [x, y, w, h, label] of each image, scaled."""
    from kerasloc.data.datasets.nih14 import read_box_list

    boxes = collections.defaultdict(list)
    for image, label, *box in read_box_list(path).itertuples(index=False):
        boxes[image].append([*(round(value * scale, 3) for value in box), label])
    return boxes


def check_boxes(boxes: Mapping[str, list], files: Mapping) -> None:
    """Raise if boxes lie outside their image, in a scale that is not that of it."""
    from kerasloc.data.datasets.files import image_sizes
    from kerasloc.data.problems import report_problems

    names = [name for name in boxes if name in files]
    sizes = image_sizes([str(files[name]) for name in names])
    report_problems(
        [
            f"{name}: x, y, w, h = {x}, {y}, {w}, {h} in {cols:g} x {rows:g} pixels"
            for name, (rows, cols) in zip(names, sizes.tolist(), strict=True)
            for x, y, w, h, _ in boxes[name]
            if x >= cols or y >= rows
        ],
        "Expected scaled boxes inside their images",
        remedy="Use --box-scale with the size of the images / of the boxes' images.",
    )


def settings(options: argparse.Namespace) -> dict:
    """Convert the options to JSON values."""
    return {
        key: str(value) if isinstance(value, pathlib.Path) else value
        for key, value in vars(options).items()
    }


if __name__ == "__main__":
    from kerasloc.training.cli import run_main

    run_main(main)
