"""Options that the scripts of comparisons share; the others are in cli.py."""

import dataclasses

from kerasloc.data.datasets import READERS
from kerasloc.training.cli import Parser, overrides, parse_size, run_main

__all__ = ["DATASETS", "Parser", "add_compared_options", "given", "make", "run_main"]

DATASETS = tuple(READERS)
given = overrides
size = parse_size


def add_compared_options(parser, family: str):
    """Adds which trained models are compared, and on which images.

    Args:
        parser: A :class:`Parser`.
        family: Whose newest run is taken without ``--weights`` and ``--type``.
    """
    parser.add_argument(
        "--weights",
        nargs="+",
        help="run folders or weight files (default: newest run of --type)",
    )
    parser.add_argument("--type", help=f"family (default {family}, or of --weights)")
    parser.add_argument("--results-dir", default="results", help="where runs lie")
    data = parser.add_argument_group("data (default: that of each run)")
    data.add_argument("--data-dir", help="folder of the images, or a csv file")
    data.add_argument("--dataset", help="what --data-dir holds: " + ", ".join(DATASETS))
    data.add_argument("--image-dir", help="where a csv's images lie")
    data.add_argument("--split", choices=("test", "val"), default="test")
    data.add_argument(
        "--on-error", choices=("raise", "skip"), help="default: as in training"
    )
    data.add_argument(
        "--limit", type=int, default=100, help="images drawn at most (default 100)"
    )


def make(config, values: dict):
    """A dataclass from those of the values that are its fields.

    Args:
        config: The dataclass.
        values: Of any names.
    """
    names = {field.name for field in dataclasses.fields(config)}
    return config(**{key: value for key, value in values.items() if key in names})
