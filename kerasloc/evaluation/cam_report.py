"""What was measured of maps: a table, bars, and a page of them side by side."""

import logging
import pathlib

import numpy as np

from kerasloc.evaluation import results_old as report
from kerasloc.evaluation.compare import CENTER, SHOWN, TITLES, Measured
from kerasloc.evaluation.samples import Looked

logger = logging.getLogger(__name__)


def rows(found: dict[str, Measured]) -> list[dict]:
    """The table of methods, with 95 % bootstrap intervals over images.

    Args:
        found: By name; of several models ``MODEL: METHOD``.
    """
    return [
        {
            "method": name,
            "pairs": one.pairs,
            "empty": one.empty,
            "aopc_images": one.aopc_images,
            "seconds": one.seconds,
        }
        | {
            f"{key}{end}": value
            for key, values in one.figures.items()
            for end, value in zip(("", "_low", "_high"), values, strict=True)
        }
        for name, one in found.items()
    ]


def text(table: list[dict]) -> str:
    """The table for a terminal.

    Args:
        table: As from :func:`rows`.
    """
    width = max(len(row["method"]) for row in table)
    shown = [key for key in TITLES if not np.isnan([r[key] for r in table]).all()]
    head = "  ".join(f"{TITLES[key]:20s}" for key in shown)
    lines = [f"{'':{width}s}  pairs  {head}  seconds an image"]
    for row in table:
        cells = "  ".join(
            f"{row[key]:.3f} [{row[f'{key}_low']:.3f}, {row[f'{key}_high']:.3f}]"
            for key in shown
        )
        name = f"{row['method']:{width}s}  {row['pairs']:5d}"
        lines.append(f"{name}  {cells}  {row['seconds']:8.4f}")
    return "\n".join(lines)


def write(
    folder, found: dict[str, Measured], looked: Looked, known, seed: int = 0
) -> list[dict]:
    """Writes cams.csv, cams.json, cams.png and maps.png; the rows.

    Args:
        folder: Made when absent.
        found: As for :func:`rows`.
        looked: The images of the first model; the page of maps has all methods that
            were measured on the same, and the middle once.
        known: What cams.json says besides.
        seed: That was measured with.
    """
    from kerasloc.plotting import method_bars, method_page

    folder, table = pathlib.Path(folder), rows(found)
    folder.mkdir(parents=True, exist_ok=True)
    report.write_csv(folder / "cams.csv", table)
    thresholds = {name: one.threshold for name, one in found.items()}
    everything = {**known, "rows": table, "max_box_acc_v2_thresholds": thresholds}
    report.write_json(folder / "cams.json", everything)
    method_bars(table, TITLES).savefig(folder / "cams.png", dpi=110)
    (places, classes), maps = looked.spread(SHOWN, seed), {}
    others = [
        name
        for name, one in found.items()
        if not np.array_equal(one.images, looked.images[places])
    ]
    for name in (name for name in found if name not in others):
        title = CENTER if name.endswith(f": {CENTER}") else name
        maps.setdefault(title, found[name].maps)
    if others:
        logger.info(
            "Other images than the first model's, so compare within a data set only, "
            "and not on the page of maps: %s",
            ", ".join(others),
        )
    boxes = [looked.boxes_of(*pair) for pair in zip(places, classes, strict=True)]
    names = [looked.names[index] for index in classes]
    page = method_page(looked.images[places], boxes, maps, names)
    page.savefig(folder / "maps.png", dpi=90)
    return table
