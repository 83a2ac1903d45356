"""Experiments with any family: folds, seeds and phases, and the table of all runs."""

import argparse
import dataclasses
import logging
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kerasloc.configs import NetworkConfig, select_fields
from kerasloc.data import config as data_config
from kerasloc.data.table import Table, report_classes
from kerasloc.data.validate import naming_files
from kerasloc.evaluation import collect_runs, draw_history, evaluate_run
from kerasloc.models import families
from kerasloc.runs import Run, seeded
from kerasloc.training import cli, compiling
from kerasloc.training.cli import ExperimentOptions, ImageOptions
from kerasloc.training.trainer import Experiment

logger = logging.getLogger(__name__)


def run_experiment(family: str, options: argparse.Namespace) -> list[pathlib.Path]:
    """Train or resume every fold and seed, evaluate them, and return their folders.

    Args:
        family: Name of a registered family.
        options: Command line of :func:`kerasloc.training.cli.training_parser`.

    Raises:
        ValueError: If options contradict each other or do not fit the data.
    """
    experiment = make_experiment(family, cli.overrides(options))
    strategy = compiling.select(experiment.options.gpu)
    compiling.set_precision(experiment.training.precision)
    folders = []
    for part in by_fold(experiment):
        table = data_config.read_table(part.data)
        record = data_config.record_table(part.data, table)
        fold, channels = dataclasses.replace(part, table=record), part.images.channels
        tables = data_config.training_tables(fold.data, channels, table=table)
        data_config.check_class_count(tables["train"], fold.images.num_classes)
        report_classes(tables)
        for run in by_seed(fold):
            folders.append(train_run(run, tables, strategy))
    if experiment.options.evaluation:
        evaluate_runs(experiment, folders)
    return folders


def make_experiment(family: str, overrides: Mapping[str, Any]) -> Experiment:
    """Return the experiment of the options that were set.

    The remaining options come from the family's preset for the data, or are defaults.

    Raises:
        ValueError: If seeds repeat, or contradict the seed.

    Example:
        >>> values = {"data_dir": "animals", "epochs": 3, "seeds": (0, 1)}
        >>> experiment = make_experiment("pylon", values)
        >>> experiment.name, experiment.training.epochs, experiment.images.im_size
        ('animals', 3, 256)
    """
    seeds = overrides.get("seeds")
    if seeds and ("seed" in overrides or len(set(seeds)) < len(seeds)):
        raise ValueError(
            "Expected --seeds to name each seed once, in place of --seed. Received: "
            f"--seeds {' '.join(map(str, seeds))}, --seed {overrides.get('seed')}."
        )
    record = families.get(family)
    trainer = record.load("trainer")
    values = trainer.defaults(record, overrides) | overrides
    folds = values.get("folds")
    if "evaluation" not in overrides and len(seeds or ()) * len(folds or (0,)) > 1:
        values["evaluation"] = True
    data = trainer.data(values)
    kind, network = record.load("training"), select_fields(record.options, values)
    training = kind(**select_fields(kind, values))
    images = ImageOptions(**select_fields(ImageOptions, values))
    options = ExperimentOptions(**select_fields(ExperimentOptions, values))
    name = values.get("results_name") or trainer.run_name(data, training)
    return Experiment(record, images, network, data, training, options, name)


def by_fold(experiment: Experiment) -> list[Experiment]:
    """Return the experiment on each fold of its data; itself without folds.

    Raises:
        ValueError: If folds repeat, or the data has none.
    """
    folds, data = experiment.options.folds, experiment.data
    if not folds:
        return [experiment]
    if (data.protocol is None and data.image_sets is None) or len(set(folds)) < len(
        folds
    ):
        raise ValueError(
            "Expected --folds to name each fold once, of a --protocol or of "
            f"--image-sets. Received: --folds {' '.join(map(str, folds))}, protocol "
            f"{data.protocol}, image sets {data.image_sets}."
        )
    experiments = []
    for number in folds:
        name, fold = f"{experiment.name}-fold{number}", dict[str, Any](fold=number)
        if data.image_sets is not None:
            fold = {"image_sets": str(pathlib.Path(data.image_sets, f"fold{number}"))}
        changed = dataclasses.replace(data, **fold)
        experiments.append(dataclasses.replace(experiment, data=changed, name=name))
    return experiments


def by_seed(experiment: Experiment) -> list[Experiment]:
    """Return the experiment with each seed; the held-out images stay the same.

    Example:
        >>> values = {"data_dir": "animals", "seeds": (0, 1)}
        >>> [run.name for run in by_seed(make_experiment("pylon", values))]
        ['animals-s0', 'animals-s1']
    """
    seeds, runs = experiment.options.seeds, []
    for seed in seeds or [experiment.training.seed]:
        name = f"{experiment.name}-s{seed}" if seeds else experiment.name
        training = _of_seed(experiment, seed)
        runs.append(dataclasses.replace(experiment, training=training, name=name))
    return runs


def train_run(
    experiment: Experiment, tables: Mapping[str, Table], strategy: Any = None
) -> pathlib.Path:
    """Train the run of one seed in one or two phases; return the last folder."""
    training, name = experiment.training, experiment.name
    if experiment.options.phases == 2:
        first = f"{name}-phase1"
        frozen = dataclasses.replace(training, freeze_encoder=True)
        frozen = dataclasses.replace(experiment, training=frozen, name=first)
        _train(frozen, tables, strategy)
        start = str((experiment.folder / first).resolve())
        training = dataclasses.replace(training, start=start)
    return _train(dataclasses.replace(experiment, training=training), tables, strategy)


def _train(
    experiment: Experiment, tables: Mapping[str, Table], strategy: Any
) -> pathlib.Path:
    """Train one run folder."""
    trainer, training = experiment.family.load("trainer"), experiment.training
    network: NetworkConfig = trainer.describe(experiment, tables["train"])
    config = {"network": vars(network), "data": dataclasses.asdict(experiment.data)}
    config |= {"training": dataclasses.asdict(training), "table": {**experiment.table}}
    allow = experiment.options.allow_changed_data
    folder = experiment.folder / experiment.name
    logger.info("Training %s (%s) in %s", network.name, training.name, folder)
    with (
        Run(folder, config, allow_changed_data=allow) as run,
        seeded(training.seed),
        naming_files(tables.values(), network.channels),
    ):
        trainer(run, tables, network, training, strategy=strategy).train()
        draw_history(run)
    return folder


def evaluate_runs(experiment: Experiment, folders: Sequence[pathlib.Path]) -> None:
    """Evaluate runs on the test images, and collect mean and deviation of several."""
    data = by_fold(experiment)[0].data
    if "test" not in np.asarray(data_config.read_table(data).splits):
        logger.info("The data has no test images; nothing is measured.")
        return
    compiling.set_precision("float32")  # as scripts/evaluate.py measures
    tables = [evaluate_run(folder) for folder in folders]
    if len(tables) > 1:
        folder = experiment.folder / f"{experiment.name}-collected"
        collect_runs(tables, folder, [run.name for run in folders])
        logger.info("The rows of all runs, mean and deviation are in %s", folder)


def _of_seed(experiment: Experiment, seed: int) -> Any:
    """Return the training with a seed, and with the paths of that seed, absolute."""
    training = dataclasses.replace(experiment.training, seed=seed)
    for name in experiment.family.load("trainer").paths:
        path = getattr(training, name, None)
        path = None if path in (None, "none") else path.replace("{seed}", str(seed))
        if path not in (None, "imagenet") and pathlib.Path(path).exists():
            path = str(pathlib.Path(path).resolve())  # for resuming from elsewhere
        training = dataclasses.replace(training, **{name: path})
    return training
