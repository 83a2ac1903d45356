"""Check every file of a dataset and print its content, before a long training.

Example:
    python utils/check_data.py --dataset nih14 --data-dir data/nih14 --channels 1
"""

import contextlib
import dataclasses
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
    """Parse arguments (None: the command line's)."""
    from kerasloc.data.datasets import READERS
    from kerasloc.data.headers import MAX_PIXELS
    from kerasloc.training.cli import Parser

    parser = Parser(
        "Reads a dataset, opens every image, and prints images, patients, labels and\n"
        "boxes of each split; lists warnings, and stops at the first error.",
        EXAMPLES,
    )
    add = parser.add_argument
    add("--dataset", required=True, choices=READERS, help="kind of the dataset")
    text = "folder of the dataset (csv: the file, or the folder of a data.csv)"
    add("--data-dir", required=True, help=text)
    text = "folder of the images (default: the dataset's folder)"
    add("--image-dir", help=text)
    text = "1 (gray) or 3 (default: %(default)s)"
    add("--channels", type=int, default=3, help=text)
    text = "bits of the levels in 16-bit files, such as 12 (default: 16)"
    add("--bits", type=int, help=text)
    text = "largest image or mask, in million pixels (default: %(default)s)"
    add("--max-megapixels", type=float, default=MAX_PIXELS / 1e6, help=text)
    text = "errors: stop, or skip and count the images (default: %(default)s)"
    add("--on-error", choices=("raise", "skip"), default="raise", help=text)
    text = "nih14: csv files of the labels (default: auto, Data_Entry if it exists)"
    add("--labels", choices=("auto", "entry", "onehot"), help=text)
    add("--year", help="voc: year of the dataset (default: 2012)")
    return parser.parse_args(arguments)


class Warnings(logging.Handler):
    """Handler that collects the readers' warnings for the report."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.texts = []

    def emit(self, record):
        self.texts.append(record.getMessage())


@contextlib.contextmanager
def collected_warnings():
    """Collect the warnings of ``kerasloc.data`` instead of printing them."""
    handler = Warnings()
    logger = logging.getLogger("kerasloc.data")
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield handler.texts
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate


def report(options) -> str:
    """Read and check the dataset; returns the report, lines of text."""
    from kerasloc.data import check, read_dataset

    names = ("image_dir", "labels", "year", "on_error")
    settings = {name: getattr(options, name) for name in names}
    with collected_warnings() as texts:
        table = read_dataset(options.dataset, options.data_dir, **settings)
        warnings = list(texts)
        table = dataclasses.replace(table, bits=options.bits)
        limits = {"channels": options.channels}
        limits["max_pixels"] = int(options.max_megapixels * 1e6)
        table, result = check(table, options.on_error, **limits)
    lines = [*summary(table), "", f"Files of {options.data_dir}: {result}"]
    lines += ["", "Warnings of the reader:", *warnings] if warnings else []
    return "\n".join(lines)


def summary(table) -> list[str]:
    """Format the counts of each split, and of each class in it."""
    from kerasloc.data.table import SPLITS

    lines = []
    for name in SPLITS:
        rows = table.split(name)
        if len(rows):
            patients = len(set(rows.groups) - {""}) or "unknown"
            lines += [
                f"{name or 'no split'}: {len(rows)} images, patients: {patients}, "
                f"{len(rows.boxes)} boxes",
                *_class_lines(rows),
            ]
    return lines


def _class_lines(table) -> list[str]:
    """Format the counts of each class."""
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
    """Check a dataset and print the report."""
    from kerasloc.io import printable

    print(printable(report(parse(arguments)), keep="\n"))


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from kerasloc.training.cli import run_main

    run_main(main)
