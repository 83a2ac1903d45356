"""Write synthetic images with boxes and masks.

Example:
    python utils/make_synthetic.py --out data/shapes --classes 6 --size 128
    python utils/make_synthetic.py --kind polygons --target 5/2 --others circle 5/1
"""

import argparse
import pathlib

NOTE = """examples:
  python utils/make_synthetic.py --out data/shapes --classes 6 --size 128
  python utils/make_synthetic.py --kind polygons --target 5/2 --others circle 5/1
  python utils/make_synthetic.py --kind polygons --simplified --train 50 50"""

ABOUT = """Writes synthetic images with masks and annotations.json (boxes, masks).
shapes: image folders train|test/CLASS of textured shapes on noisy background, one
  class each; or, with --most-objects, images/ and data.csv (labels, boxes).
polygons: image folders train|val|test/absent|present of plain shapes; images with the
  target are present. masks/ of the target and others/ of all other shapes."""


def star(text: str):
    """Parse the name of a shape, or none."""
    return None if text == "none" else text


def level(text: str):
    """Parse a level of red, green or blue, or any."""
    return None if text == "any" else int(text)


RANGE = {"nargs": 2, "metavar": ("LOW", "HIGH")}
STAR = {"metavar": "P/Q", "type": star}
STARS = {"nargs": "+", **STAR}
RGB = {"nargs": "+", "type": level, "metavar": "LEVEL"}
COUNT = {"type": int, "metavar": "N"}
COUNTS = {"nargs": "+", **COUNT}
SWITCH = {"action": argparse.BooleanOptionalAction}

# settings of the command line; helps and defaults are those of the configs' fields
BOTH = {
    "size": COUNT,
    "train": COUNTS,
    "test": COUNTS,
    "seed": COUNT,
    "noise": {"type": float, "metavar": "SD"},
}
SHAPES = {
    "classes": COUNT,
    "distractors": COUNT,
    "most_objects": COUNT,
    "object_share": {**RANGE, "type": float},
}
POLYGONS = {
    "val": COUNTS,
    "target": {"metavar": "P/Q"},
    "outer": STAR,
    "others": STARS,
    "other_outers": STARS,
    "shapes": {**RANGE, "type": int},
    "radius": {**RANGE, "type": float},
    "rotation": SWITCH,
    "overlap": SWITCH,
    "occlusion": {"type": float, "metavar": "SHARE"},
    "antialias": SWITCH,
    "color": RGB,
    "outer_color": RGB,
    "background": RGB,
    "same_color": SWITCH,
}
COLORS = ("color", "outer_color", "background")


def parse(arguments=None) -> tuple[argparse.ArgumentParser, argparse.Namespace]:
    """Create the parser and parse arguments (None: the command line's).

    Options without a value are not in the namespace.
    """
    parser = argparse.ArgumentParser(
        description=ABOUT,
        epilog=NOTE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument(
        "--kind",
        choices=("shapes", "polygons"),
        default="shapes",
        help="kind of images (default: shapes)",
    )
    parser.add_argument(
        "--out",
        type=pathlib.Path,
        metavar="DIR",
        help="folder to write (default: data/ and a name of the settings)",
    )
    polygons = parser.add_argument_group("with --kind polygons")
    polygons.add_argument(
        "--simplified",
        action="store_true",
        help="preset of the target and a circle, fixed colors, no noise; further "
        "options override it (default: no)",
    )
    _add(polygons, POLYGONS)
    _add(parser.add_argument_group("with --kind shapes"), SHAPES)
    _add(parser, BOTH)
    return parser, parser.parse_args(arguments)


def _add(group, options: dict) -> None:
    """Add options, with dashes and underscores, with the helps of the fields."""
    from kerasloc.data import PolygonConfig, SyntheticConfig

    kinds = {"shapes": SyntheticConfig, "polygons": PolygonConfig}
    fields = {kind: config.__dataclass_fields__ for kind, config in kinds.items()}
    for name, settings in options.items():
        with_name = {kind: f[name] for kind, f in fields.items() if name in f}
        words = {kind: _words(name, f.default) for kind, f in with_name.items()}
        if len(set(words.values())) > 1:
            words = {kind: f"{word} for {kind}" for kind, word in words.items()}
        text = [*with_name.values()][-1].metadata["help"].rstrip(".")
        group.add_argument(
            *dict.fromkeys((f"--{name.replace('_', '-')}", f"--{name}")),
            dest=name,
            help=f"{text[0].lower()}{text[1:]} "
            f"(default: {', '.join(dict.fromkeys(words.values()))})",
            **settings,
        )


def _words(name: str, value) -> str:
    """Format a setting for the command line."""
    from kerasloc.data.synthetic import star_name

    if isinstance(value, bool):
        return "yes" if value else "no"
    if name in ("target", "outer", "others", "other_outers"):
        stars = value if name.startswith("other") else (value,)
        return " ".join("none" if star is None else star_name(star) for star in stars)
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return "any" if value is None else str(value)


def make(kind: str, settings: dict):
    """Create the config of a kind of images, and the function that writes them.

    Args:
        kind: "shapes" or "polygons".
        settings: Options of the command line.
    """
    from kerasloc.data import PolygonConfig, SyntheticConfig, write_polygons
    from kerasloc.data.synthetic import write

    foreign = {"shapes": {"simplified", *POLYGONS}, "polygons": {*SHAPES}}[kind]
    wrong = ", ".join(f"--{k.replace('_', '-')}" for k in settings if k in foreign)
    if wrong:
        correct = {"shapes": "polygons", "polygons": "shapes"}[kind]
        raise ValueError(
            f"Expected options of the kind of images. Received: {wrong} with --kind "
            f"{kind}. Leave it out or use --kind {correct}."
        )
    for name in {"train", "val", "test", *COLORS} & set(settings):
        if len(settings[name]) == 1:
            settings[name] = settings[name][0]
    if kind == "shapes":
        if any(isinstance(settings.get(k), list) for k in ("train", "test")):
            raise ValueError(
                "Expected --train and --test of shapes as a number, over all classes. "
                f"Received: {settings}. Use --kind polygons for numbers by class."
            )
        return SyntheticConfig(**settings), write
    simple = settings.pop("simplified", False)
    config = PolygonConfig.simplified if simple else PolygonConfig
    return config(**settings), write_polygons


def summary(config) -> str:
    """Describe the written images."""
    size = f"{config.size} x {config.size}"
    if hasattr(config, "val"):
        counts = (
            f"{absent} absent and {present} present for {split}"
            for split, (absent, present) in (
                ("training", config.train),
                ("validation", config.val),
                ("testing", config.test),
            )
        )
        return f"{'; '.join(counts)}; {size}; with masks/, others/, annotations.json"
    return (
        f"{config.train} images for training and {config.test} for testing, "
        f"{size}, of {', '.join(config.class_names)}; with "
        + ("data.csv" if config.multi_label else "masks/ and annotations.json")
    )


def default_folder(config) -> pathlib.Path:
    """Folder named after the settings."""
    return pathlib.Path("data") / config.name


def main(arguments=None) -> None:
    """Write the images and print their folder, or an error."""
    parser, options = parse(arguments)
    settings = vars(options)
    kind, out = settings.pop("kind"), settings.pop("out", None)
    try:
        config, write = make(kind, settings)
        folder = write(out or default_folder(config), config)
    except ValueError as error:
        parser.error(str(error))
    print(f"{folder}: {summary(config)}")


if __name__ == "__main__":
    from kerasloc.training.cli import run_main

    run_main(main)
