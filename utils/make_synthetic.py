"""Writes synthetic images of textured shapes with boxes and masks, for trying things.

Example:
    python utils/make_synthetic.py --out data/shapes --classes 6 --size 128
"""

import argparse
import pathlib

# field of SyntheticConfig -> what the help says
NUMBERS = {
    "classes": "how many classes, 2 to 12",
    "size": "sides of the square images, pixels",
    "train": "how many images for training, over all classes",
    "test": "how many images for testing",
    "seed": "the same seed gives the same images",
    "distractors": "most small shapes that lie about in an image",
    "most_objects": "most objects of different classes in an image; over 1, images "
    "have several labels or none, and come with data.csv",
}


def parse(arguments=None) -> tuple[argparse.ArgumentParser, argparse.Namespace]:
    """The parser and what it made of the arguments (None: the command line's)."""
    from kerasloc.data import SyntheticConfig

    default = SyntheticConfig()
    parser = argparse.ArgumentParser(
        description="Writes an image-folder tree (train/CLASS, test/CLASS) of textured "
        "shapes on noisy ground, with masks and annotations.json (boxes, masks); or, "
        "with --most-objects, images/ and data.csv (labels, boxes).",
        epilog="example: python utils/make_synthetic.py --out data/shapes --classes 6 "
        "--size 128",
    )
    parser.add_argument(
        "--out",
        type=pathlib.Path,
        metavar="DIR",
        help=f"folder to write (default: data/ and a name such as {default.name})",
    )
    for name, text in NUMBERS.items():
        parser.add_argument(
            *dict.fromkeys((f"--{name.replace('_', '-')}", f"--{name}")),
            type=int,
            metavar="N",
            default=getattr(default, name),
            help=f"{text} (default %(default)s)",
        )
    parser.add_argument(
        "--object-share",
        "--object_share",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        default=default.object_share,
        help="smallest and largest share of the image that the object covers "
        "(default %(default)s)",
    )
    parser.add_argument(
        "--noise",
        type=float,
        metavar="SD",
        default=default.noise,
        help="standard deviation of the grain, values being in 0..1 "
        "(default %(default)s)",
    )
    return parser, parser.parse_args(arguments)


def main(arguments=None) -> None:
    """Write the images and say where they are, or why not."""
    from kerasloc.data import SyntheticConfig
    from kerasloc.data.synthetic import write

    parser, options = parse(arguments)
    settings = vars(options)
    out = settings.pop("out")
    try:
        config = SyntheticConfig(**settings)
        folder = write(out or pathlib.Path("data") / config.name, config)
    except ValueError as error:
        parser.error(str(error))
    print(
        f"{folder}: {config.train} images for training and {config.test} for testing, "
        f"{config.size} x {config.size}, of {', '.join(config.class_names)}; with "
        + ("data.csv" if config.multi_label else "masks/ and annotations.json")
    )


if __name__ == "__main__":
    main()
