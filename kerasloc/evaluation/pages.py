"""Files of a gallery: drawn pages with a table, a page for a browser."""

import contextlib
import dataclasses
import itertools
import logging
import pathlib
from collections.abc import Iterator
from typing import Any

from kerasloc.data.table import Table
from kerasloc.evaluation.configs import GalleryConfig
from kerasloc.evaluation.figures import DPI
from kerasloc.evaluation.gallery import GalleryRow, images_of, rows_of
from kerasloc.io import write_csv
from kerasloc.localizers import Localizer
from kerasloc.plotting import ReportConfig, heatmap_page, write_report

logger = logging.getLogger(__name__)

COLUMNS = ("image", "class", "label", "probability", "hit", "page", "row", "x", "y")
EXPLAINED = "The explanation, one for all classes, as the model answers it, from 0 to 1"
PATTERNS = ("page-[0-9][0-9][0-9]*.png", "heatmaps.pdf", "heatmaps.csv")


def write_pages(
    folder: pathlib.Path,
    wrapper: Localizer,
    table: Table,
    config: GalleryConfig,
    title: str,
    *,
    pdf: bool = False,
) -> None:
    """Write page-NUMBER.png and heatmaps.csv, and the pages as heatmaps.pdf.

    Args:
        folder: Folder, made when absent; files of an earlier call are removed.
        wrapper: Wrapper of any family.
        table: Images whose classes are those of the wrapper, in its order.
        config: Images and classes.
        title: Title of every page.
        pdf: Whether the pages are also written as a pdf.

    Raises:
        ValueError: If there is no such image or class.
    """
    rows = rows_of(wrapper, table, config)
    folder.mkdir(parents=True, exist_ok=True)
    for path in itertools.chain(*map(folder.glob, PATTERNS)):
        path.unlink()
    pdf_path = folder / "heatmaps.pdf" if pdf else None
    records = _draw(folder, rows, config.rows_per_page, title, pdf_path)
    lines = [{name: record[name] for name in COLUMNS} for record in records]
    write_csv(folder / "heatmaps.csv", lines)
    hits = [record["hit"] for record in records if record["hit"] != "-"]
    logger.info("%d of %d rows with boxes are hits", sum(hits), len(hits))
    pages = records[-1]["page"]
    logger.info("%d rows on %d pages are in %s", len(records), pages, folder)


def _draw(
    folder: pathlib.Path,
    rows: Iterator[GalleryRow],
    rows_per_page: int,
    title: str,
    pdf_path: pathlib.Path | None,
) -> list[dict[str, Any]]:
    """Draw the pages; return a record of every row with its page and position."""
    from matplotlib.backends.backend_pdf import PdfPages

    records: list[dict[str, Any]] = []
    with contextlib.ExitStack() as stack:
        pdf = stack.enter_context(PdfPages(pdf_path)) if pdf_path else None
        for page in itertools.count(1):
            chunk = list(itertools.islice(rows, rows_per_page))
            if not chunk:
                break
            figure = heatmap_page([row.shown for row in chunk], f"{title}, page {page}")
            figure.savefig(folder / f"page-{page:03d}.png", dpi=DPI)
            if pdf is not None:
                pdf.savefig(figure, dpi=2 * DPI)
            records += [
                {**row.record(), "page": page, "row": number}
                for number, row in enumerate(chunk, start=1)
            ]
    return records


def write_html(
    folder: pathlib.Path,
    wrapper: Localizer,
    table: Table,
    config: GalleryConfig,
    title: str,
) -> None:
    """Write html/index.html and its pictures.

    Args:
        folder: Folder, made when absent.
        wrapper: Wrapper of any family.
        table: Images whose classes are those of the wrapper, in its order.
        config: Images and classes.
        title: Title of the page.

    Raises:
        ValueError: If there is no such image or class.
    """
    network = wrapper.config
    thresholds = network.thresholds if network.multi_label else None
    report = ReportConfig(title, network.class_names, thresholds)
    if hasattr(wrapper, "explanations"):
        report = dataclasses.replace(report, scaling=EXPLAINED, attention="Explanation")
    images = images_of(wrapper, table, config)
    count = write_report(folder / "html", images, report)
    logger.info("%d images are in %s", count, folder / "html" / "index.html")
