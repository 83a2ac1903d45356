"""The command line of the training scripts: options, presets, errors for people."""

import argparse
import dataclasses
import logging
import os
import pathlib
import sys
import tomllib

from kerasloc.training.devices import PRECISIONS

DATASETS = (
    "folders",
    "csv",
    "nih14",
    "chexpert",
    "ham",
    "vindr",
    "voc",
    "imagenet-hvz",
    "nih-nci",
)


class Parser(argparse.ArgumentParser):
    """A parser that takes every option with dashes or with underscores."""

    def __init__(self, description: str, example: str, **options):
        super().__init__(
            description=description,
            epilog=example,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            **options,
        )

    def parse_known_args(self, args=None, namespace=None):
        """As argparse, after ``--an_option`` has become ``--an-option``.

        The options of the file behind ``--config`` come first, so that those of the
        command line win.
        """
        args = [_dashed(word) for word in (sys.argv[1:] if args is None else args)]
        finder = argparse.ArgumentParser(add_help=False)
        finder.add_argument("--config")
        path = finder.parse_known_args(args)[0].config
        words = [] if path is None else self._words_of(path)
        return super().parse_known_args([*words, *args], namespace)

    def _words_of(self, path) -> list[str]:
        """The command line that a toml file stands for."""
        try:
            with open(path, "rb") as file:
                values = tomllib.load(file)
        except (OSError, tomllib.TOMLDecodeError) as error:
            self.error(f"--config takes a readable toml file; {path}: {error}")
        words = []
        for name, value in values.items():
            flag = name.replace("_", "-")
            if isinstance(value, bool):
                words.append(f"--{flag}" if value else f"--no-{flag}")
            else:
                many = value if isinstance(value, list) else [value]
                words += [f"--{flag}", *map(str, many)]
        return words


def _dashed(word: str) -> str:
    if not word.startswith("--"):
        return word
    name, equals, value = word.partition("=")
    return name.replace("_", "-") + equals + value


def size(text: str):
    """An image size from the command line: ``96``, ``96x128`` or ``96,128``."""
    parts = [int(part) for part in text.replace("x", ",").split(",")]
    return parts[0] if len(parts) == 1 else tuple(parts)


def add_data_options(parser):
    """Which images, and how they are read."""
    group = parser.add_argument_group("data")
    group.add_argument(
        "--data-dir",
        help="folder with train/CLASS/*.jpg (and test/, val/), a csv file with the "
        "columns image and label, or the folder of a --dataset; without it, synthetic "
        "images are made in data/",
    )
    group.add_argument(
        "--dataset",
        choices=DATASETS,
        help="what lies there (default: csv for a file, folders for a folder)",
    )
    group.add_argument("--image-dir", help="where the csv's images lie")
    group.add_argument(
        "--classes",
        nargs="+",
        metavar="A",
        help="only images with exactly one of these classes, single-label",
    )
    group.add_argument(
        "--val-share",
        type=float,
        help="share of the training images kept for validation when there is no val/ "
        "(default 0.2)",
    )
    group.add_argument(
        "--on-error",
        choices=("raise", "skip"),
        help="broken images: stop (default), or leave out and count",
    )
    group.add_argument("--im-size", type=size, help="pixels, or rows x cols: 96x128")
    group.add_argument("--channels", type=int, help="1 (gray) or 3")
    group.add_argument(
        "--num-classes", type=int, help="checked against the data; not needed"
    )
    group.add_argument(
        "--augmentation",
        help="affine (HRCAM's recipe, in TensorFlow), imgaug (the same through "
        "imgaug), xray or voc (PYLON's), ham, strong (through imgaug), or none",
    )
    group.add_argument(
        "--cache", help="keep decoded images: memory, or the path of a file"
    )


def add_training_options(parser):
    """How long, how fast, where."""
    add_run_options(parser)
    group = parser.add_argument_group("optimization")
    group.add_argument("--epochs", type=int, help="until which epoch")
    group.add_argument("--optimizer", choices=("adadelta", "adam", "sgd"))
    group.add_argument("--learning-rate", type=float, help="at the start")


def add_run_options(parser):
    """Where, from which seed, on what."""
    group = parser.add_argument_group("training")
    group.add_argument("--results-name", help="name of the run (default: of the data)")
    group.add_argument(
        "--results-dir", default="results", help="where runs lie (default results)"
    )
    group.add_argument("--batch-size", "-bs", type=int, help="images in a step")
    group.add_argument("--seed", type=int, help="decides everything drawn (default 0)")
    group.add_argument(
        "--gpu", help="number of the GPU; 0,1 for several; -1 for the CPU"
    )
    group.add_argument(
        "--mixed-precision",
        dest="precision",
        choices=PRECISIONS,
        help="number format of the layers (default float32)",
    )


def add_experiment_options(parser):
    """Several runs, and what is measured at their end; the group, for more of them."""
    group = parser.add_argument_group("experiment")
    group.add_argument(
        "--seeds",
        type=int,
        nargs="+",
        help="several runs, one per seed, collected with mean and deviation",
    )
    group.add_argument(
        "--evaluation",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="measure the runs on the test images at the end (default: yes)",
    )
    return group


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


def add_network_options(parser):
    """Sizes of the DenseNet-FCN."""
    group = parser.add_argument_group("network (published: 16, 4, 4, 48, 0.99)")
    group.add_argument("--growth", type=int, help="new channels of a dense layer")
    group.add_argument("--blocks", type=int, help="dense blocks with pooling")
    group.add_argument("--layers-per-block", type=int, help="layers in a dense block")
    group.add_argument("--initial-filters", type=int, help="of the first convolution")
    group.add_argument("--momentum", type=float, help="of batch normalization")


def given(options) -> dict:
    """The options that were given on the command line."""
    return {key: value for key, value in vars(options).items() if value is not None}


def make(config, values: dict):
    """A dataclass from those of the values that are its fields.

    Args:
        config: The dataclass.
        values: Of any names.
    """
    names = {field.name for field in dataclasses.fields(config)}
    return config(**{key: value for key, value in values.items() if key in names})


def run_main(main):
    """Runs a script's main; a user's mistake ends in one line, not in a traceback.

    TensorFlow is asked for its oneDNN kernels unless TF_ENABLE_ONEDNN_OPTS is set: on
    CPUs where they are off by default, batches are computed in about half the time.

    Args:
        main: Function of the list of arguments.
    """
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # before TensorFlow's import
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for noisy in ("absl", "tensorflow", "h5py", "matplotlib", "PIL"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        main()
    except (ValueError, TypeError, ImportError, OSError) as error:
        logging.getLogger(__name__).debug("where it happened", exc_info=True)
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped; the same command goes on after the last whole epoch")


def run_folder(options, family: str, data_name: str) -> pathlib.Path:
    """``RESULTS_DIR/FAMILY/NAME`` of the options."""
    return (
        pathlib.Path(options.results_dir) / family / (options.results_name or data_name)
    )
