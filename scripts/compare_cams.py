"""Compares heat maps: which method, or which model, finds the object?

For one trained model: its own maps, ten methods of class activation (Grad-CAM,
Score-CAM, ...) on its features, and a Gaussian in the middle of every image, which a
map has to beat. For several models: the maps of each. All are measured by the same
code against the boxes of the images: point accuracy, IoBB, MaxBoxAccV2, PxAP, the share
of the map's mass in the boxes, AOPC, and seconds an image.
"""

import dataclasses
import logging
import pathlib

from kerasloc.training import arguments

EXAMPLE = """\
examples:
  python scripts/compare_cams.py
      the newest run of the baseline: its maps, the ten methods, and the middle
  python scripts/compare_cams.py --type pylon --methods own gradcam layercam center
      the newest run of another family, some methods
  python scripts/compare_cams.py --weights results/pylon/a results/ham/b results/full/c
      the maps of several models, each on the test images of its own data (another data
      set is another question: compare rows of one data set only)
  python scripts/compare_cams.py --data-dir photos --dataset voc --tune --limit 500
      other images; the thresholds of MaxBoxAccV2 are chosen on the validation images

cams.csv, cams.json, cams.png (bars) and maps.png (maps side by side) land in the first
run's folder cams/ (cams-val/ of --split val). Score-CAM costs a prediction for every
channel and image: leave it out with --methods where that is too long.
"""


def parse(words=None):
    """The options of the command line."""
    parser = arguments.Parser(__doc__, EXAMPLE)
    arguments.add_compared_options(parser, "baseline")
    what = parser.add_argument_group("methods")
    what.add_argument(
        "--methods",
        nargs="+",
        default=(),
        metavar="METHOD",
        help="own (the model's heat maps), cam, gradcam, gradcampp, xgradcam, "
        "hirescam, layercam, eigencam, eigengradcam, scorecam, ablationcam, center "
        "(default: all for one model, own and center for several)",
    )
    what.add_argument("--layer", help="that the methods look at (default: the deepest)")
    what.add_argument(
        "--tune",
        action="store_true",
        help="choose MaxBoxAccV2's thresholds on validation images (default: on the "
        "measured ones, as published)",
    )
    what.add_argument(
        "--aopc-images",
        type=int,
        default=32,
        help="images with boxes for AOPC, 21 predictions each (default 32; 0: none)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn")
    parser.add_argument("--batch-size", type=int, default=8, help="images at a time")
    parser.add_argument("--output", help="folder (default: RUN/cams)")
    return parser.parse_args(words)


def measure(path: pathlib.Path, wrapper, options, config) -> tuple:
    """What the methods of one model are worth, by name, and the images.

    Raises:
        ValueError: If there are no images with boxes.
    """
    from kerasloc.evaluation import compare as cam_comparison
    from kerasloc.evaluation import run_data
    from kerasloc.evaluation import samples as looked

    folder = path if path.is_dir() else path.parent
    given = arguments.given(options)

    def images_of(split):
        table = run_data.table_of_run(folder, wrapper.config, given, split)
        some = run_data.drawn(table, options.limit, options.seed)
        logging.info("%d of %d %s images", len(some), len(table), split)
        return looked.look(wrapper, some, config.batch_size)

    images = images_of(options.split)
    tuning = images_of("val") if options.tune else None
    return cam_comparison.compare(wrapper, images, config, tuning), images


def main(words=None):
    """Compares the methods of one model, or several models."""
    options = parse(words)
    from kerasloc.evaluation import cam_report, run_data
    from kerasloc.evaluation import compare as cam_comparison
    from kerasloc.localizers import loading as trained

    run_data.check_limit(options.limit)
    if options.tune and options.split == "val":
        raise ValueError(
            "--tune chooses thresholds on other images than the measured ones. "
            "Received: --tune with --split val. Leave one out."
        )
    paths = [pathlib.Path(one) for one in options.weights or ()]
    if not paths:
        paths = [trained.newest_run(options.type or "baseline", options.results_dir)]
    several = ("own", "center") if len(paths) > 1 else ()
    methods = tuple(options.methods) or several
    config = arguments.make(
        cam_comparison.CamComparison, vars(options) | {"methods": methods}
    )
    wrappers = [trained.load_wrapper(path, options.type) for path in paths]
    found, first, data = {}, None, {}
    for name, path, wrapper in zip(
        run_data.model_names(paths, wrappers), paths, wrappers, strict=True
    ):
        logging.info("%s", name)
        each, images = measure(path, wrapper, options, config)
        start = f"{name}: " if len(paths) > 1 else ""
        found |= {f"{start}{method}": one for method, one in each.items()}
        first = first or images
        data[name] = {"run": str(path), "images": images.paths}
    folder = paths[0] if paths[0].is_dir() else paths[0].parent
    place = "cams" if options.split == "test" else f"cams-{options.split}"
    place = pathlib.Path(options.output or folder / place)
    known = {
        "models": data,
        "split": options.split,
        "data_dir": options.data_dir,
        "limit": options.limit,
        "tuned": options.tune,
        "settings": dataclasses.asdict(config),
    }
    rows = cam_report.write(place, found, first, known, config.seed)
    logging.info(
        "%s\n95 %% intervals over images. AOPC is of %d images or fewer. "
        "Everything is in %s",
        cam_report.text(rows),
        config.aopc_images,
        place,
    )


if __name__ == "__main__":
    arguments.run_main(main)
