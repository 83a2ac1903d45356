"""The three phases of the explainer-classifier: classifier, explainer, both.

Each has its own folder in that of the run, is a run of its own that goes on where it
stopped, and hands its best weights to the next.

Reference:
    Rio-Torto, Fernandes, Teixeira, Understanding the decisions of CNNs: an in-model
    approach, Pattern Recognition Letters 133, 2020.
"""

import dataclasses
import logging
import math

import keras

from kerasloc import weights as weight_files
from kerasloc.data.pipeline import batches, steps
from kerasloc.models.explainer import PREFIX
from kerasloc.runs import Run, read_history
from kerasloc.training.configs import ExplainerTraining, Phase
from kerasloc.training.feeds import attention
from kerasloc.training.fitting import fit, optimizer
from kerasloc.training.stops import (
    CLASSIFICATION_SHARE,
    EXPLANATION_SHARE,
    Collapse,
    EarlyStop,
    LossFell,
)

logger = logging.getLogger(__name__)

PLATEAU = {"monitor": "val_loss", "factor": 0.2, "patience": 10, "min_lr": 1e-5}


def train_phases(run, model, fed: dict, config: ExplainerTraining, make_trainer):
    """Trains every phase that is not over, one after the other.

    Args:
        run: The open run. Its ``best.weights.h5`` are those of the last phase that
            ended, its history.csv holds the epochs of all of them.
        model: With the weights to begin from.
        fed: As :func:`kerasloc.training.fitting.fit` takes it.
        config: What the phases are.
        make_trainer: Function ``(phase, count) -> trainer``: a compiled model whose
            logs have ``val_accuracy`` and ``val_explanation_mean``; ``count`` is the
            number of steps of an epoch.

    Yields:
        Every phase when its best weights are those of the model; phases that others
        went on from before are left out.

    Raises:
        ValueError: If a phase ends with explanations that are black or white
            everywhere, and none of its epochs can be handed on.
    """
    phases, before = config.phases, None
    for number, phase in enumerate(phases):
        folder = run.folder / phase.folder
        later = [run.folder / other.folder for other in phases[number + 1 :]]
        if not any(_begun(one) for one in later):
            if before is not None:
                _load(model, before)
            with Run(folder, run.config) as own:
                _train_phase(
                    own, model, _seeded(fed, number), phase, config, make_trainer
                )
            _keep(run, model, phases[: number + 1])
            yield phase
        before = folder


def _train_phase(own: Run, model, fed, phase: Phase, config, make_trainer):
    """One phase, from wherever it stands."""
    logger.info(
        "Phase %s: alpha %g, up to %d epochs", phase.name, phase.alpha, phase.epochs
    )
    freeze(model, phase.name)
    trainer = make_trainer(phase, steps(fed["train"], fed["train_config"]))
    lowest = None
    if phase.name != "classifier":
        lowest = (1 - config.accuracy_drop) * _accuracy(trainer, fed)
        if own.read_state() is None:  # stays the best where no epoch is good enough
            weight_files.save_atomically(model, own.folder / "best.weights.h5")
    stops = _stops(phase, config)
    settings = {
        "epochs": phase.epochs,
        "monitor": ("val_loss", "min"),
        "plateau": PLATEAU if phase.decay == "plateau" else None,
        "kept": stops,
        "callbacks": [attention(own, fed, _maps_of(model))],
        "eligible": None if lowest is None else _eligible(lowest),
    }
    fit(own, trainer, model, fed, settings)
    if math.isinf(own.read_state()["best"]) and lowest is not None:
        _refuse_collapse(own, phase, lowest)


def _refuse_collapse(own: Run, phase: Phase, lowest):
    """Says that no epoch of a phase can be handed on."""
    if Collapse.flat(own.history[-1]["val_explanation_mean"]):
        raise ValueError(
            "An explanation marks a part of the image. Received: explanations that are "
            f"black or white everywhere, after phase {phase.name} (alpha "
            f"{phase.alpha:g}), and no epoch before that is good enough. Black: give a "
            "larger --alpha, a smaller --explainer-rate, fewer --epochs or --auto-stop "
            "for that phase, or a --budget. White: more --epochs or a smaller "
            "--init-bias. And another --results-name."
        )
    logger.warning(
        "No epoch of phase %s had a validation accuracy of %.3f or more: the weights "
        "it began with are handed on.",
        phase.name,
        lowest,
    )


def _eligible(lowest: float):
    """Function from an epoch's logs to whether its weights may be the best."""

    def eligible(logs):
        mean = float(logs["val_explanation_mean"])
        return float(logs["val_accuracy"]) >= lowest and not Collapse.flat(mean)

    return eligible


def freeze(model: keras.Model, phase: str):
    """Lets the layers of a phase learn and no others; compile again behind it.

    Frozen batch normalization answers with its moving statistics and keeps them.

    Args:
        model: From :func:`kerasloc.models.explainer.explainer_classifier`.
        phase: ``classifier``, ``explainer`` or ``both``.
    """
    for layer in model.layers:
        part = "explainer" if layer.name.startswith(PREFIX) else "classifier"
        layer.trainable = phase in (part, "both")


def two_rates(phase: Phase, count: int, l2: float) -> keras.optimizers.Optimizer:
    """The optimizer of a phase: each part with its own learning rate.

    Args:
        phase: Its rates, and how they fall.
        count: Steps of an epoch.
        l2: Share of every weight that is added to its gradient.
    """

    def one(rate):
        falling = None
        if phase.decay == "cosine":
            length = phase.epochs * count
            falling = keras.optimizers.schedules.CosineDecay(rate, length)
        return optimizer(phase.optimizer, rate, falling, l2=l2)

    if phase.name != "both":
        return one(phase.classifier_rate or phase.explainer_rate)
    classifier, explainer = one(phase.classifier_rate), one(phase.explainer_rate)
    classifier.name, explainer.name = "classifier", "explainer"  # of their columns
    parts = {f"{PREFIX}.*": explainer}
    return TwoRates(keras.optimizers.OptimizerMap(classifier, parts))


@keras.saving.register_keras_serializable(package="kerasloc")
class TwoRates(keras.optimizers.MultiOptimizer):
    """Optimizers by variable whose learning rates fall together.

    ``learning_rate`` is that of the first; setting it changes all in proportion, so
    callbacks that look at one rate work.
    """

    @property
    def learning_rate(self):
        """Of the first optimizer."""
        return self.optimizers[0].learning_rate

    @learning_rate.setter
    def learning_rate(self, value):
        """Changes all in proportion."""
        first = float(keras.ops.convert_to_numpy(self.learning_rate))
        for one in self.optimizers:
            own = float(keras.ops.convert_to_numpy(one.learning_rate))
            one.learning_rate = own * float(value) / first


def white_bound(config: ExplainerTraining, classes: int) -> float:
    """The alpha above which white explanations cost less than black ones.

    Black ones leave the classifier at chance, ln(classes); white ones cost beta, and
    gamma where there are weak masks.

    Args:
        config: ``beta``, ``gamma``, ``loss``.
        classes: How many.
    """
    cost = config.beta * (1 - config.budget)
    cost += config.gamma if config.loss == "hybrid" else 0.0
    return cost / (cost + math.log(classes))


def warn_of_collapse(config: ExplainerTraining, classes: int):
    """Warns of phases in which black explanations cost less than white ones."""
    bound = white_bound(config, classes)
    low = [p for p in config.phases if p.name != "classifier" and p.alpha < bound]
    for phase in low:
        logger.warning(
            "alpha %g of phase %s lies below %.2f: black explanations cost less than "
            "white ones there, and the phase may end in them.",
            phase.alpha,
            phase.name,
            bound,
        )


def _stops(phase: Phase, config: ExplainerTraining) -> list:
    stops = [EarlyStop(phase.patience, config.min_delta)]
    if phase.name != "classifier":
        stops.append(Collapse())
    if config.auto_stop and phase.name == "classifier":
        stops.append(LossFell("classification_loss", CLASSIFICATION_SHARE))
    if config.auto_stop and phase.name == "explainer":
        stops.append(LossFell("explanation_loss", EXPLANATION_SHARE))
    return stops


def _accuracy(trainer, fed) -> float:
    """Accuracy on validation of the weights that a phase begins with."""
    val = batches(fed["val"], fed["val_config"]).map(fed["target"])
    return float(trainer.evaluate(val, verbose=0, return_dict=True)["accuracy"])


def _seeded(fed, number: int) -> dict:
    """The feed in an order, and with augmentations, of the phase's own."""
    config = fed["train_config"]
    own = dataclasses.replace(config, seed=config.seed + number * 100_003)
    return {**fed, "train_config": own}


def _begun(folder) -> bool:
    return (folder / "last.weights.h5").is_file()


def _load(model, folder):
    best = folder / "best.weights.h5"
    weight_files.assign(model, weight_files.read_arrays(best), source=str(best))


def _keep(run, model, phases):
    """The best weights so far as those of the run, and the epochs of all phases."""
    _load(model, run.folder / phases[-1].folder)
    weight_files.save_atomically(model, run.folder / "best.weights.h5")
    rows = []
    for number, phase in enumerate(phases, start=1):
        for row in read_history(run.folder / phase.folder):
            rows.append({"epoch": len(rows) + 1, "phase": number, **_own(row)})
    run.write_history(rows)


def _own(row: dict) -> dict:
    return {key: value for key, value in row.items() if key != "epoch"}


def _maps_of(model):
    """Function from a batch to its explanations."""

    def maps(batch):
        outputs = model(batch["image"], training=False)
        answer = keras.ops.convert_to_numpy(outputs["explanation"])
        return {"explanation": answer[..., 0]}

    return maps
