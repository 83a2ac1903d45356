"""Frozen configurations of trainings. Their fields, with help, are the options.

A subclass that changes a default keeps the help; fields without help are no options.
"""

import dataclasses
import functools
from typing import Any

from kerasloc.configs import check_rules, option

OPTIMIZERS = ("adadelta", "adam", "sgd")
PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")
DECAYS = ("step", "polynomial", "none")
PHASES = ("classifier", "explainer", "both")
PHASE_DECAYS = ("plateau", "cosine", "none")
LOSSES = ("hybrid", "unsupervised")
SELECTIONS = ("auroc", "tiou", "tior")
TERMS = ("abnormality", "classes", "boxes", "bounding", "union")
_L2 = "Share of every weight that is added to its gradient, at least 0."
_START = (
    "Initial weights: imagenet (fetched once), a run folder ({seed} stands for the "
    "seed), or a weight file (default: random, drawn from the seed)."
)
_boxes = functools.partial(option, group="boxes")
_term = functools.partial(option, group="objective")
_phase = functools.partial(option, group="phases")
_loss = functools.partial(option, group="loss")


@dataclasses.dataclass(frozen=True)
class FeedConfig:
    """Configuration that all trainings have."""

    batch_size: int = option(16, "Number of images in a step.", flags=("-bs",))
    seed: int = option(0, "Seed of weights, order and augmentation, at least 0.")
    precision: str = option(
        "float32",
        "Number format of the layers.",
        choices=PRECISIONS,
        flag="--mixed-precision",
    )
    augmentation: str = option(
        "affine",
        "Augmentation: affine or imgaug (HRCAM's), xray or voc (PYLON's), ham, strong, "
        "or none.",
        group="data",
    )
    cache: str | None = option(
        None,
        "Cache of decoded images: memory, or the path of a file (default: no cache).",
        group="data",
    )

    def __post_init__(self):
        sizes = {"batch_size of at least 1": self.batch_size >= 1}
        check_rules(sizes | {"seed of at least 0": self.seed >= 0}, self)


@dataclasses.dataclass(frozen=True)
class TrainingConfig(FeedConfig):
    """Configuration of a training in one phase."""

    epochs: int = option(50, "Number of epochs.")
    optimizer: str = option("adadelta", "Optimizer.", choices=OPTIMIZERS)
    learning_rate: float = option(1.0, "Initial learning rate, above 0.")

    def __post_init__(self):
        super().__post_init__()
        check_rules({"epochs of at least 1": self.epochs >= 1}, self)

    @property
    def name(self) -> str:
        """A readable name, such as ``adadelta1-b16-e50-s0``."""
        optimizer = f"{self.optimizer}{self.learning_rate:g}"
        return f"{optimizer}-b{self.batch_size}-e{self.epochs}-s{self.seed}"


@dataclasses.dataclass(frozen=True)
class HrcamTraining(TrainingConfig):
    """Training of HRCAM's half model, as published."""

    align_weight: float = 0.0  # of the full model

    def __post_init__(self):
        super().__post_init__()
        check_rules({"align_weight of at least 0": self.align_weight >= 0}, self)


@dataclasses.dataclass(frozen=True)
class FullTraining(HrcamTraining):
    """Training of HRCAM's full model, as published."""

    align_weight: float = option(
        0.0,
        "Weight, at least 0, of the term that makes high-resolution features average "
        "to the low-resolution ones (published: 0).",
    )
    half: str | None = option(
        None,
        "Run folder of the half model; {seed} stands for the seed (default: the newest "
        "in RESULTS_DIR/half).",
        flag="--half-weight-dir",
        metavar="DIR",
        group="data",
    )


@dataclasses.dataclass(frozen=True)
class MapTraining(TrainingConfig):
    """Training of PYLON and the models that it was compared with, as published.

    Example:
        >>> MapTraining(seed=1).name
        'adam0.0001-b64-e40-s1'
    """

    epochs: int = 40
    batch_size: int = 64
    optimizer: str = "adam"
    learning_rate: float = 1e-4
    augmentation: str = "xray"
    start: str | None = option(None, _START)
    freeze_encoder: bool = False  # the backbone; in the first of two --phases
    patience: int = option(
        1, "Number of epochs without a better validation loss before the rate falls."
    )
    factor: float = option(0.2, "Factor by which the rate falls, in (0, 1).")
    stop_rate: float = option(1e-6, "Learning rate at which training ends, at least 0.")

    def __post_init__(self):
        super().__post_init__()
        rules = {
            "patience of at least 1": self.patience >= 1,
            "factor in (0, 1)": 0 < self.factor < 1,
            "stop_rate of at least 0": self.stop_rate >= 0,
        }
        check_rules(rules, self)


@dataclasses.dataclass(frozen=True)
class HamTraining(TrainingConfig):
    """Training of HAM, as published."""

    epochs: int = 20
    batch_size: int = 24
    optimizer: str = "adam"
    learning_rate: float = 2e-5
    augmentation: str = "ham"
    start: str | None = option(None, _START)
    weight_decay: float = option(1e-4, _L2)
    decay: str = option(
        "step",
        "Decay of the learning rate: to a tenth, to 0 by a polynomial, or none.",
        choices=DECAYS,
    )
    decay_epochs: int | None = option(
        None,
        "Number of epochs of a step or of the polynomial (default: 10 or --epochs).",
    )
    select: str = _boxes(
        "auroc",
        "Validation score of the best weights; the best by others are kept, too.",
        choices=SELECTIONS,
    )
    annotated_weight: float = _boxes(
        1.0, "Sampling weight, above 0, of an image with boxes relative to others."
    )
    crf: bool = _boxes(
        False, 'Refinement of box masks by a dense CRF (pip install -e ".[crf]").'
    )
    abnormality_weight: float = _term(0.01, "Weight of the abnormality term.")
    classes_weight: float = _term(1.0, "Weight of the classification term.")
    boxes_weight: float = _term(0.5, "Weight of the box term.")
    bounding_weight: float = _term(
        0.001, "Weight of the classes' attention outside the abnormality's."
    )
    union_weight: float = _term(
        0.001, "Weight of the abnormality's attention outside the classes'."
    )

    def __post_init__(self):
        super().__post_init__()
        if self.decay_epochs is None:
            usual = {"step": 10, "polynomial": self.epochs}.get(self.decay, 1)
            object.__setattr__(self, "decay_epochs", usual)
        rules = {
            f"decay of {', '.join(DECAYS)}": self.decay in DECAYS,
            f"select of {', '.join(SELECTIONS)}": self.select in SELECTIONS,
            "decay_epochs of at least 1": (self.decay_epochs or 0) >= 1,
            "annotated_weight above 0": self.annotated_weight > 0,
            "weight_decay of at least 0": self.weight_decay >= 0,
        }
        for name, weight in self.term_weights.items():
            rules[f"{name}_weight of at least 0"] = weight >= 0
        check_rules(rules, self)

    @property
    def term_weights(self) -> dict[str, float]:
        """Weights of the objective's terms, by name."""
        return {name: getattr(self, f"{name}_weight") for name in TERMS}


@dataclasses.dataclass(frozen=True)
class Phase:
    """One phase of the explainer-classifier's training: a value of every field."""

    name: str  # of the trainable layers
    folder: str  # in the run folder
    epochs: int
    alpha: float
    classifier_rate: float
    explainer_rate: float
    optimizer: str
    decay: str
    patience: int


PER_PHASE = tuple(field.name for field in dataclasses.fields(Phase)[2:])


@dataclasses.dataclass(frozen=True)
class ExplainerTraining(FeedConfig):
    """Training of the explainer-classifier in three phases, as published.

    The fields of :class:`Phase` have a value per phase, or one for all three.

    Example:
        >>> [phase.epochs for phase in ExplainerTraining(epochs=5).phases]
        [5, 5, 5]
    """

    batch_size: int = 8
    augmentation: str = "strong"
    epochs: tuple[int, int, int] = _phase(
        (10, 10, 60), "Number of epochs.", flags=("--nr-epochs",)
    )
    alpha: tuple[float, float, float] = _phase(
        (1.0, 0.25, 0.9), "Weight of the cross-entropy in the loss, 0 to 1."
    )
    classifier_rate: tuple[float, float, float] = _phase(
        (0.01, 0.0, 0.01),
        "Learning rate of the classifier; 0 in the second phase.",
        flags=("--lr-clf", "-lr_clf"),
    )
    explainer_rate: tuple[float, float, float] = _phase(
        (0.0, 0.01, 0.01),
        "Learning rate of the explainer; 0 in the first phase.",
        flags=("--lr-expl", "-lr_expl"),
    )
    optimizer: tuple[str, str, str] = _phase(
        ("sgd", "sgd", "sgd"), f"Optimizer: {', '.join(OPTIMIZERS)}.", flags=("--opt",)
    )
    decay: tuple[str, str, str] = _phase(
        ("plateau", "plateau", "plateau"),
        "Decay of the rates: plateau (to a fifth after 10 epochs without a better "
        "validation loss), cosine (to 0 over the phase) or none.",
    )
    patience: tuple[int, int, int] = _phase(
        (100, 100, 10),
        "Number of epochs without a better validation loss that end the phase.",
        flags=("--early-patience",),
    )
    min_delta: float = _phase(
        1e-4,
        "Smallest decrease of the validation loss that counts as better.",
        flags=("--early-delta",),
    )
    weight_decay: float = _loss(1e-4, _L2)
    loss: str = _loss(
        "hybrid",
        "Loss: with masks or boxes of the training images, or from labels alone.",
        choices=LOSSES,
    )
    beta: float = _loss(0.9, "Weight of sparsity against smoothness, 0 to 1.")
    gamma: float = _loss(1.0, "Weight of the explanation outside the masks.")
    budget: float = _loss(0.0, "Share of the pixels that may be marked without cost.")
    weak_everywhere: bool = _loss(
        False, "Images without a mask count as images with an empty mask."
    )
    class_weights: str | tuple[float, ...] | None = _loss(
        None, "Weights of the classes: balanced, or numbers (default: 1 each)."
    )
    accuracy_drop: float = _phase(
        0.1, "Largest loss of validation accuracy in later phases, a share, 0 to 1."
    )
    aug_prob: float = option(
        0.2, "Probability of each change of the strong augmentation.", group="data"
    )
    auto_stop: bool = _phase(
        False,
        "End of the first phase when the classification loss has fallen to a quarter, "
        "of the second when the explanation loss is below a fifth of the first.",
    )
    start: str | None = option(None, _START)

    def __post_init__(self):
        super().__post_init__()
        for name in PER_PHASE:
            object.__setattr__(self, name, _per_phase(name, getattr(self, name)))
        rules = {
            "epochs of at least 1 in every phase": all(
                n == int(n) >= 1 for n in self.epochs
            ),
            "alpha in [0, 1]": all(0 <= alpha <= 1 for alpha in self.alpha),
            "optimizer of adadelta, adam, sgd": set(self.optimizer) <= set(OPTIMIZERS),
            f"decay of {', '.join(PHASE_DECAYS)}": set(self.decay) <= set(PHASE_DECAYS),
            "patience of at least 1 epoch": min(self.patience) >= 1,
            f"loss of {', '.join(LOSSES)}": self.loss in LOSSES,
            "beta in [0, 1]": 0 <= self.beta <= 1,
            "budget in [0, 1)": 0 <= self.budget < 1,
            "accuracy_drop in [0, 1]": 0 <= self.accuracy_drop <= 1,
            "aug_prob in [0, 1]": 0 <= self.aug_prob <= 1,
        }
        for name in ("gamma", "min_delta", "weight_decay"):
            rules[f"{name} of at least 0"] = getattr(self, name) >= 0
        for learner in ("classifier", "explainer"):
            rates = getattr(self, f"{learner}_rate")
            rule = f"{learner}_rate above 0 where it learns and 0 where it is frozen"
            rules[rule] = all(
                rate >= 0 and (rate > 0) == (phase in (learner, "both"))
                for phase, rate in zip(PHASES, rates, strict=True)
            )
        check_rules(rules, self)

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The three phases, in their order."""
        columns = zip(PHASES, *(getattr(self, name) for name in PER_PHASE), strict=True)
        numbered = enumerate(columns, start=1)
        return tuple(Phase(c[0], f"phase{n}-{c[0]}", *c[1:]) for n, c in numbered)

    @property
    def name(self) -> str:
        """A readable name, such as ``hybrid-e10,10,60-b8-s0``."""
        epochs = ",".join(map(str, self.epochs))
        return f"{self.loss}-e{epochs}-b{self.batch_size}-s{self.seed}"


def _per_phase(name: str, value: Any) -> tuple:
    """Return one value per phase, of one for all or of three."""
    values = (value,) if isinstance(value, str | int | float) else tuple(value)
    values = values * len(PHASES) if len(values) == 1 else values
    if len(values) != len(PHASES):
        raise ValueError(
            f"Expected {name} to be one value for all phases ({', '.join(PHASES)}) or "
            f"one for each. Received: {len(values)} values, {values}."
        )
    return values
