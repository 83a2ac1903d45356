"""Trained models found again, with the data that they are to be looked at with."""

import pathlib

from kerasloc.configs import CONFIG_FILE, read_network
from kerasloc.data.tables import Table
from kerasloc.training import sources
from kerasloc.training.runs import read_config
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
    from kerasloc.localizers import wrappers

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
    from kerasloc.localizers import load, wrappers

    path = pathlib.Path(path)
    if path.is_dir():
        wrapper = load(path)
        if family not in (None, wrapper.config.family):
            raise ValueError(
                f"--type is the family of --weights. Received: {family}, and {path} "
                f"of the family {wrapper.config.family}. Leave --type out."
            )
        return wrapper
    known = wrappers()
    family = family or read_network(path.parent).family
    if family not in known:
        raise ValueError(
            f"--type is one of {', '.join(sorted(known))}. Received: {family}."
        )
    return known[family](path)


def table_of_run(folder, network, given: dict, split: str) -> Table:
    """Checked images of one split of a run's data, or of other data in its place.

    Args:
        folder: Of the run; one without a configuration knows no data.
        network: Its :class:`~kerasloc.configs.NetworkConfig`.
        given: Options by name, as for :func:`kerasloc.training.sources.data_of_run`.
        split: ``test`` or ``val``.

    Raises:
        ValueError: If there are none.
    """
    has_config = (pathlib.Path(folder) / CONFIG_FILE).is_file()
    known = read_config(folder)["data"] if has_config else {}
    data = sources.data_of_run(known, given)
    return sources.evaluation_table(data, split, network.class_names, network.channels)
