"""Draws pages of heat maps: image, map with boxes, class, probability, hit or miss.

Or writes them as a page for a browser.
"""

import contextlib
import dataclasses
import itertools
import logging
import pathlib

from kerasloc.training import arguments

EXAMPLE = """\
examples:
  python scripts/generate_heatmaps.py --weights results/pylon/NAME
      the run's own test images, for every image the classes that it has boxes of
  python scripts/generate_heatmaps.py --type pylon --limit 50 --pdf
      the newest run of a family, five pages, and all of them in one pdf
  python scripts/generate_heatmaps.py --weights results/full/NAME --images 0 17 a.png \\
      --classes circle
      some images, one class
  python scripts/generate_heatmaps.py --type pylon --html
      a page for a browser, of every test image: input, boxes, masks, attention,
      probabilities; to be filtered by class and by hit or miss

The pages land in the run's folder heatmaps/, ten rows each, and heatmaps.csv beside
them says for every row the image, its label and where the maximum of the map is
(x, y in pixels of the image at the size that the network sees). Images with boxes come
first. Every map is scaled by its own minimum and maximum; the probability says how
sure the model is. An explainer-classifier has one map for all classes, its explanation:
a row per image, of its true class, and the explanation as it is, from 0 to 1.

With --html only heatmaps/html/index.html is written, with its pictures beside it; it
needs no network, the folder can be moved or packed. Its maps are as the model answers
them, in [0, 1], and the page can also scale each by its own minimum and maximum.
"""
DPI = 110
EXPLAINED = "The explanation, one for all classes, as the model answers it, from 0 to 1"


def parse(words=None):
    """The options of the command line."""
    parser = arguments.Parser(__doc__, EXAMPLE)
    parser.add_argument(
        "--weights", help="run folder or weight file (default: newest run of --type)"
    )
    parser.add_argument("--type", help="family, such as half, full or pylon")
    parser.add_argument("--results-dir", default="results", help="where runs lie")
    data = parser.add_argument_group("data (default: that of the run)")
    data.add_argument("--data-dir", help="folder of the images, or a csv file")
    data.add_argument(
        "--dataset", help="what --data-dir holds: " + ", ".join(arguments.DATASETS)
    )
    data.add_argument("--image-dir", help="where a csv's images lie")
    data.add_argument("--split", choices=("test", "val"), default="test")
    data.add_argument(
        "--on-error", choices=("raise", "skip"), help="default: as in training"
    )
    rows = parser.add_argument_group("rows")
    rows.add_argument(
        "--images", nargs="+", default=(), help="file names or indices (default: all)"
    )
    rows.add_argument(
        "--classes",
        nargs="+",
        default=(),
        help="for every image these (default: those it has boxes of, or the true ones; "
        "the true one of an explainer-classifier)",
    )
    rows.add_argument(
        "--limit", type=int, help="how many rows at most; with --html, how many images"
    )
    rows.add_argument("--rows-per-page", type=int, default=10)
    rows.add_argument("--batch-size", type=int, default=16, help="images at a time")
    parser.add_argument("--output", help="folder (default: RUN/heatmaps)")
    parser.add_argument(
        "--pdf", action="store_true", help="also heatmaps.pdf with all pages"
    )
    parser.add_argument(
        "--html", action="store_true", help="a page for a browser and nothing else"
    )
    options = parser.parse_args(words)
    if options.weights is None and options.type is None:
        parser.error("say which model: --weights RUN, or --type FAMILY")
    if options.html and options.pdf:
        parser.error("--pdf holds the drawn pages: leave --html or --pdf out")
    return options


def draw(answers, place: pathlib.Path, options, title: str) -> list[dict]:
    """Writes the pages, and says what is on them.

    Args:
        answers: Of ``heatmap_rows.rows_of``.
        place: An existing folder; pages of another time in it are removed.
        options: How many rows a page, and whether there is a pdf.
        title: Of every page.

    Returns:
        The lines of heatmaps.csv.
    """
    from matplotlib.backends.backend_pdf import PdfPages

    from kerasloc.plotting import heatmap_page

    records, pdf_path = [], place / "heatmaps.pdf"
    with contextlib.ExitStack() as stack:
        pdf = stack.enter_context(PdfPages(pdf_path)) if options.pdf else None
        for page in itertools.count(1):
            some = list(itertools.islice(answers, options.rows_per_page))
            if not some:
                return records
            shown = [answer.shown for answer in some]
            figure = heatmap_page(shown, f"{title}, page {page}")
            figure.savefig(place / f"page-{page:03d}.png", dpi=DPI)
            if pdf is not None:
                pdf.savefig(figure, dpi=2 * DPI)
            records += [
                answer.record() | {"page": page, "row": row}
                for row, answer in enumerate(some, start=1)
            ]


def remove_old(place: pathlib.Path):
    """Removes what an earlier call left in a folder."""
    for pattern in ("page-[0-9][0-9][0-9]*.png", "heatmaps.pdf", "heatmaps.csv"):
        for path in place.glob(pattern):
            path.unlink()


def write_pages(wrapper, table, place: pathlib.Path, title: str, options):
    """Writes the pages and heatmaps.csv, and says how many hits there are."""
    from kerasloc.evaluation import gallery as heatmap_rows
    from kerasloc.evaluation import results_old as report

    answers = heatmap_rows.rows_of(wrapper, table, choice_of(options))
    place.mkdir(parents=True, exist_ok=True)
    remove_old(place)
    records = draw(answers, place, options, title)
    order = ("image", "class", "label", "probability", "hit", "page", "row", "x", "y")
    lines = [{name: record[name] for name in order} for record in records]
    report.write_csv(place / "heatmaps.csv", lines)
    judged = [record["hit"] for record in records if record["hit"] != "-"]
    logging.info("%d of %d rows with boxes are hits", sum(judged), len(judged))
    pages = records[-1]["page"]
    logging.info("%d rows on %d pages are in %s", len(records), pages, place)


def write_html(wrapper, table, place: pathlib.Path, title: str, options):
    """Writes the page for a browser."""
    from kerasloc.evaluation.gallery import images_of
    from kerasloc.plotting import ReportConfig, write_report

    network = wrapper.config
    thresholds = network.thresholds if network.multi_label else None
    config = ReportConfig(title, network.class_names, thresholds)
    if hasattr(wrapper, "explanations"):
        own = {"scaling": EXPLAINED, "attention": "Explanation"}
        config = dataclasses.replace(config, **own)
    images = images_of(wrapper, table, choice_of(options))
    count = write_report(place / "html", images, config)
    logging.info("%d images are in %s", count, place / "html" / "index.html")


def choice_of(options):
    """Which images and classes are asked for."""
    from kerasloc.evaluation.choice import Choice

    picked = {name: tuple(getattr(options, name)) for name in ("images", "classes")}
    return arguments.make(Choice, vars(options) | picked)


def main(words=None):
    """Draws the pages of one model."""
    options = parse(words)
    if options.rows_per_page < 1:
        raise ValueError(
            f"--rows-per-page is a positive number. Received: {options.rows_per_page}."
        )
    from kerasloc.evaluation.run_data import table_of_run
    from kerasloc.localizers import loading as trained

    path = pathlib.Path(options.weights or "")
    if options.weights is None:
        path = trained.newest_run(options.type, options.results_dir)
    wrapper = trained.load_wrapper(path, options.type)
    folder = path if path.is_dir() else path.parent
    given = arguments.given(options)
    del given["classes"]  # those that are drawn, not those of the data
    table = table_of_run(folder, wrapper.config, given, options.split)
    place = pathlib.Path(options.output or folder / "heatmaps")
    title = f"{wrapper.config.family}/{folder.resolve().name}, {options.split} images"
    if hasattr(wrapper, "explanations"):
        title = f"Explanations of {title}"
    write = write_html if options.html else write_pages
    write(wrapper, table, place, title, options)


if __name__ == "__main__":
    arguments.run_main(main)
