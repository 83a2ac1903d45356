"""An experiment with any family but HRCAM: its seeds, phases, and their table."""

import dataclasses
import logging
import pathlib

from kerasloc.configs import NetworkConfig
from kerasloc.data import config as data_config
from kerasloc.evaluation import collect_runs, evaluate_run, figures
from kerasloc.runs import Run, seeded
from kerasloc.training import (
    arguments,
    devices,
)
from kerasloc.training.configs import ExplainerTraining, HamTraining, MapTraining
from kerasloc.training.explainer import explainer_network, train_explainer
from kerasloc.training.ham import train_ham
from kerasloc.training.maps import IMAGENET, map_network, train_maps

logger = logging.getLogger(__name__)

# What is trained without --data-dir: small enough for minutes on two CPU cores.
EMBEDDED = {
    "im_size": 96,
    "channels": 3,
    "backbone": "resnet18",
    "epochs": 12,
    "batch_size": 32,
    "learning_rate": 1e-3,
    "patience": 2,
    "augmentation": "voc",  # without flips maps learn to lie beside the object
}
EMBEDDED_HAM = EMBEDDED | {
    "epochs": 8,
    "downsampling": 16,
    "augmentation": "ham",
    "decay": "polynomial",
    "box_share": 0.5,
}
EMBEDDED_EXPLAINER = {
    "im_size": 64,
    "channels": 3,
    "classifier": "resnet18",
    "init_bias": 0.5,  # a white start takes too long to darken
    "epochs": (5, 1, 10),
    "batch_size": 8,
    "optimizer": "adam",
    "classifier_rate": (1e-3, 0.0, 5e-4),
    # Slow at first: a classifier that is frozen has only seen one gray, and what batch
    # normalization lets through of that average is stripes.
    "explainer_rate": (0.0, 1e-4, 5e-3),
    "alpha": (1.0, 0.75, 0.75),  # black explanations cost more than white ones
    "decay": ("cosine", "none", "cosine"),  # else validation accuracy swings
    "patience": 100,
    "augmentation": "affine",
}
XRAY = {"im_size": 256, "channels": 1, "augmentation": "xray"}
COLOR = {"im_size": 256, "channels": 3, "augmentation": "voc"}
PUBLISHED = {"nih14": XRAY, "vindr": XRAY, "chexpert": XRAY, "ham": XRAY}
PUBLISHED_HAM = {"im_size": 512, "channels": 3}
PUBLISHED_EXPLAINER = {"im_size": 224, "channels": 3}
TRAININGS = {
    "ham": (HamTraining, train_ham),
    "explainer": (ExplainerTraining, train_explainer),
}


@dataclasses.dataclass(frozen=True)
class Experiment:
    """What all runs of an experiment share.

    Attributes:
        family: Of the network.
        values: Every option by name.
        data: Which images.
        place: Folder of the family's runs.
        name: Of the experiment, and of its run when there is one seed.
    """

    family: str
    values: dict
    data: data_config.DataConfig
    place: pathlib.Path
    name: str


def run_experiment(family: str, options) -> list[pathlib.Path]:
    """Trains every fold and seed, or goes on with it, and measures them all.

    Args:
        family: A key of :mod:`kerasloc.models.families`, or ``explainer``.
        options: Of the command line, as ``map_arguments.add_map_options`` (or
            ``explainer_arguments.add_explainer_options``) and ``arguments`` define
            them.

    Returns:
        The run folders.
    """
    experiment = _experiment(family, options)
    values = experiment.values
    strategy = devices.select(options.gpu)
    devices.set_precision(values.get("precision", "float32"))
    folders, parts = [], _parts(experiment, getattr(options, "folds", None))
    for part in parts:
        tables = data_config.training_tables(part.data, values["channels"])
        data_config.check_class_count(tables["train"], options.num_classes)
        if family == "explainer":
            network = explainer_network(tables["train"], values)
        else:
            network = map_network(family, tables["train"], values)
        for seed in options.seeds or [values.get("seed", 0)]:
            name = f"{part.name}-s{seed}" if options.seeds else part.name
            folders.append(_train(part, network, tables, (name, seed, strategy)))
    if options.evaluation:
        _evaluate(dataclasses.replace(parts[0], name=experiment.name), folders)
    return folders


def _parts(experiment: Experiment, folds) -> list[Experiment]:
    """The experiment on each fold of its data; as it is without folds."""
    if not folds:
        return [experiment]
    data = experiment.data
    if (data.protocol is None and data.image_sets is None) or _twice(folds):
        raise ValueError(
            "--folds takes each fold once, of a --protocol or of --image-sets. "
            f"Received: --folds {' '.join(map(str, folds))}, protocol {data.protocol}, "
            f"image sets {data.image_sets}."
        )
    parts = []
    for number in folds:
        if data.image_sets is None:
            own = dataclasses.replace(data, fold=number)
        else:
            place = pathlib.Path(data.image_sets) / f"fold{number}"
            own = dataclasses.replace(data, image_sets=str(place))
        name = f"{experiment.name}-fold{number}"
        parts.append(dataclasses.replace(experiment, data=own, name=name))
    return parts


def _experiment(family, options) -> Experiment:
    """The options, over the published or the embedded values."""
    values = arguments.given(options)
    if options.data_dir is None and options.dataset is not None:
        raise ValueError(
            "--dataset says what lies in --data-dir. Received: --dataset "
            f"{options.dataset} alone. Give --data-dir, too."
        )
    if options.seeds and (options.seed is not None or _twice(options.seeds)):
        raise ValueError(
            "--seeds takes each seed once, and stands for --seed. Received: --seeds "
            f"{' '.join(map(str, options.seeds))}, --seed {options.seed}."
        )
    values = {**_defaults(family, options), **values}
    data = arguments.make(data_config.DataConfig, values)
    place = pathlib.Path(options.results_dir) / family
    return Experiment(family, values, data, place, options.results_name or data.name)


def _defaults(family: str, options) -> dict:
    """The embedded data and what fits it, or what is published for other data."""
    if options.data_dir is not None:
        own = {"ham": PUBLISHED_HAM, "explainer": PUBLISHED_EXPLAINER}
        return own.get(family, PUBLISHED.get(options.dataset, COLOR))
    if family == "explainer":
        return {**EMBEDDED_EXPLAINER, **data_config.embedded_polygons()}
    small = EMBEDDED_HAM if family == "ham" else EMBEDDED
    return {**small, **data_config.embedded_data(multi_label=True)}


def _twice(values) -> bool:
    return len(set(values)) < len(values)


def _train(experiment: Experiment, network: NetworkConfig, tables, what):
    """One seed's run, or its two; the folder of the last."""
    name, seed, strategy = what
    values = {**experiment.values, "seed": seed}
    start = values.get("start")
    start = None if start in (None, "none") else start.replace("{seed}", str(seed))
    if start not in (None, IMAGENET) and pathlib.Path(start).exists():
        start = str(pathlib.Path(start).resolve())  # found again from other folders
    phases = [(name, {"start": start})]
    if values.get("phases") == 2:
        first = f"{name}-phase1"
        phases = [
            (first, {"start": start, "freeze_encoder": True}),
            (name, {"start": str((experiment.place / first).resolve())}),
        ]
    kind, train = TRAININGS.get(experiment.family, (MapTraining, train_maps))
    for run_name, phase in phases:
        training = arguments.make(kind, {**values, **phase})
        config = {
            "network": vars(network),
            "data": dataclasses.asdict(experiment.data),
            "training": dataclasses.asdict(training),
        }
        folder = experiment.place / run_name
        logger.info("Training %s (%s) in %s", network.name, training.name, folder)
        with Run(folder, config) as run, seeded(seed):
            train(run, tables, network, training, strategy=strategy)
            figures.draw_history(run)
    return folder


def _evaluate(experiment: Experiment, folders):
    """The table of every run, and their mean and deviation."""
    table = data_config.read_table(experiment.data)
    if not (table.splits == "test").any():
        logger.info("The data has no test images; nothing is measured.")
        return
    devices.set_precision("float32")  # as scripts/evaluate.py measures
    rows = [evaluate_run(folder) for folder in folders]
    if len(rows) > 1:
        where = experiment.place / f"{experiment.name}-collected"
        collect_runs(rows, where, [folder.name for folder in folders])
        logger.info("Every run's rows, their mean and deviation are in %s", where)
