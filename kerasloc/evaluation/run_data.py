"""The images that a trained model is looked at with: of its run, or other ones."""

import pathlib
from collections.abc import Sequence

import numpy as np

from kerasloc.data import config as data_config
from kerasloc.data.table import Table
from kerasloc.runs import CONFIG_FILE, read_config


def table_of_run(folder, network, given: dict, split: str) -> Table:
    """Checked images of one split of a run's data, or of other data in its place.

    Args:
        folder: Of the run; one without a configuration knows no data.
        network: Its :class:`~kerasloc.configs.NetworkConfig`.
        given: Options by name, as for :func:`kerasloc.data.config.data_of_run`.
        split: ``test`` or ``val``.

    Raises:
        ValueError: If there are none.
    """
    has_config = (pathlib.Path(folder) / CONFIG_FILE).is_file()
    known = read_config(folder)["data"] if has_config else {}
    data = data_config.data_of_run(known, given)
    return data_config.evaluation_table(
        data, split, network.class_names, network.channels
    )


def check_limit(limit: int):
    """Raises ValueError if a limit is not positive."""
    if limit < 1:
        raise ValueError(f"--limit is a positive number. Received: {limit}.")


def drawn(table: Table, limit: int, seed: int) -> Table:
    """All images of a table, or as many as the limit, drawn, in their order.

    Args:
        table: Images.
        limit: How many at most.
        seed: Of the draw.

    Raises:
        ValueError: If the limit is not positive.
    """
    check_limit(limit)
    order = np.random.default_rng(seed).permutation(len(table))
    return table.subset(np.sort(order[:limit]))


def model_names(paths: Sequence[pathlib.Path], wrappers) -> list[str]:
    """The family of every model, FAMILY/RUN or their paths where two would be equal.

    Args:
        paths: Of run folders or weight files.
        wrappers: What they hold.

    Raises:
        ValueError: If one is given twice.
    """
    if len({path.resolve() for path in paths}) < len(paths):
        shown = ", ".join(map(str, paths))
        raise ValueError(f"Every run is given once. Received: {shown}.")
    names = families = [one.config.family for one in wrappers]
    if len(set(names)) < len(names):
        pairs = zip(families, paths, strict=True)
        names = [f"{family}/{path.resolve().name}" for family, path in pairs]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]
