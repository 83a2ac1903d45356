"""Looks at every file of a data set and prints what is in it, before a long training.

Example:
    python utils/check_data.py --dataset nih14 --data-dir data/nih14 --channels 1
"""

import contextlib
import logging
import os

EXAMPLES = """\
examples:
  python utils/check_data.py --dataset nih14 --data-dir data/nih14 --channels 1
  python utils/check_data.py --dataset nih14 --data-dir data/nih14 \\
      --image-dir /disk/images --labels onehot --on-error skip
  python utils/check_data.py --dataset vindr --data-dir data/vin --channels 1
  python utils/check_data.py --dataset voc --data-dir data/voc2012
  python utils/check_data.py --dataset csv --data-dir mine.csv

The exit status is 1 if something is wrong."""


def parse(arguments=None):
    """What was asked for (None: on the command line)."""
    from kerasloc.data.datasets import READERS
    from kerasloc.training.arguments import Parser

    parser = Parser(
        "Reads a data set, opens every image, and prints images, patients, labels and "
        "boxes of each split; says what is odd, and stops at what is wrong.",
        EXAMPLES,
    )
    add = parser.add_argument
    add("--dataset", required=True, choices=READERS, help="what kind it is")
    add(
        "--data-dir",
        required=True,
        help="its folder (csv: the file, or the folder of a data.csv)",
    )
    add("--image-dir", help="where its images lie, if not below the folder")
    add("--channels", type=int, default=3, help="1 (gray) or 3 (default 3)")
    add(
        "--on-error",
        choices=("raise", "skip"),
        default="raise",
        help="what is wrong: stop (default), or leave it out and count it",
    )
    add(
        "--labels",
        choices=("auto", "entry", "onehot"),
        help="nih14: which csv files say the labels (default: Data_Entry if there)",
    )
    add("--year", help="voc: which (default 2012)")
    return parser.parse_args(arguments)


class Notes(logging.Handler):
    """Keeps the warnings of the readers, which would scroll by, for the report."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.texts = []

    def emit(self, record):
        self.texts.append(record.getMessage())


@contextlib.contextmanager
def kept_notes():
    """The warnings of ``kerasloc.data``, in the place of printing them."""
    notes = Notes()
    logger = logging.getLogger("kerasloc.data")
    told, logger.propagate = logger.propagate, False
    logger.addHandler(notes)
    try:
        yield notes.texts
    finally:
        logger.removeHandler(notes)
        logger.propagate = told


def report(options) -> str:
    """Lines of text on the data set, once all of it has been looked at.

    Raises:
        ValueError: If something is wrong with it.
    """
    from kerasloc.data import check, read_dataset

    names = ("image_dir", "labels", "year", "on_error")
    given = {name: getattr(options, name) for name in names}
    with kept_notes() as texts:
        table = read_dataset(options.dataset, options.data_dir, **given)
        notes = list(texts)
        table, found = check(table, options.on_error, channels=options.channels)
    lines = [*summary(table), "", f"Files of {options.data_dir}: {found}"]
    lines += ["", "Warnings of the reader:", *notes] if notes else []
    return "\n".join(lines)


def summary(table) -> list[str]:
    """Lines of text: counts of each split, and of each class in it."""
    from kerasloc.data.table import SPLITS

    lines = []
    for name in SPLITS:
        part = table.split(name)
        if len(part):
            patients = len(set(part.groups) - {""}) or "unknown"
            lines += [
                f"{name or 'no split'}: {len(part)} images, patients: {patients}, "
                f"{len(part.boxes)} boxes",
                *_class_lines(part),
            ]
    return lines


def _class_lines(table) -> list[str]:
    """Lines of text: counts of each class."""
    import numpy as np

    boxes = np.bincount(table.boxes[:, 5].astype(int), minlength=table.labels.shape[1])
    columns = (
        (table.labels == 1).sum(axis=0),
        boxes,
        np.isnan(table.labels).sum(axis=0),
    )
    none = (table.labels == 0).all(axis=1).sum()
    return [
        f"  {'class':24} {'images':>8} {'boxes':>8} {'unknown':>8}",
        *(
            f"  {name:24} {images:8} {boxes:8} {unknown:8}"
            for name, images, boxes, unknown in zip(
                table.class_names, *columns, strict=True
            )
        ),
        f"  {'none of them':24} {none:8}",
    ]


def main(arguments=None) -> None:
    """Print the report."""
    print(report(parse(arguments)))


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from kerasloc.training.arguments import run_main

    run_main(main)
