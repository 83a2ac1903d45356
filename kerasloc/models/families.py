"""Registry of the families: one record each, read by everything that names a family.

Loads no deep-learning library: builders, wrappers and trainers are named by
``module:name`` and imported when first used.
"""

import contextlib
import dataclasses
import functools
import importlib
import pathlib
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from kerasloc.configs import check_rules
from kerasloc.models import options

XRAY = {"mean": (0.4984,), "std": (0.2483,)}
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
HALF = {"mean": (0.5,), "std": (0.5,)}
PRESETS = pathlib.Path(__file__).parent / "presets"


def unnormalized(channels: int) -> dict:
    """Return no mean and deviation: images stay in [0, 1]."""
    return {}


def by_channels(channels: int) -> dict:
    """Return ImageNet's mean and deviation for 3 channels, else chest X-rays'."""
    return IMAGENET if channels == 3 else XRAY


def centered(channels: int) -> dict:
    """Return a mean and deviation of a half: images are in [-1, 1]."""
    return HALF


@dataclasses.dataclass(frozen=True)
class Family:
    """One family of networks, as scripts, wrappers and evaluation see it.

    ``build``, ``localizer``, ``trainer``, ``training``, ``evaluator`` and ``describe``
    are objects or their names, ``"module:name"``.

    Attributes:
        name: Name of the family, of its run folders and of ``--type``.
        build: Builder ``(input_shape, classes, **options) -> keras.Model``.
        options: Dataclass of the builder's :func:`kerasloc.configs.option` fields.
        localizer: Wrapper class, a :class:`kerasloc.localizers.Localizer`.
        trainer: Trainer class, see :mod:`kerasloc.training.trainer`.
        presets: Values of options for ``embedded`` data, by dataset, and ``default``.
        description: Sentence that says what the family is.
        training: Dataclass of the training's configuration.
        evaluator: Function that measures a run, see :mod:`kerasloc.evaluation`.
        describe: Function from arrays by layer to the network's description, or {}.
        commands: Command lines that train the family with the embedded data.
        normalization: Function from the channel count to images' ``mean`` and ``std``.
    """

    name: str
    build: Callable[..., Any] | str
    options: type
    localizer: type | str
    trainer: type | str = "kerasloc.training.maps:MapTrainer"
    presets: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    description: str = ""
    training: type | str = "kerasloc.training.configs:MapTraining"
    evaluator: Callable | str = "kerasloc.evaluation.localization:evaluate_maps"
    describe: Callable[..., dict] | str | None = None
    commands: tuple[str, ...] = ()
    normalization: Callable[[int], dict] = by_channels

    def __post_init__(self):
        texts = isinstance(self.name, str) and re.fullmatch(r"[\w-]+", self.name)
        rules = {
            "name of letters, digits, - and _": bool(texts),
            "build, options and localizer": None
            not in (self.build, self.options, self.localizer),
        }
        check_rules(rules, self)

    def load(self, field: str) -> Any:
        """Return the object of a field; import it where the field holds its name.

        Example:
            >>> get("pylon").load("options").__name__
            'PylonOptions'
        """
        value = getattr(self, field)
        if not isinstance(value, str):
            return value
        module, _, name = value.partition(":")
        return getattr(importlib.import_module(module), name)

    def preset(self, dataset: str | None, embedded: bool = False) -> dict[str, Any]:
        """Return the default values for a dataset, or for the embedded data."""
        key = "embedded" if embedded else dataset
        return dict(self.presets.get(key or "", self.presets.get("default", {})))


@functools.cache
def _preset_file(name: str) -> dict:
    return tomllib.loads((PRESETS / f"{name}.toml").read_text(encoding="utf-8"))


def _over_resnet(name: str, options: type, wrapper: str, description: str) -> Family:
    """Return the record of PYLON or a model that it was compared with."""
    model = "train_pylon.py" if name == "pylon" else f"train_baseline.py --model {name}"
    return Family(
        name,
        f"kerasloc.models.{name}:{name}",
        options,
        f"kerasloc.localizers.maps:{wrapper}",
        presets=_preset_file("maps"),
        description=f"{description}.",
        describe=f"kerasloc.models.{name}:describe",
        commands=(f"python scripts/{model}",),
    )


def _hrcam(name: str, wrapper: str, training: str, description: str) -> Family:
    half = "python scripts/pretrain_half.py"
    return Family(
        name,
        f"kerasloc.models.hrcam:{name}_densenet",
        options.HrcamOptions,
        f"kerasloc.localizers.hrcam:{wrapper}Model",
        f"kerasloc.training.hrcam:{wrapper}Trainer",
        _preset_file(name),
        f"{description}.",
        f"kerasloc.training.configs:{training}",
        "kerasloc.evaluation.classification:evaluate_hrcam",
        "kerasloc.models.hrcam:describe",
        (half,) if name == "half" else (half, "python scripts/train_full.py"),
        unnormalized,
    )


_OVER_RESNET = (
    ("pylon", options.PylonOptions, "Pylon", "PYLON: logits are maxima of sharp maps"),
    ("baseline", options.BaselineOptions, "Baseline", "Plain classifier with a CAM"),
    ("li2018", options.Li2018Options, "Li2018", "Li 2018: multiple-instance learning"),
    ("fpn", options.FPNOptions, "FPN", "Feature pyramid network, max-pooled"),
    ("unet", options.UNetOptions, "UNet", "U-Net over a ResNet, max-pooled"),
    ("deeplabv3plus", options.DeepLabV3PlusOptions, "DeepLabV3Plus", "DeepLabV3+"),
    ("pan", options.PANOptions, "PAN", "Pyramid attention network, max-pooled"),
)
_LOW = "HRCAM's classifier with a low-resolution class activation map"
_BOTH = "HRCAM: class activation maps at low and at the image's resolution"
_FAMILIES = {
    family.name: family
    for family in (
        _hrcam("half", "Half", "HrcamTraining", _LOW),
        _hrcam("full", "Full", "FullTraining", _BOTH),
        *(_over_resnet(*row) for row in _OVER_RESNET),
        Family(
            "ham",
            "kerasloc.models.ham:ham",
            options.HamOptions,
            "kerasloc.localizers.ham:HAM",
            "kerasloc.training.maps:HamTrainer",
            _preset_file("ham"),
            "HAM: an attention for abnormal and one for every class inside it.",
            "kerasloc.training.configs:HamTraining",
            "kerasloc.evaluation.localization:evaluate_maps",
            "kerasloc.models.ham:describe",
            ("python scripts/train_ham.py",),
            centered,
        ),
        Family(
            "explainer",
            "kerasloc.models.explainer:explainer_classifier",
            options.ExplainerOptions,
            "kerasloc.localizers.explainer:ExplainerClassifier",
            "kerasloc.training.explainer:ExplainerTrainer",
            _preset_file("explainer"),
            "Explainer-classifier: an explanation multiplies the features.",
            "kerasloc.training.configs:ExplainerTraining",
            "kerasloc.evaluation.explanations:evaluate_explainer",
            "kerasloc.models.explainer:describe",
            ("python scripts/train_explainer.py",),
            unnormalized,
        ),
    )
}


def names() -> tuple[str, ...]:
    """Return the names of all families.

    Example:
        >>> names()[:3]
        ('half', 'full', 'pylon')
    """
    return tuple(_FAMILIES)


def get(name: str) -> Family:
    """Return the record of a family; a ValueError for other names.

    Example:
        >>> get("ham").description
        'HAM: an attention for abnormal and one for every class inside it.'
    """
    if name not in _FAMILIES:
        listed = ", ".join(_FAMILIES)
        raise ValueError(
            f"Expected a family of {listed}. Received: {name!r}. Import the module "
            "that registers another family."
        )
    return _FAMILIES[name]


def register(family: Family) -> None:
    """Add a family, or replace that of the same name.

    Example:
        >>> import dataclasses
        >>> register(dataclasses.replace(get("pylon"), name="my-pylon"))
        >>> "my-pylon" in names()
        True
        >>> unregister("my-pylon")
    """
    _FAMILIES[family.name] = family


def unregister(name: str) -> None:
    """Remove a family; a ValueError for other names."""
    get(name)
    del _FAMILIES[name]


@contextlib.contextmanager
def registered(family: Family) -> Iterator[Family]:
    """Register a family inside a block; then the registry is as before."""
    before = dict(_FAMILIES)
    register(family)
    try:
        yield family
    finally:
        _FAMILIES.clear()
        _FAMILIES.update(before)


def option_defaults(family: str) -> dict[str, Any]:
    """Return the options of a family's builder and their defaults.

    Example:
        >>> option_defaults("baseline")
        {'backbone': 'resnet50', 'pooling': 'max'}
    """
    return {f.name: f.default for f in dataclasses.fields(get(family).options)}
