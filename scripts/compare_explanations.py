"""Compares explanations: whose most relevant tiles, gone first, change the answer?

Images are cut into tiles, which are perturbed one after the other, the most relevant
first (MoRF). The faster the probability of the class falls, the better the explanation
knew what the model looks at: AOPC, the mean fall, is higher. POMPOM is the share of the
pixels outside the mask (or boxes) that an explanation marks: lower is better, as far as
an explanation is 0 anywhere.
"""

import dataclasses
import logging
import pathlib

from kerasloc.training import arguments

EXAMPLE = """\
examples:
  python scripts/compare_explanations.py
      the newest run of the explainer-classifier: its explanation, the same at low
      resolution, Grad-CAM of its classifier, a random order, and a bump in the middle
  python scripts/compare_explanations.py --type pylon --methods high low random
      the newest run of another family
  python scripts/compare_explanations.py --weights results/explainer/a results/pylon/b
      several models on the same images, each asked with its own explanations
  python scripts/compare_explanations.py --grid 16 --steps 40 --perturbation mean
      finer tiles, of which the first 40 get the mean color of their image

comparison.csv, comparison.json and morf.png land in the first run's folder comparison/
(comparison-val/ of --split val). An image costs a prediction for every step and method.
"""


def parse(words=None):
    """The options of the command line."""
    parser = arguments.Parser(__doc__, EXAMPLE)
    arguments.add_compared_options(parser, "explainer")
    what = parser.add_argument_group("explanations")
    what.add_argument(
        "--methods",
        nargs="+",
        default=(),
        metavar="METHOD",
        help="high (the model's heat map), low, gradcam, random, center (default: all "
        "that the model has)",
    )
    what.add_argument(
        "--of",
        default="predicted",
        help="class that is explained: predicted (default) or true",
    )
    what.add_argument(
        "--grid", type=arguments.size, default=8, help="tiles a side, or 8x6 (8)"
    )
    what.add_argument("--steps", type=int, help="tiles perturbed (default: all)")
    what.add_argument(
        "--perturbation", default="noise", help="noise (default), mean or black"
    )
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn")
    parser.add_argument("--batch-size", type=int, default=8, help="images at a time")
    parser.add_argument("--output", help="folder (default: RUN/comparison)")
    return parser.parse_args(words)


def table_of(path: pathlib.Path, wrapper, options):
    """The images of a model that are looked at: all, or as many drawn as --limit says.

    Raises:
        ValueError: If there are none.
    """
    from kerasloc.evaluation import run_data

    folder = path if path.is_dir() else path.parent
    given = arguments.given(options)
    table = run_data.table_of_run(folder, wrapper.config, given, options.split)
    return run_data.drawn(table, options.limit, options.seed)


def check_same(tables):
    """Makes sure that all models are asked about the same images.

    Raises:
        ValueError: If not.
    """
    first = tables[0].paths.tolist()
    other = [n for n, table in enumerate(tables) if table.paths.tolist() != first]
    if other:
        raise ValueError(
            "Models are compared on the same images. Received: other ones for model "
            f"{other[0] + 1} than for the first. Give --data-dir for all of them."
        )


def explain(paths, options) -> tuple[dict, tuple]:
    """What the methods of all models are worth, by name; the images and settings."""
    from kerasloc.evaluation import comparison, run_data
    from kerasloc.localizers import loading as trained
    from kerasloc.metrics import AopcConfig

    aopc = arguments.make(AopcConfig, vars(options))
    methods = {"aopc": aopc, "methods": tuple(options.methods)}
    config = arguments.make(comparison.Comparison, vars(options) | methods)
    wrappers = [trained.load_wrapper(path, options.type) for path in paths]
    for wrapper in wrappers:
        comparison.methods_of(wrapper, config.methods)
    tables = [
        table_of(path, wrapper, options)
        for path, wrapper in zip(paths, wrappers, strict=True)
    ]
    check_same(tables)
    found = {}
    for name, wrapper, table in zip(
        run_data.model_names(paths, wrappers), wrappers, tables, strict=True
    ):
        logging.info("%s, %d %s images", name, len(table), options.split)
        each = comparison.compare(wrapper, table, config)
        start = f"{name}: " if len(paths) > 1 else ""
        found |= {f"{start}{method}": one for method, one in each.items()}
    return found, (tables[0], dataclasses.asdict(config))


def main(words=None):
    """Compares the explanations of one model or several."""
    options = parse(words)
    from kerasloc.evaluation import comparison
    from kerasloc.localizers import loading as trained

    paths = [pathlib.Path(one) for one in options.weights or ()]
    if not paths:
        paths = [trained.newest_run(options.type or "explainer", options.results_dir)]
    found, (table, config) = explain(paths, options)
    folder = paths[0] if paths[0].is_dir() else paths[0].parent
    name = "comparison" if options.split == "test" else f"comparison-{options.split}"
    place = pathlib.Path(options.output or folder / name)
    known = {
        "models": [str(path) for path in paths],
        "split": options.split,
        "settings": config,
        "paths": table.paths,
    }
    rows = comparison.write(place, found, known)
    logging.info("%s\nThe table and the curves are in %s", comparison.text(rows), place)


if __name__ == "__main__":
    arguments.run_main(main)
