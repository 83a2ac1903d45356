"""Functions timed in turn, and the table of their durations."""

import time
from collections.abc import Callable, Mapping

import numpy as np
from tqdm import tqdm

HEADER = ["section", "what", "median", "spread", "unit", "ratio", "against"]


class Race:
    """Functions that are timed in turn; rows are in ``ms/image`` or ``images/s``.

    Args:
        section: First column of the rows.
        unit: Unit of the rows.
        clock: Function that returns seconds.
    """

    def __init__(
        self,
        section: str,
        unit: str = "ms/image",
        clock: Callable[[], float] = time.perf_counter,
    ):
        self.section, self.unit, self.clock = section, unit, clock
        self.works: dict[str, tuple[Callable, float]] = {}
        self.comparisons: dict[str, dict[str, float | None]] = {}
        self.seconds: dict[str, np.ndarray] = {}
        self.skipped: dict[str, str] = {}

    def add(
        self,
        name: str,
        work: Callable[[], object],
        images: float = 1,
        against: Mapping[str, float | None] | None = None,
    ) -> None:
        """Add a function.

        Args:
            name: Name of its rows.
            work: Function to time.
            images: Number of images that a call processes.
            against: Target ratio (or None) by name of the compared function.
        """
        self.works[name] = work, images
        self.comparisons[name] = dict(against or {})

    def publish(self, name: str, seconds: float) -> None:
        """Add a published duration of an image to compare with, without a row."""
        self.seconds[name] = np.array([seconds])

    def skip(self, name: str, reason: object) -> None:
        """Add a row without a time, after the rows of the functions."""
        self.skipped[name] = f"skipped: {reason}"

    def run(self, rounds: int) -> list[dict]:
        """Time every function once per round, after a warm-up round; returns the rows.

        A function has a row for every comparison, or a single row without.

        Args:
            rounds: Number of rounds.
        """
        taken: dict[str, list[float]] = {name: [] for name in self.works}
        turns = list(taken) * (1 + rounds)
        for name in tqdm(turns, self.section, unit="turn", leave=False):
            work, images = self.works[name]
            start = self.clock()
            work()
            taken[name].append((self.clock() - start) / images)
        self.seconds |= {name: np.array(times[1:]) for name, times in taken.items()}
        return [
            self._row(name, against, target)
            for name in (*self.works, *self.skipped)
            for against, target in (self.comparisons.get(name) or {"": None}).items()
        ]

    def _row(self, name: str, against: str, target: float | None) -> dict:
        row = {"section": self.section, "name": name, "unit": self.unit}
        if name in self.skipped:
            return row | {"skipped": self.skipped[name]}
        seconds = self.seconds[name]
        values = 1 / seconds if self.unit == "images/s" else 1000 * seconds
        row |= {"median": float(np.median(values)), "values": values.tolist()}
        if against:
            ratio = float(np.median(self.seconds[against] / seconds))
            row |= {"ratio": ratio, "against": against, "aim": target}
        return row


def cells(row: dict) -> list[str]:
    """Format a row for the table."""
    shown = [row["section"], row["name"]]
    if "skipped" in row:
        return [*shown, "-", "", row["unit"], "", row["skipped"]]
    spread = f"{min(row['values']):.1f}..{max(row['values']):.1f}"
    shown += [f"{row['median']:.1f}", spread, row["unit"]]
    if "ratio" not in row:
        return [*shown, "", ""]
    target = "" if row["aim"] is None else f" (aim {row['aim']:.3g})"
    return [*shown, f"{row['ratio']:.2f}", f"x {row['against']}{target}"]


def table(rows: list[dict]) -> str:
    """Format rows in aligned columns."""
    lines = [HEADER, *map(cells, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    sides = "<<>><><"
    return "\n".join(
        "  ".join(map("{:{}{}}".format, line, sides, widths)).rstrip() for line in lines
    )
