"""Options of evaluation: images, runs, galleries, comparisons; loads no Keras."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from kerasloc.configs import check_rules, option
from kerasloc.data.datasets import READERS
from kerasloc.metrics import AopcConfig

SPLITS = ("test", "val")
MODEL, CENTER = "own", "center"  # methods: the heat maps of the model, and a control
CHECKPOINTS = ("best", "best-auroc", "best-tiou", "best-tior", "last")
CAMS = (
    "own", "cam", "gradcam", "gradcampp", "xgradcam", "hirescam", "layercam",
    "eigencam", "eigengradcam", "scorecam", "ablationcam", "center",
)  # fmt: skip
STEPS = 20  # tiles that AOPC perturbs
DPI = 110  # of figures
EXPLANATIONS = ("high", "low", "gradcam", "random", "center")
EXPLAINED = ("predicted", "true")


@dataclasses.dataclass(frozen=True)
class SampleConfig:
    """Images of a run's data, or of other data in its place.

    Raises:
        ValueError: If the split is unknown.

    Examples:
        >>> SampleConfig(data_dir="photos").overrides
        {'data_dir': 'photos', 'split': 'test'}
    """

    data_dir: str | None = option(
        None, "Folder of the images, or csv file (default: data of the run)."
    )
    dataset: str | None = option(
        None,
        "Kind of the data in --data-dir (default: csv or folders).",
        choices=tuple(READERS),
    )
    image_dir: str | None = option(
        None, "Folder of the csv's images (default: the csv's)."
    )
    split: str = option("test", "Split of the data.", choices=SPLITS)
    on_error: str | None = option(
        None,
        "Broken images: stop, or leave out and count (default: as in training).",
        choices=("raise", "skip"),
    )
    bits: int | None = option(
        None,
        "Bits of the levels in 16-bit files (default: as in training; 16 with "
        "--data-dir).",
    )
    max_megapixels: float | None = option(
        None, "Largest image, in million pixels (default: as in training)."
    )

    def __post_init__(self) -> None:
        rule = f"a split of {', '.join(SPLITS)}"
        check_rules({rule: self.split in SPLITS}, self.split)

    @property
    def overrides(self) -> Mapping[str, Any]:
        """Options that replace those of the run; see ``data_of_run``."""
        return {key: value for key, value in vars(self).items() if value is not None}


@dataclasses.dataclass(frozen=True)
class EvaluationConfig(SampleConfig):
    """Options of the evaluation of a run.

    Raises:
        ValueError: If a value is out of its range.

    Examples:
        >>> EvaluationConfig(split="val", checkpoint="last").folder
        'evaluation-val-last'
    """

    checkpoint: str = option(
        "best",
        "Weights of the run; HAM keeps one checkpoint for each score.",
        choices=CHECKPOINTS,
    )
    batch_size: int = option(16, "Number of images in a batch.")
    aopc_images: int = option(
        32, "Number of images that AOPC of an explainer-classifier is measured on."
    )
    figures: int = option(
        2, "Number of images whose refinement is drawn (HRCAM's full model)."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_lowest(self, aopc_images=0, batch_size=1)

    @property
    def folder(self) -> str:
        """Name of the folder in the run that the results are written to."""
        names = (self.split, "test"), (self.checkpoint, "best")
        return "-".join(["evaluation", *(a for a, default in names if a != default)])


@dataclasses.dataclass(frozen=True)
class GalleryConfig:
    """Images and classes that a gallery shows.

    Raises:
        ValueError: If a number is below 1.
    """

    images: tuple[str, ...] = option(
        (),
        "File names (also without folder or extension, or with more of the path), or "
        "indices, in the order of the rows (default: all, those with boxes first).",
        metavar="IMAGE",
    )
    classes: tuple[str, ...] = option(
        (),
        "Names of classes, shown for every image (default: those with boxes, else the "
        "true ones, else the likeliest; the true one of an explainer-classifier).",
        metavar="CLASS",
    )
    limit: int | None = option(
        None, "Largest number of rows, with --html of images (default: no limit)."
    )
    rows_per_page: int = option(10, "Number of rows on a page.")
    batch_size: int = option(16, "Number of images in a batch.")

    def __post_init__(self) -> None:
        _check_lowest(self, limit=1, rows_per_page=1, batch_size=1)


@dataclasses.dataclass(frozen=True)
class ComparedRuns:
    """Models that are compared, and the folder of the results."""

    weights: tuple[str, ...] = option(
        (),
        "Run folders or weight files (default: newest run of --type).",
        metavar="RUN",
    )
    type: str = option(
        "", "Family of the newest run, or of weight files outside a run folder."
    )
    results_dir: str = option("results", "Folder of the runs.")
    output: str | None = option(
        None, "Folder of the results (default: a folder in the first run)."
    )


@dataclasses.dataclass(frozen=True)
class DrawnSamples(SampleConfig):
    """Images that are drawn from a run's data, or from other data in its place.

    Raises:
        ValueError: If the limit is below 1.
    """

    limit: int = option(100, "Largest number of images; they are drawn.")
    seed: int = option(0, "Seed of everything that is drawn.")

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_lowest(self, limit=1)


@dataclasses.dataclass(frozen=True)
class CamComparison:
    """Methods of class activation that are compared, and options of their metrics.

    ``seed`` is that of the drawn images and of the bootstrap.

    Raises:
        ValueError: If a value is out of its range.

    Examples:
        >>> CamComparison(("own", "gradcam", "own")).methods
        ('own', 'gradcam')
    """

    methods: tuple[str, ...] = option(
        (),
        "Methods: own (the model's heat maps), cam, gradcam, gradcampp, xgradcam, "
        "hirescam, layercam, eigencam, eigengradcam, scorecam, ablationcam, center "
        "(default: all for one model, own and center for several).",
        metavar="METHOD",
    )
    layer: str | None = option(
        None, "Layer that the methods explain (default: the deepest)."
    )
    aopc: AopcConfig = dataclasses.field(
        default_factory=lambda: AopcConfig(steps=STEPS)
    )
    aopc_images: int = option(
        32, "Number of images with boxes for AOPC, 21 predictions each; 0 for none."
    )
    batch_size: int = option(8, "Number of images in a batch.")
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "methods", check_methods(self.methods, CAMS))
        _check_lowest(self, batch_size=1, aopc_images=0)


@dataclasses.dataclass(frozen=True)
class ExplanationComparison:
    """Explanations that are compared, and options of their metrics.

    The true class is the first with boxes, or else the first true one; an image with
    neither is explained for the likeliest.

    Raises:
        ValueError: If a value is out of its range.
    """

    methods: tuple[str, ...] = option(
        (),
        "Methods: high (the model's heat map), low, gradcam, random, center (default: "
        "all that the model has).",
        metavar="METHOD",
    )
    of: str = option("predicted", "Explained class: predicted or true.")
    aopc: AopcConfig = dataclasses.field(default_factory=AopcConfig)
    batch_size: int = option(8, "Number of images in a batch.")

    def __post_init__(self) -> None:
        object.__setattr__(self, "methods", check_methods(self.methods, EXPLANATIONS))
        rule = f"of to be {' or '.join(EXPLAINED)}"
        check_rules({rule: self.of in EXPLAINED}, f"of={self.of!r}")
        _check_lowest(self, batch_size=1)


def _check_lowest(config: Any, **lowest: int) -> None:
    """Check fields against their lowest values; None has no limit."""
    values = {name: getattr(config, name) for name in lowest}
    rules = {
        f"{name} of at least {low}": values[name] is None or values[name] >= low
        for name, low in lowest.items()
    }
    check_rules(rules, ", ".join(f"{name}={value}" for name, value in values.items()))


def check_methods(methods: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """Return the methods without repetitions.

    Raises:
        ValueError: If a method is not among ``names``.

    Examples:
        >>> check_methods(["low", "high", "low"], ["high", "low"])
        ('low', 'high')
    """
    unknown = [name for name in methods if name not in names]
    if unknown:
        raise ValueError(
            f"Expected methods among {', '.join(names)}. Received: methods={unknown}."
        )
    return tuple(dict.fromkeys(methods))
