"""How a network is trained, as it stands in a run folder."""

import dataclasses

DECAYS = ("step", "polynomial", "none")
SELECTIONS = ("auroc", "tiou", "tior")
TERMS = ("abnormality", "classes", "boxes", "bounding", "union")


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """What every training decides.

    Attributes:
        epochs: Until which epoch.
        batch_size: Images in a step.
        optimizer: ``adadelta``, ``adam`` or ``sgd``.
        learning_rate: Of the optimizer at the start.
        seed: Decides weights, order and augmentation.
        precision: See :mod:`kerasloc.training.devices`.
        augmentation: Name of one in :mod:`kerasloc.data.augment`.
        cache: See :class:`kerasloc.data.pipeline.PipelineConfig`.
    """

    epochs: int = 50
    batch_size: int = 16
    optimizer: str = "adadelta"
    learning_rate: float = 1.0
    seed: int = 0
    precision: str = "float32"
    augmentation: str = "affine"
    cache: str | None = None

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
