"""Run folders: the only module that knows which files a run consists of.

A run is one configuration, one folder and one process at a time. The folder holds::

    config.json        network, data and training, as requested
    history.csv        one row per epoch
    best.weights.h5    the best weights
    last.weights.h5    the last weights, the optimizer and the position of training
    logs/              TensorBoard
    figures/           pictures
    evaluation/        tables and figures of scripts/evaluate.py

Every file is replaced in one step, so the folder loads whenever a process dies.
"""

import contextlib
import json
import logging
import os
import pathlib
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Self, TypeAlias

import numpy as np

from kerasloc import io, untrusted
from kerasloc.checks import check_finite
from kerasloc.configs import NetworkConfig, record_changes, setting_changes

if TYPE_CHECKING:  # reading a run's configuration loads no deep-learning library
    import keras

logger = logging.getLogger(__name__)
PathLike: TypeAlias = str | os.PathLike

CONFIG_FILE = "config.json"
HISTORY_FILE = "history.csv"
BEST_WEIGHTS = "best.weights.h5"
LAST_WEIGHTS = "last.weights.h5"
SAVED_WEIGHTS = "model.weights.h5"  # of a wrapper's save()
RUN_WEIGHTS = (BEST_WEIGHTS, SAVED_WEIGHTS)
STATE = "kerasloc_state"
# Settings that do not change the result of an epoch.
MAY_CHANGE = ("epochs", "cache", "thresholds")
MOVED = ("data_dir", "image_dir", "image_sets")  # nor do these of the same table


class Run:
    """A run folder that this process holds while it is open.

    Args:
        folder: Run folder; resumed where it exists with the same configuration.
        config: Sections ``network``, ``data``, ``training`` and, of a training,
            ``table`` (:func:`kerasloc.data.digest.digest`): dicts that json holds.
        allow_changed_data: Whether to resume although the table is another.

    Raises:
        ValueError: If the folder belongs to another configuration, table or process.
        OSError: If the folder cannot be written.

    Example:
        >>> import tempfile
        >>> with Run(tempfile.mkdtemp(), {"training": {"epochs": 2}}) as run:
        ...     run.write_history([{"epoch": 1, "loss": 0.5}])
        ...     run.history
        [{'epoch': 1, 'loss': 0.5}]
    """

    def __init__(
        self, folder: PathLike, config: Mapping, *, allow_changed_data: bool = False
    ):
        self.folder = pathlib.Path(folder)
        self.allow_changed_data = allow_changed_data
        self.config = json.loads(json.dumps(config))
        self._lock: IO | None = None

    def __enter__(self) -> Self:
        """Make, lock and check the folder."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = open(self.folder / ".lock", "w")
        except OSError as error:
            raise OSError(
                f"Expected a run folder that can be written. Received: {self.folder} "
                f"({error.strerror}). Use another --results-dir."
            ) from error
        with contextlib.ExitStack() as stack:
            stack.callback(lock.close)
            _lock(lock, self.folder)
            self._compare()
            io.remove_partial(self.folder)
            io.write_json(self.folder / CONFIG_FILE, self.config)
            stack.pop_all()  # the lock stays until __exit__
        self._lock = lock
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        """Release the folder; say what is safe where the block was interrupted."""
        if self._lock is not None:
            self._lock.close()
        mistake = isinstance(error, ValueError | TypeError)  # the same again
        if error is not None and not mistake and not hasattr(error, "__notes__"):
            error.add_note(self._safe())

    def _safe(self) -> str:
        with contextlib.suppress(OSError, ValueError, KeyError):
            state = self.read_state()
            if state or any(self.folder.glob(f"*/{LAST_WEIGHTS}")):  # of a phase
                epoch = f" up to epoch {state['epoch']}" if state else ""
                return f"{self.folder} is safe{epoch}; the same command resumes."
        return f"{self.folder} has no complete epoch; the same command starts it again."

    @property
    def history(self) -> list[dict]:
        """Rows of history.csv, numbers as floats."""
        return read_history(self.folder)

    def set_thresholds(self, thresholds: Sequence[float] | np.ndarray) -> None:
        """Store the probability thresholds of the trained network, one per class."""
        self.config["network"]["thresholds"] = [float(value) for value in thresholds]
        io.write_json(self.folder / CONFIG_FILE, self.config)

    def path(self, name: str) -> pathlib.Path:
        """Return a path in the folder; its parent folders are made."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def write_history(self, rows: Sequence[Mapping]) -> None:
        """Replace history.csv."""
        io.write_csv(self.folder / HISTORY_FILE, rows)

    def save_best(self, model: "keras.Model", name: str = BEST_WEIGHTS) -> None:
        """Replace the best weights, or those of another name, by the model's."""
        save_weights(model, self.folder / name)

    def save_state(self, model: "keras.Model", state: Mapping) -> None:
        """Replace last.weights.h5 by the model, its optimizer and the state."""
        import h5py

        check_finite(model)
        memory = io.weights_in_memory(model, LAST_WEIGHTS)
        with h5py.File(memory, "a") as file:
            file.attrs[STATE] = json.dumps(state)
        memory.write_to(self.folder / LAST_WEIGHTS)

    def load_state(self, model: "keras.Model") -> None:
        """Load last.weights.h5 into a compiled model, optimizer included."""
        # Keras skips the state of an optimizer that has no variables yet.
        model.optimizer.build(model.trainable_variables)
        path = self.folder / LAST_WEIGHTS
        with untrusted.reading(path):
            with untrusted.open_hdf5(path):
                pass  # Keras opens the file itself, and has no bounds
            model.load_weights(path)

    def read_state(self) -> dict | None:
        """Return the state after the last whole epoch; None before the first."""
        path = self.folder / LAST_WEIGHTS
        if not path.is_file():
            return None
        with untrusted.reading(path), untrusted.open_hdf5(path) as (file, _):
            return json.loads(file.attrs[STATE])

    def _compare(self) -> None:
        names = (*RUN_WEIGHTS, LAST_WEIGHTS)
        begun = any((self.folder / name).is_file() for name in names)
        begun |= any(self.folder.glob(f"*/{LAST_WEIGHTS}"))  # of a phase
        if not begun or not (self.folder / CONFIG_FILE).is_file():
            return  # nothing is lost, and a mistake in the first command can be fixed
        old = json.loads((self.folder / CONFIG_FILE).read_text(encoding="utf-8"))
        before, table = (config.get("table", {}) for config in (old, self.config))
        changes = "; ".join(record_changes(before, table)) if before and table else ""
        comparable = before and table and (self.allow_changed_data or not changes)
        may_change = {*MAY_CHANGE, *(MOVED if comparable else ())}
        if differences := setting_changes(old, self.config, may_change):
            raise ValueError(
                "Expected the configuration that the run started with. Received for "
                f"{self.folder}: {'; '.join(differences)}. Use another "
                "--results-name, or delete the folder."
            )
        if changes and not self.allow_changed_data:
            raise ValueError(
                f"Expected the data that {self.folder} started with. Received: "
                f"{changes}. Restore it, use another --results-name, or go on with "
                "--allow-changed-data (validation may be cut anew)."
            )
        if note := changes or ("no record of it" if table and not before else ""):
            logger.warning("%s: its data may have changed: %s.", self.folder, note)
        thresholds = old.get("network", {}).get("thresholds")
        if thresholds is not None:  # valid until this run ends and tunes its own
            self.config["network"]["thresholds"] = thresholds


def changed_data(folder: PathLike, table: Mapping) -> list[str]:
    """List how a table differs from that of a run; nothing without a record of it."""
    before = read_config(folder).get("table")
    return record_changes(before, table) if before and table else []


def _lock(file: IO, folder: pathlib.Path) -> None:
    """Lock the folder until this process ends, however it ends."""
    fcntl: types.ModuleType
    try:
        import fcntl
    except ImportError:  # Windows
        logger.warning("This system has no file locks; run one process per folder.")
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ValueError(
            f"Expected one process per run. Received: {folder}, which another process "
            "is training. Wait for it, or use another --results-name."
        ) from None


def save_weights(model: "keras.Model", path: PathLike) -> None:
    """Save ``.weights.h5`` crash-safe, of compiled models the optimizer, too.

    Raises:
        ValueError, OSError: If a weight is not finite, or the disk full; it stays.
    """
    check_finite(model)
    io.weights_in_memory(model, path).write_to(path)


def weights_of_run(folder: PathLike, checkpoint: str = "best") -> pathlib.Path:
    """Return the weight file of a run folder, or of one that a wrapper has saved.

    Args:
        folder: Folder.
        checkpoint: ``best``, ``last``, or another that the family keeps.

    Raises:
        ValueError: If the folder holds no weights.
    """
    folder = pathlib.Path(folder)
    for name in RUN_WEIGHTS:
        if (folder / name).is_file():
            best = checkpoint == "best"
            return folder / (name if best else f"{checkpoint}.weights.h5")
    raise ValueError(
        f"Expected a run folder with {' or '.join(RUN_WEIGHTS)}. Received: {folder}. "
        "Its training has not completed an epoch. Run the same command again."
    )


def runs_in(folder: PathLike) -> list[pathlib.Path]:
    """List the run folders with weights inside a folder, newest first."""
    folders = [path.parent for path in pathlib.Path(folder).glob(f"*/{CONFIG_FILE}")]
    runs = [f for f in folders if any((f / name).is_file() for name in RUN_WEIGHTS)]
    return sorted(runs, key=lambda run: -weights_of_run(run).stat().st_mtime)


def find_runs(family: str, start: PathLike | None = None) -> list[pathlib.Path]:
    """List the run folders of ``results/FAMILY`` with weights, newest first.

    The folder ``start`` (default: the current) is searched first, then its parents.
    """
    start = pathlib.Path(start or ".").resolve()
    for folder in (start, *start.parents):
        if runs := runs_in(folder / "results" / family):
            return runs
    return []


def newest_run(
    family: str, results_dir: PathLike = "results", *, hint: str = ""
) -> pathlib.Path:
    """Return the run folder of a family with the newest weights.

    ``results/`` of all parent folders are searched, too.

    Raises:
        ValueError: If there is no run; it ends in the hint.
    """
    folder = pathlib.Path(results_dir) / family
    if runs := runs_in(folder) or find_runs(family):
        return runs[0]
    raise ValueError(
        f"Expected a trained model of the family {family!r}. Received: no run in "
        f"{folder}, nor in results/{family} of a parent folder. "
        f"{hint or 'Train one, or name its folder.'}"
    )


def read_history(folder: PathLike) -> list[dict]:
    """Read history.csv, numbers as floats; no rows before the first epoch."""
    path = pathlib.Path(folder) / HISTORY_FILE
    if not path.is_file():
        return []
    texts = io.read_csv(path)
    rows = [{key: float(value) for key, value in t.items() if value} for t in texts]
    return [{**row, "epoch": int(row["epoch"])} for row in rows]


def has_config(folder: PathLike) -> bool:
    """Test for a run's configuration in a folder."""
    return (pathlib.Path(folder) / CONFIG_FILE).is_file()


def read_network(folder: PathLike) -> NetworkConfig:
    """Read the network that a run folder's ``config.json`` describes.

    Raises:
        ValueError: If there is no such file, or it describes no network.
    """
    path = pathlib.Path(folder) / CONFIG_FILE
    try:
        return NetworkConfig(**json.loads(path.read_text(encoding="utf-8"))["network"])
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(
            f"Expected a run folder with a {CONFIG_FILE}. Received: {folder}. Use the "
            "folder of a run, such as results/full/NAME; wrappers take weight files."
        ) from None
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"Expected a description of a network. Received: {path} ({error!r}). Write "
            "the folder again with save() or a training script."
        ) from None


def write_network(folder: PathLike, network: NetworkConfig) -> None:
    """Write the ``config.json`` of a folder that holds a network without its run."""
    io.write_json(pathlib.Path(folder) / CONFIG_FILE, {"network": vars(network)})


def read_config(folder: PathLike) -> dict:
    """Read the sections network, data, training of a run; the last two may be empty."""
    read_network(folder)
    text = (pathlib.Path(folder) / CONFIG_FILE).read_text(encoding="utf-8")
    return {"data": {}, "training": {}, **json.loads(text)}


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Start the random numbers of Keras, NumPy and Python inside from a seed from 0."""
    import keras

    if seed < 0:
        raise ValueError(f"Expected a seed that is not negative. Received: {seed}.")
    before = np.random.get_state()  # noqa: NPY002
    keras.utils.set_random_seed(seed)
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002
