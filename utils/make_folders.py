"""Makes an image-folder tree (train/CLASS, test/CLASS) from a table of labels.

Example:
    python utils/make_folders.py --table Data_Entry_2017.csv --images images \
        --test-list test_list.txt --classes Cardiomegaly Pneumothorax --out data/nih2
"""

import argparse
import collections
import csv
import json
import os
import pathlib
import shutil

import numpy as np
from tqdm import tqdm

# what a column may be called: NIH ChestX-ray14's name first
IMAGE = ("Image Index", "image")
LABEL = ("Finding Labels", "label")
GROUP = ("Patient ID", "group")


def parse(arguments=None) -> tuple[argparse.ArgumentParser, argparse.Namespace]:
    """The parser and what it made of the arguments (None: the command line's)."""
    parser = argparse.ArgumentParser(
        description="Makes an image-folder tree (train/CLASS, test/CLASS) from a table "
        "of labels: NIH ChestX-ray14's Data_Entry_2017.csv, or a csv with the columns "
        "image and label (several labels joined by |), and, if you like, split and "
        "group. An image goes to the one class of --classes that it is labeled with; "
        "images with none or several of them are left out.",
        epilog="example: python utils/make_folders.py --table Data_Entry_2017.csv "
        "--images images --test-list test_list.txt --classes Cardiomegaly Pneumothorax "
        "--boxes BBox_List_2017.csv --out data/nih2",
    )
    path = {"type": pathlib.Path}
    add = parser.add_argument
    add("--table", required=True, **path, metavar="CSV", help="the labels")
    add(
        "--images",
        required=True,
        **path,
        metavar="DIR",
        help="folder of the images; its subfolders are searched, too",
    )
    add("--out", required=True, **path, metavar="DIR", help="folder to write")
    add("--classes", nargs="+", metavar="A", help="two or more (default: all)")
    add("--only", action="store_true", help="take images with no other label at all")
    _add_split_options(add, path)
    add(
        "--link",
        choices=("symlink", "hardlink", "copy"),
        default="symlink",
        help="how files get there; copies where links fail (default %(default)s)",
    )
    add(
        "--boxes",
        **path,
        metavar="CSV",
        help="boxes: rows image, label, x, y, w, h (BBox_List_2017.csv)",
    )
    add(
        "--box-scale",
        "--box_scale",
        type=float,
        default=1.0,
        metavar="F",
        help="factor on the boxes: size of your images / of the boxes' images "
        "(NIH at 320 px: 0.3125; default %(default)s)",
    )
    add(
        "--skip-missing",
        "--skip_missing",
        action="store_true",
        help="leave out rows whose image is not there",
    )
    return parser, parser.parse_args(arguments)


def _add_split_options(add, path) -> None:
    """Who goes to the test side."""
    add("--test-list", "--test_list", **path, metavar="FILE", help="test images' names")
    add(
        "--test-share",
        "--test_share",
        type=float,
        metavar="S",
        help="share of the images for testing, patients on one side "
        "(default 0.2 where neither --test-list nor a column split says it)",
    )
    add("--seed", type=int, default=0, help="of the test share (default %(default)s)")
    add(
        "--group-column",
        "--group_column",
        metavar="NAME",
        help=f"column of the patient (default: {' or '.join(GROUP)}, if there)",
    )


def main(arguments=None) -> None:
    """Make the tree and say what is in it, or why there is none."""
    parser, options = parse(arguments)
    try:
        print(make(options))
    except (ValueError, OSError) as error:
        parser.error(str(error))


def make(options: argparse.Namespace) -> str:
    """Make the tree; gives the report, lines of text.

    Raises:
        ValueError: If the table, the images or the folder do not fit.
    """
    out = options.out
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} is not empty. Remove it or name another folder.")
    rows = read_table(options.table, options.group_column)
    wanted, left_out = choose(rows, options.classes, options.only)
    found, missing = locate(wanted, options.images, options.skip_missing)
    splits = split(found, options)
    names = [
        f"{where}/{row['class']}/{row['image'].replace('/', '_')}"
        for where, row in zip(splits, found, strict=True)
    ]
    check_names(names)
    for name, row in zip(tqdm(names, "linking", unit="image"), found, strict=True):
        place(row["path"], out / name, options.link)
    boxes = read_boxes(options.boxes, options.box_scale) if options.boxes else {}
    annotated = {
        name: own
        for name, row in zip(names, found, strict=True)
        if (own := [b for b in boxes.get(row["image"], []) if b[4] == row["class"]])
    }
    if options.boxes:
        content = {"settings": settings(options), "boxes": annotated, "masks": {}}
        (out / "annotations.json").write_text(json.dumps(content), encoding="utf-8")
    counts = collections.Counter(tuple(name.split("/")[:2]) for name in names)
    return "\n".join(
        [
            f"{out}: {len(names)} images; {left_out} rows with none or several of the "
            f"classes left out, {missing} without an image",
            *(f"  {s:5} {c:24} {counts[s, c]:7}" for s, c in sorted(counts)),
            f"  boxes: {sum(map(len, annotated.values()))} in {len(annotated)} images",
        ]
    )


def read_table(path: pathlib.Path, group_column=None) -> list[dict]:
    """Rows with image, labels (a set), group and split (None without that column)."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        lines = list(csv.DictReader(file))
    columns = list(lines[0]) if lines else []
    image, label = (
        next((c for c in names if c in columns), None) for names in (IMAGE, LABEL)
    )
    if image is None or label is None:
        raise ValueError(
            f"{path} has rows with {' or '.join(IMAGE)} and {' or '.join(LABEL)}. "
            f"Received: {len(lines)} rows with {', '.join(columns) or 'no columns'}."
        )
    if group_column is not None and group_column not in columns:
        raise ValueError(
            f"{path} has no column {group_column!r}: {', '.join(columns)}."
        )
    group = group_column or next((c for c in GROUP if c in columns), None)
    return [
        {
            "image": line[image].strip(),
            "labels": {word.strip() for word in line[label].split("|")} - {""},
            "group": line[group].strip() if group else "",
            "split": line["split"].strip() if "split" in columns else None,
        }
        for line in lines
    ]


def choose(rows, classes, only: bool) -> tuple[list[dict], int]:
    """Rows with exactly one of the classes, with it as ``class``; how many others."""
    known = set().union(*(row["labels"] for row in rows))
    classes = set(classes or known)
    if len(classes) < 2 or not classes <= known:
        raise ValueError(
            f"Choose two or more classes among {', '.join(sorted(known))}. "
            f"Received: {', '.join(sorted(classes))}."
        )
    chosen = [
        {**row, "class": next(iter(row["labels"] & classes))}
        for row in rows
        if len(row["labels"] & classes) == 1 and (len(row["labels"]) == 1 or not only)
    ]
    empty = classes - {row["class"] for row in chosen}
    if empty:
        raise ValueError(f"No row fits for {', '.join(sorted(empty))}.")
    return chosen, len(rows) - len(chosen)


def locate(rows, folder: pathlib.Path, skip: bool) -> tuple[list[dict], int]:
    """The rows with the ``path`` of their image; how many have none."""
    below = {}
    if not all((folder / row["image"]).is_file() for row in rows):
        below = {p.name: p for p in sorted(folder.rglob("*")) if p.is_file()}
    found, missing = [], []
    for row in rows:
        direct = folder / row["image"]
        path = direct if direct.is_file() else below.get(row["image"])
        found += [] if path is None else [{**row, "path": path}]
        missing += [row["image"]] if path is None else []
    if not found or (missing and not skip):
        raise ValueError(
            f"{len(missing)} of {len(rows)} images are not in {folder}: "
            f"{', '.join(missing[:10])}. Check --images, or say --skip-missing."
        )
    return found, len(missing)


def split(rows, options: argparse.Namespace) -> np.ndarray:
    """Split of each row, "train", "val" or "test"; no group on two sides."""
    from kerasloc.data import Table, check_disjoint, cut_validation

    names = sorted({row["class"] for row in rows})
    classes = [names.index(row["class"]) for row in rows]
    given = rows[0]["split"] is not None
    if options.test_list and options.test_share is not None:
        raise ValueError("Say --test-list or --test-share, not both.")
    share = options.test_share
    if options.test_list:
        listed = set(options.test_list.read_text(encoding="utf-8").split())
        splits = ["test" if row["image"] in listed else "train" for row in rows]
    elif given and share is None:
        splits = [row["split"] for row in rows]
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
            "The column split or --test-list puts every image into train, val or test, "
            f"some into train and test. Received: {sorted(set(splits))}."
        )
    check_disjoint(table)
    return table.splits


def check_names(names) -> None:
    """Raise if two images would become one file, or a label is no folder name."""
    twice = [name for name, n in collections.Counter(names).items() if n > 1]
    strange = [name for name in names if name.count("/") != 2 or "\\" in name]
    if twice or strange:
        raise ValueError(
            "Every image gets a file of its own in a folder named like its label. "
            f"Received: {', '.join((twice + strange)[:10])}. Rename them in the table."
        )


def place(source: pathlib.Path, target: pathlib.Path, link: str) -> None:
    """Link or copy a file; copy where the file system has no such links."""
    target.parent.mkdir(parents=True, exist_ok=True)
    source = source.resolve()
    makers = {"symlink": os.symlink, "hardlink": os.link, "copy": shutil.copyfile}
    try:
        makers[link](source, target)
    except OSError:
        if link == "copy":
            raise
        shutil.copyfile(source, target)


def read_boxes(path: pathlib.Path, scale: float) -> dict[str, list]:
    """Boxes [x, y, w, h, label] of each image, scaled."""
    from kerasloc.data.datasets.nih14 import read_box_list

    boxes = collections.defaultdict(list)
    for image, label, *box in read_box_list(path).itertuples(index=False):
        boxes[image].append([*(round(value * scale, 3) for value in box), label])
    return boxes


def settings(options: argparse.Namespace) -> dict:
    """The options, as JSON takes them."""
    return {
        key: str(value) if isinstance(value, pathlib.Path) else value
        for key, value in vars(options).items()
    }


if __name__ == "__main__":
    main()
