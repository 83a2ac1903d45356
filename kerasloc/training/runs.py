"""A run: one configuration, one folder, one process at a time; resumes where it was.

The folder holds::

    config.json        network, data and training, as they were asked for
    history.csv        one row per epoch
    best.weights.h5    the best weights
    last.weights.h5    the last weights, with the optimizer and where training stands
    logs/              TensorBoard
    figures/           pictures
    evaluation/        tables and figures of evaluate.py

Every file is replaced in one step, so the folder is loadable whenever a process dies.
"""

import contextlib
import csv
import json
import logging
import os
import pathlib

import numpy as np

from kerasloc.configs import CONFIG_FILE, read_network

logger = logging.getLogger(__name__)

STATE = "kerasloc_state"
# none of them alters what an epoch gives
MAY_CHANGE = ("epochs", "cache", "thresholds")
WEIGHTS = ("best.weights.h5", "last.weights.h5", "model.weights.h5")


class Run:
    """A run folder that this process owns while it is open.

    Args:
        folder: Made when absent; an existing one goes on if it was made for the same
            configuration.
        config: Sections ``network``, ``data``, ``training``: dicts that json takes.

    Raises:
        ValueError: If the folder belongs to another configuration or process.
        OSError: If it cannot be written.
    """

    def __init__(self, folder, config: dict):
        self.folder = pathlib.Path(folder)
        self.config = json.loads(json.dumps(config))
        self._lock = None

    def __enter__(self):
        """The run, with its folder made, owned and of this configuration."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = open(self.folder / ".lock", "w")
        except OSError as error:
            raise OSError(
                f"A run writes to its folder. Received: {self.folder} "
                f"({error.strerror}). Give another --results-dir."
            ) from error
        with contextlib.ExitStack() as stack:
            stack.callback(self._lock.close)
            _own(self._lock, self.folder)
            self._compare()
            for path in self.folder.glob("partial-*"):
                path.unlink()  # of a process that died while it wrote
            write_text(self.folder / CONFIG_FILE, json.dumps(self.config, indent=2))
            stack.pop_all()  # all is well: the lock stays until __exit__
        return self

    def __exit__(self, *_):
        """Gives the folder free."""
        self._lock.close()

    def set_thresholds(self, thresholds):
        """Writes the thresholds that the trained network is to be used with."""
        self.config["network"]["thresholds"] = [float(value) for value in thresholds]
        write_text(self.folder / CONFIG_FILE, json.dumps(self.config, indent=2))

    @property
    def history(self) -> list[dict]:
        """Rows of history.csv, numbers as floats."""
        return read_history(self.folder)

    def path(self, name) -> pathlib.Path:
        """A path in the folder, whose own folder exists."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def write_history(self, rows):
        """Replaces history.csv."""
        columns = list(dict.fromkeys(key for row in rows for key in row))
        lines = [columns, *([row.get(key, "") for key in columns] for row in rows)]
        text = "\n".join(",".join(map(str, line)) for line in lines)
        write_text(self.folder / "history.csv", text + "\n")

    def save_state(self, model, state: dict):
        """Replaces last.weights.h5 by the model, its optimizer and the state."""
        import h5py

        path = self.folder / "last.weights.h5"
        partial = path.with_name("partial-last.weights.h5")
        model.save_weights(partial)
        with h5py.File(partial, "a") as file:
            file.attrs[STATE] = json.dumps(state)
        os.replace(partial, path)

    def read_state(self) -> dict | None:
        """Where training stood when the last epoch ended; None before the first."""
        import h5py

        path = self.folder / "last.weights.h5"
        if not path.is_file():
            return None
        with h5py.File(path) as file:
            return json.loads(file.attrs[STATE])

    def _compare(self):
        begun = any((self.folder / name).is_file() for name in WEIGHTS)
        begun |= any(self.folder.glob(f"*/{WEIGHTS[1]}"))  # of a phase
        if not begun or not (self.folder / CONFIG_FILE).is_file():
            return  # nothing is lost, and a mistake in the first command can be mended
        old = json.loads((self.folder / CONFIG_FILE).read_text())
        different = [
            f"{section}.{key}: {was.get(key)!r} before, {now.get(key)!r} now"
            for section in self.config
            for was, now in [(old.get(section, {}), self.config[section])]
            for key in sorted(set(was) | set(now))
            if was.get(key) != now.get(key) and key not in MAY_CHANGE
        ]
        if different:
            raise ValueError(
                f"A run goes on with the configuration it began with. Received for "
                f"{self.folder}: {'; '.join(different)}. Give another --results-name, "
                "or delete the folder."
            )
        tuned = old.get("network", {}).get("thresholds")
        if tuned is not None:  # those of the last epochs count until this run ends
            self.config["network"]["thresholds"] = tuned


def _own(lock, folder):
    """Locks the folder until this process ends, however it ends."""
    try:
        import fcntl
    except ImportError:  # Windows
        logger.warning("This system has no file locks; run one process per folder.")
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ValueError(
            f"One process at a time trains a run. Received: {folder}, which another "
            "process is training. Wait for it, or give another --results-name."
        ) from None


def write_text(path, text: str):
    """Replaces a file in one step."""
    path = pathlib.Path(path)
    partial = path.with_name(f"partial-{path.name}")
    partial.write_text(text)
    os.replace(partial, path)


def read_history(folder) -> list[dict]:
    """Rows of a run's history.csv, numbers as floats; none before the first epoch."""
    path = pathlib.Path(folder) / "history.csv"
    if not path.is_file():
        return []
    with open(path, newline="") as file:
        rows = [
            {key: float(value) for key, value in row.items() if value}
            for row in csv.DictReader(file)
        ]
    return [{**row, "epoch": int(row["epoch"])} for row in rows]


def read_config(folder) -> dict:
    """The configuration of a run: sections network, data, training.

    The last two are empty for a folder that a wrapper has saved.

    Raises:
        ValueError: If the folder is no run.
    """
    read_network(folder)
    config = json.loads((pathlib.Path(folder) / CONFIG_FILE).read_text())
    return {"data": {}, "training": {}, **config}


@contextlib.contextmanager
def seeded(seed: int):
    """Everything that Keras, NumPy and Python draw inside starts from a seed.

    Args:
        seed: Not negative.
    """
    import keras

    if seed < 0:
        raise ValueError(f"A seed is not negative. Received: {seed}.")
    before = np.random.get_state()  # noqa: NPY002
    keras.utils.set_random_seed(seed)
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002
