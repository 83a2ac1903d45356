"""Trained models found again by what a command line says of them."""

import pathlib

from kerasloc.localizers import load, wrappers
from kerasloc.runs import read_network
from kerasloc.weights import find_runs, runs_in


def newest_run(family: str, results_dir="results") -> pathlib.Path:
    """The run folder of a family with the newest weights.

    Args:
        family: Such as ``pylon``.
        results_dir: Where runs lie; without one there also ``results/`` of the folders
            above.

    Raises:
        ValueError: If there is none.
    """
    place = pathlib.Path(results_dir) / family
    if runs := runs_in(place) or find_runs(family):
        return runs[0]
    known = wrappers()
    commands = " and then ".join(known[family].commands) if family in known else ""
    raise ValueError(
        f"This needs a trained model. Received: no run in {place}. "
        + (f"Run {commands}, or give --weights." if commands else "Give --weights.")
    )


def load_wrapper(path, family: str | None = None):
    """The wrapper of a run folder, or of a weight file in one or of a named family.

    Args:
        path: The folder or file.
        family: Of a file outside of a run folder; checked against a run's.

    Raises:
        ValueError: If there is no such family, or it is another than the run's.
    """
    path = pathlib.Path(path)
    if family is None:
        return load(path)
    if path.is_dir() and family != (own := read_network(path).family):
        raise ValueError(
            f"--type is the family of --weights. Received: {family}, and {path} "
            f"of the family {own}. Leave --type out."
        )
    known = wrappers()
    if family not in known:
        raise ValueError(
            f"--type is one of {', '.join(sorted(known))}. Received: {family}."
        )
    return known[family](path)
