"""Training of the explainer-classifier in three phases: classifier, explainer, both.

Each phase has its folder in that of the run, is a run that resumes, and starts from
the best weights of the phase before.

Reference:
    Rio-Torto, Fernandes, Teixeira, Understanding the decisions of CNNs: an in-model
    approach, Pattern Recognition Letters 133, 2020.
"""

import dataclasses
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from kerasloc import evaluation
from kerasloc.configs import NetworkConfig
from kerasloc.data import config as data_config
from kerasloc.data.augment import Strong
from kerasloc.data.table import Table
from kerasloc.models import families
from kerasloc.models.explainer import PREFIX
from kerasloc.runs import BEST_WEIGHTS, LAST_WEIGHTS, Run, read_history
from kerasloc.training import callbacks
from kerasloc.training.callbacks import Collapse, Maps, ReduceLROnPlateau, Stop
from kerasloc.training.compiling import Feed, make_feed, scope
from kerasloc.training.configs import ExplainerTraining, Phase
from kerasloc.training.maps import IMAGENET, load_start
from kerasloc.training.objectives import (
    class_weights,
    compile_explainer,
    weak_target,
)
from kerasloc.training.trainer import Experiment, FitConfig, Trainer, fit
from kerasloc.weights import assign, read_arrays

logger = logging.getLogger(__name__)

# loss and share of its first value at which a phase may end
SHARES = {"classifier": ("classification_loss", 0.25)}
SHARES["explainer"] = ("explanation_loss", 0.2)


class ExplainerTrainer(Trainer):
    """A network trained in three phases.

    The best weights of the run are those of the last phase that ended, its history has
    the epochs of all phases.
    """

    @staticmethod
    def embedded_data() -> dict[str, str]:
        """Return the embedded polygons."""
        return data_config.embedded_polygons()

    @classmethod
    def describe(
        cls, experiment: Experiment, table: Table, multi_label: bool = False
    ) -> NetworkConfig:
        """Return the network; images are normalized when it starts from ImageNet's."""
        if len(table.class_names) < 2:
            names = ", ".join(table.class_names)
            raise ValueError(f"Expected two classes or more. Received: {names}.")
        if table.multi_label:
            raise ValueError(
                "Expected images of exactly one class each. Received: images with "
                "another number. Use classes that exclude each other: --classes A B."
            )
        network = super().describe(experiment, table, multi_label)
        options = families.option_defaults(network.family) | network.options
        normal = experiment.training.start == IMAGENET and network.channels == 3
        changes: dict[str, Any] = families.IMAGENET if normal else {}
        return dataclasses.replace(network, options=options, **changes)

    def train(self) -> list[dict]:
        """Train every phase that has not ended; return the rows of all histories.

        Raises:
            ValueError: If explanations end black or white everywhere, and no epoch of
                the phase can be continued.
        """
        warn_of_collapse(self.config, self.network.num_classes)
        labels = self.tables["train"].labels
        weights = class_weights(self.config.class_weights, labels)
        with scope(self.strategy):
            model = self.build()
            if not (self.run.folder / BEST_WEIGHTS).is_file():
                self.start(model)
        feed = self.feed(model)
        phases = self.config.phases
        for number, phase in enumerate(phases):
            if any(self._has_begun(later) for later in phases[number + 1 :]):
                continue
            if number:
                self._load(model, phases[number - 1])
            allow = self.run.allow_changed_data
            folder = self.run.folder / phase.folder
            with Run(folder, self.run.config, allow_changed_data=allow) as run:
                self._train_phase(run, model, seeded_feed(feed, number), phase, weights)
            self._keep(model, phases[: number + 1])
            self.draw(model, phase)
        return self.run.history

    def start(self, model: keras.Model) -> None:
        """Load the weights of ``config.start``."""
        load_start(model, self.network, self.config.start)

    def feed(self, model: keras.Model) -> Feed:
        """Return tables and pipelines with labels and weak masks."""
        config, augment = self.config, self.augment
        if augment is None and config.augmentation == "strong":
            augment = Strong(config.aug_prob)
        feed = make_feed(self.tables, self.network, config, augment)
        train, val = feed.train_config, feed.val_config
        return dataclasses.replace(
            feed,
            train_config=dataclasses.replace(train, fields=self._fields("train")),
            val_config=dataclasses.replace(val, fields=self._fields("val")),
            target=weak_target(self.network.im_size),
        )

    def maps(self, model: keras.Model, batch: Maps) -> Maps:
        """Return the explanations."""
        outputs = model(batch["image"], training=False)
        explanation = keras.ops.convert_to_numpy(outputs["explanation"])
        return {"explanation": explanation[..., 0]}

    def plateau(self) -> ReduceLROnPlateau:
        """Return the decay ``plateau``."""
        return ReduceLROnPlateau("val_loss", factor=0.2, patience=10, min_lr=1e-5)

    def draw(self, model: keras.Model, phase: Phase) -> None:
        """Draw curves and explanations after a phase."""
        val = self.tables["val"]
        evaluation.draw_phase(self.run, phase.folder, model, self.network, val)

    def compile_phase(
        self, model: keras.Model, phase: Phase, count: int, weights: np.ndarray
    ) -> keras.Model:
        """Return the network with its loss, compiled for a phase."""
        options = {"steps": count, "weights": weights, "strategy": self.strategy}
        return compile_explainer(model, self.config, phase, **options)

    def accuracy(self, fitted: keras.Model, feed: Feed) -> float:
        """Return the validation accuracy of the weights that a phase starts with."""
        scores = fitted.evaluate(feed.val_batches(), verbose=0, return_dict=True)
        return float(scores["accuracy"])

    def _fields(self, split: str) -> tuple[str, ...]:
        """Return what the pipeline of a split reads."""
        table, fields = self.tables[split], ("image", "labels")
        if self.config.loss != "hybrid":
            return fields
        if np.any(np.asarray(table.masks) != ""):
            return (*fields, "mask")
        if len(np.asarray(table.boxes)):
            return (*fields, "boxes")
        if split == "train":
            raise ValueError(
                "Expected masks or boxes of some training images for loss='hybrid'. "
                "Received: none. Give --loss unsupervised."
            )
        return fields

    def _train_phase(
        self, run: Run, model: keras.Model, feed: Feed, phase: Phase, weights: Any
    ) -> None:
        """Train one phase, from its last complete epoch."""
        name, alpha, epochs = phase.name, phase.alpha, phase.epochs
        logger.info("Phase %s: alpha %g, up to %d epochs", name, alpha, epochs)
        freeze(model, phase.name)
        with scope(self.strategy):
            fitted = self.compile_phase(model, phase, feed.steps, weights)
        lowest = None
        if phase.name != "classifier":
            lowest = (1 - self.config.accuracy_drop) * self.accuracy(fitted, feed)
            if run.read_state() is None:  # stays the best if no epoch is eligible
                run.save_best(model)
        decay: list[Any] = [self.plateau()] if phase.decay == "plateau" else []
        decay += stops(phase, self.config)
        logs = self.logs(run, model, feed)
        config = FitConfig(phase.epochs, "val_loss", "min", decay, logs)
        if lowest is not None:
            config = dataclasses.replace(config, eligible=eligible_above(lowest))
        fit(run, fitted, model, feed, config)
        state = run.read_state()
        if lowest is not None and state is not None and math.isinf(state["best"]):
            _refuse_collapse(run, phase, lowest)

    def _has_begun(self, phase: Phase) -> bool:
        return (self.run.folder / phase.folder / LAST_WEIGHTS).is_file()

    def _load(self, model: keras.Model, phase: Phase) -> None:
        best = self.run.folder / phase.folder / BEST_WEIGHTS
        assign(model, read_arrays(best), source=str(best))

    def _keep(self, model: keras.Model, phases: Sequence[Phase]) -> None:
        """Keep the best weights of the last phase and the epochs of all phases."""
        self._load(model, phases[-1])
        self.run.save_best(model)
        rows: list[dict] = []
        for number, phase in enumerate(phases, start=1):
            for row in read_history(self.run.folder / phase.folder):
                position = {"epoch": len(rows) + 1, "phase": number}
                rows.append(position | row | position)
        self.run.write_history(rows)


def freeze(model: keras.Model, phase: str) -> None:
    """Make the layers of a phase trainable and no others; compile again afterwards."""
    for layer in model.layers:
        learner = "explainer" if layer.name.startswith(PREFIX) else "classifier"
        layer.trainable = phase in (learner, "both")


def seeded_feed(feed: Feed, number: int) -> Feed:
    """Return a feed whose order and augmentations are those of a phase, from 0."""
    seed = feed.train_config.seed + number * 100_003
    config = dataclasses.replace(feed.train_config, seed=seed)
    return dataclasses.replace(feed, train_config=config)


def stops(phase: Phase, config: ExplainerTraining) -> list[Stop]:
    """Return the callbacks that may end a phase before its last epoch.

    Example:
        >>> config = ExplainerTraining()
        >>> [type(s).__name__ for s in stops(config.phases[1], config)]
        ['EarlyStop', 'Collapse']
    """
    ends: list[Stop] = [callbacks.EarlyStop(phase.patience, config.min_delta)]
    if phase.name != "classifier":
        ends.append(Collapse())
    if config.auto_stop and phase.name in SHARES:
        ends.append(callbacks.LossFell(*SHARES[phase.name]))
    return ends


def eligible_above(lowest: float) -> Callable[[Mapping[str, float]], bool]:
    """Return the function from an epoch's logs to whether it may be the best.

    The validation accuracy must be ``lowest`` or more.

    Example:
        >>> eligible_above(0.5)({"val_accuracy": 0.6, "val_explanation_mean": 0.2})
        True
    """

    def eligible(logs):
        mean = float(logs["val_explanation_mean"])
        return float(logs["val_accuracy"]) >= lowest and not Collapse.flat(mean)

    return eligible


def white_bound(config: ExplainerTraining, classes: int) -> float:
    """Return the alpha above which white explanations cost less than black ones.

    Black ones leave the classifier at chance, ln(classes); white ones cost beta, and
    gamma where there are weak masks.

    Example:
        >>> white_bound(ExplainerTraining(), 2)
        0.7327
    """
    cost = config.beta * (1 - config.budget)
    cost += config.gamma if config.loss == "hybrid" else 0.0
    return cost / (cost + math.log(classes))


def warn_of_collapse(config: ExplainerTraining, classes: int) -> None:
    """Warn of phases in which black explanations cost less than white ones.

    Example:
        >>> warn_of_collapse(ExplainerTraining(alpha=0.9), 2)
    """
    bound = white_bound(config, classes)
    low = [p for p in config.phases if p.name != "classifier" and p.alpha < bound]
    for phase in low:
        logger.warning(
            f"alpha {phase.alpha:g} of phase {phase.name} lies below {bound:.2f}: "
            "black explanations cost less than white ones there, and the phase may end "
            "in them."
        )


def _refuse_collapse(run: Run, phase: Phase, lowest: float) -> None:
    """Report that no epoch of a phase is eligible."""
    if Collapse.flat(run.history[-1]["val_explanation_mean"]):
        raise ValueError(
            "Expected explanations of parts of the images. Received: black or white "
            f"ones everywhere after phase {phase.name} (alpha {phase.alpha:g}), and no "
            "epoch before that is good enough. Black: use a larger --alpha, a smaller "
            "--explainer-rate, fewer --epochs or --auto-stop, or a --budget. White: "
            "use more --epochs or a smaller --init-bias. And another --results-name."
        )
    logger.warning(
        f"No epoch of phase {phase.name} had a validation accuracy of {lowest:.3f} or "
        "more: its initial weights are kept."
    )
