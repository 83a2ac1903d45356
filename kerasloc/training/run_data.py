"""The images that a trained model is looked at with: of its run, or other ones."""

import pathlib

from kerasloc.configs import CONFIG_FILE
from kerasloc.data.tables import Table
from kerasloc.training import sources
from kerasloc.training.runs import read_config


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
