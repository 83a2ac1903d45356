"""The template of a training: build, start weights, compile, target, fit, keep best.

A family derives from :class:`Trainer`. A run resumes after its last complete epoch.
"""

import dataclasses
import logging
import pathlib
import sys
from collections.abc import Mapping
from typing import Any, ClassVar

import keras

from kerasloc.checks import as_size
from kerasloc.configs import NetworkConfig, select_fields
from kerasloc.data import config as data_config
from kerasloc.data.config import DataConfig
from kerasloc.data.table import Table
from kerasloc.models import families
from kerasloc.processes import check_process
from kerasloc.runs import Run
from kerasloc.training import callbacks
from kerasloc.training.callbacks import FitConfig, Maps
from kerasloc.training.cli import ExperimentOptions, ImageOptions
from kerasloc.training.compiling import Feed, attention_images, make_feed, scope

logger = logging.getLogger(__name__)


def fit(
    run: Run, fitted: keras.Model, network: keras.Model, feed: Feed, config: FitConfig
) -> list[dict]:
    """Train from the last complete epoch of the run; return the rows of the history.

    Args:
        run: Open run; it keeps the complete epochs whatever happens.
        fitted: Compiled model.
        network: Model that shares its layers and whose weights are kept.
        feed: Tables and pipelines.
        config: Settings.

    Raises:
        ValueError: If the loss becomes infinite or NaN.
    """
    stop = callbacks.StopAtRate(config.stop_rate)
    end = callbacks.EpochEnd(run, network, config)
    first = [callbacks.EpochDraws(), callbacks.FiniteLoss()]
    ended = any(getattr(callback, "ended", False) for callback in config.stateful)
    if ended or end.first_epoch >= config.epochs:
        logger.info("%s has its %d epochs already.", run.folder, end.first_epoch)
        return run.history
    if end.first_epoch:
        logger.info("%s resumes after epoch %d.", run.folder, end.first_epoch)
        with scope(getattr(fitted, "distribute_strategy", None)):
            run.load_state(fitted)
        if stop.reached(fitted.optimizer):
            logger.info("%s has ended: its learning rate fell far enough.", run.folder)
            return run.history
    fitted.fit(
        feed.train_batches(end.first_epoch),
        validation_data=feed.val_batches(),
        steps_per_epoch=feed.steps,
        initial_epoch=end.first_epoch,
        epochs=config.epochs,
        shuffle=False,  # the pipeline does
        callbacks=[*first, *config.stateful, stop, *config.callbacks, end],
        verbose="auto" if sys.stdout.isatty() else 2,
    )
    return run.history


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Configuration of all runs of an experiment, or of those of one fold."""

    family: families.Family
    images: ImageOptions
    network: Mapping[str, Any]  # options of the builder that are not its defaults
    data: DataConfig
    training: Any  # the family's dataclass
    options: ExperimentOptions
    name: str  # and that of its run when there is one seed
    table: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # its record

    @property
    def folder(self) -> pathlib.Path:
        """Folder of the family's runs."""
        return pathlib.Path(self.options.results_dir) / self.family.name


class Trainer:
    """A training of one run.

    Args:
        run: Open run.
        tables: ``train`` and ``val`` tables.
        network: Network to build.
        config: Configuration of the training.
        strategy: Distribution strategy of TensorFlow, or None.
        augment: Augmentation, in place of that of the configuration.
    """

    config: Any  # the family's dataclass
    paths: ClassVar[tuple[str, ...]] = ("start",)  # fields in which {seed} is a seed

    def __init__(
        self,
        run: Run,
        tables: Mapping[str, Table],
        network: NetworkConfig,
        config: Any,
        *,
        strategy: Any = None,
        augment: Any = None,
    ):
        self.run, self.tables, self.network = run, tables, network
        self.config, self.strategy, self.augment = config, strategy, augment

    @staticmethod
    def embedded_data() -> dict[str, str]:
        """Return ``data_dir`` and ``dataset`` of the data for runs without any."""
        return data_config.embedded_data(multi_label=True)

    @classmethod
    def defaults(
        cls, family: families.Family, overrides: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return the values of options that are not overridden.

        Raises:
            ValueError: If there is a dataset without its folder.
        """
        if "data_dir" in overrides:
            return family.preset(overrides.get("dataset"))
        if "dataset" in overrides:
            raise ValueError(
                "Expected --data-dir beside --dataset. Received: --dataset "
                f"{overrides['dataset']} alone. Give --data-dir, too."
            )
        return family.preset(None, embedded=True) | cls.embedded_data()

    @classmethod
    def data(cls, values: Mapping[str, Any]) -> DataConfig:
        """Return the data of an experiment from all of its options."""
        return DataConfig(**select_fields(DataConfig, values))

    @classmethod
    def run_name(cls, data: DataConfig, config: Any) -> str:
        """Return the name of a run without ``--results-name``."""
        return data.name

    @classmethod
    def describe(
        cls, experiment: Experiment, table: Table, multi_label: bool = True
    ) -> NetworkConfig:
        """Return the network to train on a table of training images.

        Raises:
            ValueError: If the family does not fit the data.
        """
        family, images = experiment.family, experiment.images
        return NetworkConfig(
            family.name,
            table.class_names,
            as_size(images.im_size),
            images.channels,
            multi_label=multi_label,
            options=dict(experiment.network),
            **family.normalization(images.channels),
        )

    def train(self) -> list[dict]:
        """Train, or resume; return the rows of the history."""
        check_process()
        with scope(self.strategy):
            model = self.build()
            if self.run.read_state() is None:  # a resumed run has its weights
                self.start(model)
        feed = self.feed(model)
        with scope(self.strategy):
            fitted = self.compile(model, feed.steps)
        fit(self.run, fitted, model, feed, self.fit_config(model, feed))
        self.finish(model, feed)
        return self.run.history

    def feed(self, model: keras.Model) -> Feed:
        """Return tables, pipelines and targets."""
        return make_feed(self.tables, self.network, self.config, self.augment)

    def build(self) -> keras.Model:
        """Build the network."""
        network = self.network
        build = families.get(network.family).load("build")
        return build(network.input_shape, network.num_classes, **network.options)

    def start(self, model: keras.Model) -> None:
        """Load the weights that training starts from; without any, random ones."""

    def compile(self, model: keras.Model, count: int) -> keras.Model:
        """Return the compiled model that is fitted; it shares the network's layers."""
        raise NotImplementedError

    def fit_config(self, model: keras.Model, feed: Feed) -> FitConfig:
        """Return the settings of the fit."""
        raise NotImplementedError

    def maps(self, model: keras.Model, batch: Maps) -> Maps:
        """Return maps by name for the pictures in the logs.

        The batch has ``image`` (normalized), ``labels``, ``boxes`` (n, most, 5) and
        ``classes`` (n,), one class of every image. Maps are (n, rows, cols) or, painted
        in the classes' colors, (n, rows, cols, classes).
        """
        raise NotImplementedError

    def finish(self, model: keras.Model, feed: Feed) -> None:
        """Work after the last epoch, such as tuned thresholds."""

    def logs(
        self, run: Run, model: keras.Model, feed: Feed
    ) -> list[keras.callbacks.Callback]:
        """Return the callbacks that write pictures and curves for TensorBoard."""
        pictures = attention_images(run, feed, lambda batch: self.maps(model, batch))
        return [pictures, tensorboard(run)]


def tensorboard(run: Run) -> keras.callbacks.Callback:
    """Return the callback that writes the curves into the run's logs."""
    return keras.callbacks.TensorBoard(run.folder / "logs", write_graph=False)
