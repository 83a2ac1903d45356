"""Frozen configurations: fields with help texts, rules, and that of a network."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np


def option(
    default: Any, help: str, *, choices: Sequence | None = None, **metadata: Any
) -> Any:
    """Define a dataclass field that is an option: default, help and choices.

    Command lines, signatures and documentation are made from these fields.

    Args:
        default: Default value.
        help: Noun phrase with range and unit.
        choices: Allowed values.
        **metadata: Allowed range ``low``, ``high``; ``flags`` on a command line.

    Example:
        >>> @dataclasses.dataclass(frozen=True)
        ... class Options:
        ...     size: int = option(3, "Size of the kernel in pixels.")
        >>> dataclasses.fields(Options)[0].metadata["help"]
        'Size of the kernel in pixels.'
    """
    values = {"help": help, "choices": choices, **metadata}
    return dataclasses.field(default=default, metadata=values)


def check_rules(rules: Mapping[str, bool], received: object) -> None:
    """Raise a ValueError that names broken rules and the received values.

    Example:
        >>> check_rules({"size of at least 1": True}, 3)
    """
    broken = [rule for rule, followed in rules.items() if not followed]
    if broken:
        raise ValueError(f"Expected {'; '.join(broken)}. Received: {received}.")


def field_rules(config: Any) -> dict[str, bool]:
    """Check :func:`option` fields: whole numbers, ``low``, ``high``, ``choices``.

    Example:
        >>> @dataclasses.dataclass(frozen=True)
        ... class Options:
        ...     size: int = option(3, "Size.", low=1)
        >>> field_rules(Options(0))
        {'size of a whole number': True, 'size of at least 1': False}
    """
    rules = {}
    for field in dataclasses.fields(config):
        name, value = field.name, getattr(config, field.name)
        low, high, choices = map(field.metadata.get, ("low", "high", "choices"))
        if choices is not None:
            rules[f"{name} of {', '.join(map(str, choices))}"] = value in choices
        elif field.type is int:
            rules[f"{name} of a whole number"] = int(value) == value
        if high is not None:
            rules[f"{name} in {low}..{high}"] = low <= value <= high
        elif low is not None:
            rules[f"{name} of at least {low}"] = value >= low
    return rules


def select_fields(config: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Select the values that are fields of a dataclass.

    Example:
        >>> select_fields(NetworkConfig, {"family": "pylon", "epochs": 3})
        {'family': 'pylon'}
    """
    names = {field.name for field in dataclasses.fields(config)}
    return {name: value for name, value in values.items() if name in names}


@dataclasses.dataclass(frozen=True)
class NetworkConfig:
    """Description from which a network is built again; its weights are apart.

    Attributes:
        family: Name of the family: ``half``, ``full``, ``pylon``, ...
        class_names: One name per class, in the order of the logits.
        im_size: Rows and columns of the images in pixels.
        channels: Number of channels of the images.
        multi_label: Any number of classes per image (sigmoid), or one (softmax).
        options: Keyword arguments of the family's builder.
        mean: Mean of the images, per channel or one for all; subtracted.
        std: Standard deviation of the images, likewise; images are divided by it.
        thresholds: Probability above which a class is predicted, one or per class.
        folded: Whether batch normalization is folded into the convolutions.

    Example:
        >>> NetworkConfig("pylon", ("cat", "dog"), (96, 96)).name
        'pylon-2classes-96x96x3'
    """

    family: str
    class_names: tuple[str, ...]
    im_size: tuple[int, int]
    channels: int = 3
    multi_label: bool = False
    options: dict = dataclasses.field(default_factory=dict)
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    thresholds: tuple[float, ...] = (0.5,)
    folded: bool = False

    def __post_init__(self):
        object.__setattr__(self, "class_names", tuple(map(str, self.class_names)))
        object.__setattr__(self, "im_size", tuple(self.im_size))
        counts = {"mean": self.channels, "std": self.channels}
        for name, most in {**counts, "thresholds": len(self.class_names)}.items():
            object.__setattr__(self, name, _numbers(name, getattr(self, name), most))
        check_rules({"std above 0": min(self.std) > 0}, self.std)
        fits = all(0 <= value <= 1 for value in self.thresholds)
        check_rules({"thresholds in [0, 1]": fits}, self.thresholds)

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Rows, columns, channels."""
        return (*self.im_size, self.channels)

    @property
    def name(self) -> str:
        """A readable name, such as ``full-4classes-96x96x3-growth8``."""
        size = "x".join(map(str, self.input_shape))
        options = [f"{key}{value}" for key, value in sorted(self.options.items())]
        return "-".join([self.family, f"{self.num_classes}classes", size, *options])

    def __str__(self) -> str:
        size = " x ".join(map(str, self.input_shape))
        words = [classes_in_words(self.class_names), size]
        for key, value in sorted(self.options.items()):
            named = key in ("backbone", "classifier")  # values that speak alone
            words.append(str(value) if named else f"{key}={value}")
        words += ["multi-label"] if self.multi_label else []
        words += ["folded"] if self.folded else []
        return "; ".join(words)


def classes_in_words(names: Sequence[str], most: int = 5) -> str:
    """Return the number of classes and the first names.

    Example:
        >>> classes_in_words(["cat", "dog"])
        '2 classes: cat, dog'
    """
    count, more = len(names), len(names) - most
    named = f"{', '.join(names[:most])}{f' and {more} more' if more > 0 else ''}"
    return f"{count} class{'es' * (count != 1)}: {named}"


def _numbers(name, values, most: int) -> tuple[float, ...]:
    """Convert to one number, or as many as there are channels or classes."""
    try:
        numbers = np.atleast_1d(np.asarray(values, float))
    except (TypeError, ValueError):
        numbers = np.empty(0)
    if numbers.shape not in ((1,), (most,)) or not np.isfinite(numbers).all():
        raise ValueError(
            f"Expected one number or {most} for {name}. Received: {values!r}."
        )
    return tuple(numbers.tolist())


def setting_changes(
    before: Mapping, now: Mapping, ignored: Collection[str] = ()
) -> list[str]:
    """List the differences in the sections of the later of two configurations.

    The section ``table`` is one of :func:`record_changes`.

    Example:
        >>> setting_changes({"data": {"seed": 1}}, {"data": {"seed": 2}})
        ['data.seed: 1 before, 2 now']
    """
    return [
        f"{section}.{key}: {old.get(key)!r} before, {new.get(key)!r} now"
        for section in now
        if section != "table"
        for old, new in [(before.get(section, {}), now[section])]
        for key in sorted(set(old) | set(new))
        if old.get(key) != new.get(key) and key not in ignored
    ]


def record_changes(before: Mapping, now: Mapping) -> list[str]:
    """List the differences of two records of :func:`kerasloc.data.digest.digest`.

    Example:
        >>> before = {"train": {"files": [4, "7ab3"], "labels": [4, "01fe"]}}
        >>> now = {"train": {"files": [5, "99c0"], "labels": [4, "8e11"]}}
        >>> record_changes(before, now)
        ['train files: 4 before, 5 now', 'train labels: 4, but others']
    """
    changes, nothing = [], [0, ""]
    for split in sorted({*before, *now}):
        old, new = before.get(split, {}), now.get(split, {})
        for kind in dict.fromkeys([*old, *new]):
            (count, digest), after = old.get(kind, nothing), new.get(kind, nothing)
            if count != after[0]:
                changes.append(f"{split} {kind}: {count} before, {after[0]} now")
            elif digest != after[1]:
                changes.append(f"{split} {kind}: {count}, but others")
    return changes
