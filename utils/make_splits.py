"""Make lists of training, validation and test images by a published protocol.

Example:
    python utils/make_splits.py --dataset nih14 --data-dir data/nih14 \
        --protocol localization --output lists/localization
"""

import os
import pathlib

EXAMPLES = """\
protocols (shares as published with HAM, images of a patient always on one side):
  official        training and test images of the dataset; validation images are cut
                  from the training ones
  classification  five folds: 70 % / 10 % / 20 % of the images with boxes and of those
                  without
  no-boxes        test on all images with boxes, train on patients without boxes
  localization    five folds: test on 20 % of the images with boxes; train on the
                  remaining 80 % and on half of the images without

Lists are text files, one image name a line: train.txt, val.txt, test.txt, and, if
boxes are used in training, annotated.txt. Folds go to OUTPUT/fold0 ... fold4, other
protocols to OUTPUT itself. The same data, protocol, fold and seed make the same lists;
existing lists with another content are not overwritten.

examples:
  python utils/make_splits.py --dataset nih14 --data-dir data/nih14 \\
      --protocol localization --output lists/localization
  python utils/make_splits.py --dataset nih14 --data-dir data/nih14 \\
      --image-dir /disk/images --protocol classification --folds 0 1 --seed 3 \\
      --output lists/classification
  python utils/make_splits.py --dataset nih14 --data-dir data/nih14 \\
      --protocol no-boxes --output lists/no_boxes

The exit status is 1 if something is wrong."""


def parse(arguments=None):
    """Parse arguments (None: the command line's)."""
    from kerasloc.data.datasets import READERS
    from kerasloc.data.splits import FOLDS, PROTOCOLS, VAL_SHARE
    from kerasloc.training.cli import Parser

    parser = Parser(
        "Reads a dataset and writes lists of its training, validation and test\n"
        "images; prints the numbers of images, images with boxes and patients.",
        EXAMPLES,
    )
    add = parser.add_argument
    add("--dataset", required=True, choices=READERS, help="kind of the dataset")
    text = "folder of the dataset (csv: the file, or the folder of a data.csv)"
    add("--data-dir", required=True, help=text)
    text = "folder of the images (default: the dataset's folder)"
    add("--image-dir", help=text)
    add("--protocol", required=True, choices=PROTOCOLS, help="see below")
    add("--output", required=True, type=pathlib.Path, help="folder of the lists")
    folds = {"choices": range(FOLDS), "metavar": "FOLD", "type": int, "nargs": "+"}
    text = f"folds to write, of 0 to {FOLDS - 1} (default: all)"
    add("--folds", **folds, help=text)
    text = "seed of all random choices (default: %(default)s)"
    add("--seed", type=int, default=0, help=text)
    text = "share of the training images for validation; for classification, share of "
    text += "all images (default: %(default)s)"
    add("--val-share", type=float, default=VAL_SHARE, help=text)
    text = "rows without an image, boxes outside of it: stop, or skip with a warning "
    text += "(default: %(default)s)"
    add("--on-error", choices=("raise", "skip"), default="raise", help=text)
    return parser.parse_args(arguments)


def make(options) -> str:
    """Write the lists; returns the report, lines of text."""
    from kerasloc.data import read_dataset
    from kerasloc.data.splits import make_lists, write_lists

    table = read_dataset(
        options.dataset,
        options.data_dir,
        image_dir=options.image_dir,
        on_error=options.on_error,
    )
    made = {
        folder: make_lists(
            table, options.protocol, fold, options.seed, val_share=options.val_share
        )
        for folder, fold in folders(options).items()
    }
    lines = [
        f"{options.protocol}, seed {options.seed}: {options.data_dir}",
        f"  {'list':12} {'images':>8} {'with boxes':>10} {'patients':>8}",
        counts("all", table),
    ]
    for folder, lists in made.items():
        write_lists(folder, lists)
        lines += [f"{folder}:", *summary(table, lists)]
    return "\n".join(lines)


def folders(options) -> dict:
    """Fold of each folder to write."""
    from kerasloc.data.splits import FOLDED, FOLDS

    if options.protocol in FOLDED:
        folds = range(FOLDS) if options.folds is None else sorted(set(options.folds))
        return {options.output / f"fold{fold}": fold for fold in folds}
    if options.folds is not None:
        raise ValueError(
            f"Expected --folds with {' or '.join(FOLDED)}. Received: --folds with "
            f"{options.protocol}. Leave it out."
        )
    return {options.output: 0}


def summary(table, lists) -> list[str]:
    """Format the counts of each list, and of images on no list."""
    from kerasloc.data.splits import apply_lists

    listed = apply_lists(table, lists)
    names = {"train": "train", "val": "val", "test": "test", "": "on no list"}
    return [
        counts(name, table.subset(listed.splits == split))
        for split, name in names.items()
    ]


def counts(name: str, table) -> str:
    """Format the numbers of images, images with boxes and patients of a table."""
    annotated = len(set(table.boxes[:, 0]))
    patients = len(set(table.groups) - {""}) or ("unknown" if len(table) else 0)
    return f"  {name:12} {len(table):8} {annotated:10} {patients:>8}"


def main(arguments=None) -> None:
    """Write the lists and print the report."""
    print(make(parse(arguments)))


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from kerasloc.training.cli import run_main

    run_main(main)
