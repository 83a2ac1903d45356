"""How a network is trained, as it stands in a run folder."""

import dataclasses


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
