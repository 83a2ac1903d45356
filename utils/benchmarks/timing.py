"""Works that take turns, and the table of how long they took."""

import time
from collections.abc import Callable

import numpy as np

HEADER = ["section", "what", "median", "spread", "unit", "ratio", "against"]


class Race:
    """What takes turns; its rows are in ``ms/image`` or ``images/s``.

    Args:
        section: The rows' first column.
        unit: One of the two.
        clock: Function that gives seconds.
    """

    def __init__(
        self,
        section: str,
        unit: str = "ms/image",
        clock: Callable[[], float] = time.perf_counter,
    ):
        self.section, self.unit, self.clock = section, unit, clock
        self.works, self.seconds, self.skipped = {}, {}, {}

    def add(self, name: str, work: Callable, images: int = 1):
        """Takes part: ``work()`` is what so many images take."""
        self.works[name] = work, images

    def run(self, rounds: int):
        """Everyone once a round, and once before that, which does not count."""
        from tqdm import tqdm

        taken = {name: [] for name in self.works}
        turns = list(taken) * (1 + rounds)
        for name in tqdm(turns, self.section, unit="turn", leave=False):
            work, images = self.works[name]
            start = self.clock()
            work()
            taken[name].append((self.clock() - start) / images)
        self.seconds = {name: np.array(all_[1:]) for name, all_ in taken.items()}

    def row(self, name: str, against: str = "", aim: float | None = None) -> dict:
        """The line of one, its ratio against another, and the ratio hoped for."""
        row = {"section": self.section, "name": name, "unit": self.unit}
        if name in self.skipped:
            return row | {"skipped": self.skipped[name]}
        seconds = self.seconds[name]
        values = 1 / seconds if self.unit == "images/s" else 1000 * seconds
        row |= {"median": float(np.median(values)), "values": values.tolist()}
        if against:
            ratio = float(np.median(self.seconds[against] / seconds))
            row |= {"ratio": ratio, "against": against, "aim": aim}
        return row


def cells(row: dict) -> list[str]:
    """What the table shows of a row."""
    shown = [row["section"], row["name"]]
    if "skipped" in row:
        return [*shown, "-", "", row["unit"], "", row["skipped"]]
    spread = f"{min(row['values']):.1f}..{max(row['values']):.1f}"
    shown += [f"{row['median']:.1f}", spread, row["unit"]]
    if "ratio" not in row:
        return [*shown, "", ""]
    aim = "" if row["aim"] is None else f" (aim {row['aim']:.3g})"
    return [*shown, f"{row['ratio']:.2f}", f"x {row['against']}{aim}"]


def table(rows: list[dict]) -> str:
    """The rows in aligned columns."""
    lines = [HEADER, *map(cells, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    sides = "<<>><><"
    return "\n".join(
        "  ".join(map("{:{}{}}".format, line, sides, widths)).rstrip() for line in lines
    )
