"""Draws pages of heat maps: image, map with boxes, class, probability, hit or miss.

Or writes them as a page for a browser.
"""

import dataclasses
import pathlib

from kerasloc.configs import option, select_fields
from kerasloc.evaluation.configs import GalleryConfig, SampleConfig
from kerasloc.training import cli

EXAMPLE = """\
examples:
  python scripts/generate_heatmaps.py --weights results/pylon/NAME
      the test images of the run, for every image the classes with boxes in it
  python scripts/generate_heatmaps.py --type pylon --limit 50 --pdf
      the newest run of a family, five pages, and all of them in one pdf
  python scripts/generate_heatmaps.py --weights results/full/NAME --images 0 17 a.png \\
      --classes circle
      some images, one class
  python scripts/generate_heatmaps.py --type pylon --html
      a page for a browser, of every test image: input, boxes, masks, attention,
      probabilities; to be filtered by class and by hit or miss

The pages land in the run's folder heatmaps/, ten rows each, and heatmaps.csv beside
them has for every row the image, its label and the maximum of the map (x, y in pixels
of the image at the size of the network). Images with boxes come
first. Every map is scaled by its own minimum and maximum; the probability says how
sure the model is. An explainer-classifier has one map for all classes, its explanation:
a row per image, of its true class, and the explanation as it is, from 0 to 1.

With --html only heatmaps/html/index.html is written, with its pictures beside it; it
needs no network, the folder can be moved or packed. Its maps are those of the model,
in [0, 1], and the page can also scale each by its own minimum and maximum.
"""


@dataclasses.dataclass(frozen=True)
class DrawnRun:
    """Model whose maps are drawn, and the files that are written."""

    weights: str | None = option(
        None, "Run folder or weight file (default: newest run of --type)."
    )
    type: str | None = option(
        None, "Family, such as half, full or pylon (default: that of --weights)."
    )
    results_dir: str = option("results", "Folder of the runs.")
    output: str | None = option(None, "Folder of the pages (default: RUN/heatmaps).")
    pdf: bool = option(False, "All pages also in heatmaps.pdf.")
    html: bool = option(False, "A page for a browser and nothing else.")


def parse(words=None):
    """Parse the command line."""
    parser = cli.Parser(__doc__, EXAMPLE)
    cli.add_options(parser, DrawnRun, "model")
    cli.add_options(parser, SampleConfig, "data (default: that of the run)")
    cli.add_options(parser, GalleryConfig, "rows")
    options = cli.overrides(parser.parse_args(words))
    run = DrawnRun(**select_fields(DrawnRun, options))
    if run.weights is None and run.type is None:
        parser.error("expected a model: --weights RUN, or --type FAMILY")
    if run.html and run.pdf:
        parser.error("--pdf holds the drawn pages: leave --html or --pdf out")
    return run, options


def main(words=None):
    """Draw the pages of one model."""
    run, options = parse(words)
    config = GalleryConfig(**select_fields(GalleryConfig, options))
    samples = SampleConfig(**select_fields(SampleConfig, options))
    from kerasloc.evaluation.gallery import write_html, write_pages
    from kerasloc.evaluation.samples import table_of_run
    from kerasloc.localizers import loading

    path = pathlib.Path(run.weights or loading.newest_run(run.type, run.results_dir))
    wrapper = loading.load_wrapper(path, run.type)
    folder = path if path.is_dir() else path.parent
    table = table_of_run(folder, wrapper.config, samples)
    target = pathlib.Path(run.output or folder / "heatmaps")
    family, name = wrapper.config.family, folder.resolve().name
    title = f"{family}/{name}, {samples.split} images"
    if hasattr(wrapper, "explanations"):
        title = f"Explanations of {title}"
    if run.html:
        write_html(target, wrapper, table, config, title)
    else:
        write_pages(target, wrapper, table, config, title, pdf=run.pdf)


if __name__ == "__main__":
    cli.run_main(main)
