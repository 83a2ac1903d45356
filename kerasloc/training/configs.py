"""How a network is trained, as it stands in a run folder."""

import dataclasses

OPTIMIZERS = ("adadelta", "adam", "sgd")
DECAYS = ("step", "polynomial", "none")
PHASES = ("classifier", "explainer", "both")
PHASE_DECAYS = ("plateau", "cosine", "none")
LOSSES = ("hybrid", "unsupervised")
SELECTIONS = ("auroc", "tiou", "tior")
TERMS = ("abnormality", "classes", "boxes", "bounding", "union")


@dataclasses.dataclass(frozen=True)
class FeedConfig:
    """What every training decides.

    Attributes:
        batch_size: Images in a step.
        seed: Decides weights, order and augmentation.
        precision: See :mod:`kerasloc.training.devices`.
        augmentation: Name of one in :mod:`kerasloc.data.augment`.
        cache: See :class:`kerasloc.data.pipeline.PipelineConfig`.
    """

    batch_size: int = 16
    seed: int = 0
    precision: str = "float32"
    augmentation: str = "affine"
    cache: str | None = None


@dataclasses.dataclass(frozen=True)
class TrainingConfig(FeedConfig):
    """What every training in one go decides.

    Attributes:
        epochs: Until which epoch.
        optimizer: ``adadelta``, ``adam`` or ``sgd``.
        learning_rate: Of the optimizer at the start.
    """

    epochs: int = 50
    optimizer: str = "adadelta"
    learning_rate: float = 1.0

    def __post_init__(self):
        if min(self.epochs, self.batch_size) < 1 or self.seed < 0:
            raise ValueError(
                "epochs and batch_size are at least 1, seed is at least 0. Received: "
                f"{self.epochs}, {self.batch_size}, {self.seed}."
            )

    @property
    def name(self) -> str:
        """A readable name, such as ``adadelta1.0-b16-e50-s0``."""
        parts = [
            f"{self.optimizer}{self.learning_rate:g}",
            f"b{self.batch_size}",
            f"e{self.epochs}",
            f"s{self.seed}",
        ]
        return "-".join(parts)


@dataclasses.dataclass(frozen=True)
class HrcamTraining(TrainingConfig):
    """HRCAM's training, as published.

    Attributes:
        align_weight: Of the alignment term (full model only; not in the paper).
    """

    align_weight: float = 0.0

    def __post_init__(self):
        super().__post_init__()
        if not self.align_weight >= 0:
            raise ValueError(
                f"align_weight is at least 0. Received: {self.align_weight}."
            )


@dataclasses.dataclass(frozen=True)
class HamTraining(TrainingConfig):
    """HAM's training, as published.

    Attributes:
        start: As of :class:`MapTraining`.
        weight_decay: Share of every weight added to its gradient.
        decay: How the learning rate falls: ``step`` (to a tenth every
            ``decay_epochs``), ``polynomial`` (to 0 after ``decay_epochs``, power 0.9)
            or ``none``.
        decay_epochs: 10 for ``step`` and ``epochs`` for ``polynomial`` when None.
        select: What the best weights are best by on validation: mean ``auroc``,
            ``tiou`` or ``tior``.
        annotated_weight: How often an image with boxes is drawn beside one without.
        crf: Whether box masks are refined by a dense CRF on the image first.
        abnormality_weight: Of that term of the objective, as the next four.
        classes_weight: Of the class labels.
        boxes_weight: Of the boxes.
        bounding_weight: Of the classes' attention inside the abnormality's.
        union_weight: Of the abnormality's attention inside the classes'.
    """

    epochs: int = 20
    batch_size: int = 24
    optimizer: str = "adam"
    learning_rate: float = 2e-5
    augmentation: str = "ham"
    start: str | None = None
    weight_decay: float = 1e-4
    decay: str = "step"
    decay_epochs: int | None = None
    select: str = "auroc"
    annotated_weight: float = 1.0
    crf: bool = False
    abnormality_weight: float = 0.01
    classes_weight: float = 1.0
    boxes_weight: float = 0.5
    bounding_weight: float = 0.001
    union_weight: float = 0.001

    def __post_init__(self):
        super().__post_init__()
        if self.decay_epochs is None:
            usual = {"step": 10, "polynomial": self.epochs}.get(self.decay, 1)
            object.__setattr__(self, "decay_epochs", usual)
        rules = {
            "decay is step, polynomial or none": self.decay in DECAYS,
            "select is auroc, tiou or tior": self.select in SELECTIONS,
            "decay_epochs is at least 1": self.decay_epochs >= 1,
            "annotated_weight is above 0": self.annotated_weight > 0,
            "weights of terms, and weight_decay, are at least 0": all(
                value >= 0 for value in (*self.term_weights.values(), self.weight_decay)
            ),
        }
        broken = [rule for rule, kept in rules.items() if not kept]
        if broken:
            raise ValueError(f"{'; '.join(broken)}. Received: {self}.")

    @property
    def term_weights(self) -> dict[str, float]:
        """Of the objective's terms, by name."""
        return {name: getattr(self, f"{name}_weight") for name in TERMS}


@dataclasses.dataclass(frozen=True)
class MapTraining(TrainingConfig):
    """PYLON's training, and that of what it is compared with, as published.

    Attributes:
        start: Run folder or weight file to start from, ``imagenet``, or None for
            weights drawn by the seed.
        freeze_encoder: Whether the backbone stays as it starts.
        patience: Epochs without a better validation loss before the rate falls.
        factor: By which it falls.
        stop_rate: Training ends once the rate has fallen to this.
    """

    epochs: int = 40
    batch_size: int = 64
    optimizer: str = "adam"
    learning_rate: float = 1e-4
    augmentation: str = "xray"
    start: str | None = None
    freeze_encoder: bool = False
    patience: int = 1
    factor: float = 0.2
    stop_rate: float = 1e-6

    def __post_init__(self):
        super().__post_init__()
        if self.patience < 1 or not 0 < self.factor < 1 or not self.stop_rate >= 0:
            raise ValueError(
                "patience is at least 1, factor between 0 and 1, stop_rate at least 0."
                f" Received: {self.patience}, {self.factor}, {self.stop_rate}."
            )


@dataclasses.dataclass(frozen=True)
class Phase:
    """One phase of the explainer-classifier's training.

    Attributes:
        name: ``classifier``, ``explainer`` or ``both``: what learns.
        folder: Of the phase, in that of the run.
        epochs: Until which epoch of the phase.
        alpha: Share of the cross-entropy in the loss; the rest is the explanation's.
        classifier_rate: Learning rate of the classifier; 0 where it is frozen.
        explainer_rate: Of the explainer.
        optimizer: ``adadelta``, ``adam`` or ``sgd``.
        decay: How the rates fall: ``plateau``, ``cosine`` or ``none``.
        patience: Epochs without a better validation loss after which the phase ends.
    """

    name: str
    folder: str
    epochs: int
    alpha: float
    classifier_rate: float
    explainer_rate: float
    optimizer: str
    decay: str
    patience: int


@dataclasses.dataclass(frozen=True)
class ExplainerTraining(FeedConfig):
    """The explainer-classifier's training in three phases, as published.

    What is said to be of a phase takes one value for all three or a sequence of three:
    for the classifier's phase, the explainer's, and that of both.

    Attributes:
        epochs: Of a phase.
        alpha: Of a phase: share of the cross-entropy in the loss, 0 to 1.
        classifier_rate: Of a phase: learning rate of the classifier; 0 in the second.
        explainer_rate: Of a phase: that of the explainer; 0 in the first.
        optimizer: Of a phase: ``adadelta``, ``adam`` or ``sgd`` (momentum 0.9).
        decay: Of a phase: ``plateau`` (a fifth after 10 epochs without a better
            validation loss), ``cosine`` (to 0 over the phase) or ``none``.
        patience: Of a phase: epochs without a better validation loss before it ends.
        min_delta: What counts as better.
        weight_decay: Share of every weight added to its gradient.
        loss: ``hybrid`` (with the weak masks) or ``unsupervised``.
        beta: Of :func:`kerasloc.losses.explanation_loss`, as the next two.
        gamma: Weight of the weak term.
        budget: Share of the pixels that may be marked for nothing.
        weak_everywhere: Whether an image without a target has a weak term, too: its
            whole explanation is then outside.
        class_weights: None, ``balanced``, or a weight per class.
        accuracy_drop: Weights of the last two phases are kept as the best only where
            validation accuracy lies at most this share below that of the phase before.
        aug_prob: Probability of each change of the augmentation ``strong``.
        auto_stop: Whether the first phase ends when the classification loss has fallen
            to 25 % of its first value, and the second when the explanation loss is
            below 20 % of its first value and above 0.
        start: As of :class:`MapTraining`.
    """

    batch_size: int = 8
    augmentation: str = "strong"
    epochs: tuple[int, int, int] = (10, 10, 60)
    alpha: tuple[float, float, float] = (1.0, 0.25, 0.9)
    classifier_rate: tuple[float, float, float] = (0.01, 0.0, 0.01)
    explainer_rate: tuple[float, float, float] = (0.0, 0.01, 0.01)
    optimizer: tuple[str, str, str] = ("sgd", "sgd", "sgd")
    decay: tuple[str, str, str] = ("plateau", "plateau", "plateau")
    patience: tuple[int, int, int] = (100, 100, 10)
    min_delta: float = 1e-4
    weight_decay: float = 1e-4
    loss: str = "hybrid"
    beta: float = 0.9
    gamma: float = 1.0
    budget: float = 0.0
    weak_everywhere: bool = False
    class_weights: str | tuple[float, ...] | None = None
    accuracy_drop: float = 0.1
    aug_prob: float = 0.2
    auto_stop: bool = False
    start: str | None = None

    def __post_init__(self):
        for field in dataclasses.fields(Phase)[2:]:
            value = getattr(self, field.name)
            object.__setattr__(self, field.name, _three(field.name, value))
        rates = (self.classifier_rate, self.explainer_rate)
        rules = {
            "batch_size is at least 1, seed at least 0": self.batch_size >= 1
            and self.seed >= 0,
            "every phase has at least 1 epoch": all(
                count == int(count) and count >= 1 for count in self.epochs
            ),
            "alpha lies in 0 to 1": all(0 <= alpha <= 1 for alpha in self.alpha),
            "learning rates are above 0 where a part learns and 0 where it is frozen "
            "(the classifier in the second phase, the explainer in the first)": all(
                rate >= 0 and (rate > 0) == (phase in (part, "both"))
                for part, values in zip(PHASES, rates, strict=False)
                for phase, rate in zip(PHASES, values, strict=True)
            ),
            "optimizer is adadelta, adam or sgd": set(self.optimizer)
            <= set(OPTIMIZERS),
            "decay is plateau, cosine or none": set(self.decay) <= set(PHASE_DECAYS),
            "patience is at least 1 epoch": min(self.patience) >= 1,
            "loss is hybrid or unsupervised": self.loss in LOSSES,
            "beta lies in 0 to 1, budget in 0 to below 1": 0 <= self.beta <= 1
            and 0 <= self.budget < 1,
            "gamma, min_delta and weight_decay are at least 0": all(
                value >= 0 for value in (self.gamma, self.min_delta, self.weight_decay)
            ),
            "accuracy_drop and aug_prob lie in 0 to 1": 0 <= self.accuracy_drop <= 1
            and 0 <= self.aug_prob <= 1,
        }
        broken = [rule for rule, kept in rules.items() if not kept]
        if broken:
            raise ValueError(f"{'; '.join(broken)}. Received: {self}.")

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The three, in their order."""
        names = [field.name for field in dataclasses.fields(Phase)[2:]]
        return tuple(
            Phase(
                name,
                f"phase{index + 1}-{name}",
                **{key: getattr(self, key)[index] for key in names},
            )
            for index, name in enumerate(PHASES)
        )

    @property
    def name(self) -> str:
        """A readable name, such as ``hybrid-e10,10,60-b8-s0``."""
        epochs = ",".join(map(str, self.epochs))
        return f"{self.loss}-e{epochs}-b{self.batch_size}-s{self.seed}"


def _three(name: str, value) -> tuple:
    """One value for every phase, of one for all or of a sequence."""
    values = (value,) if isinstance(value, str | int | float) else tuple(value)
    values = values * len(PHASES) if len(values) == 1 else values
    if len(values) != len(PHASES):
        raise ValueError(
            f"{name} takes one value for all phases ({', '.join(PHASES)}) or one for "
            f"each. Received: {len(values)} values, {', '.join(map(str, values))}."
        )
    return values
