"""Command lines made from the fields of frozen configurations."""

import argparse
import dataclasses
import functools
import logging
import os
import sys
import tomllib
import types
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from kerasloc.configs import option
from kerasloc.data.config import DataConfig
from kerasloc.models import families
from kerasloc.training import ending

logger = logging.getLogger(__name__)

Presets = Mapping[str, Mapping[str, Any]]
NO_PRESETS: Presets = types.MappingProxyType({})


def parse_size(text: str) -> int | tuple[int, ...]:
    """Parse an image size: ``96``, ``96x128`` or ``96,128``.

    Example:
        >>> parse_size("96"), parse_size("96x128")
        (96, (96, 128))
    """
    numbers = tuple(map(int, text.replace("x", ",").split(",")))
    return numbers[0] if len(numbers) == 1 else numbers


@dataclasses.dataclass(frozen=True)
class ImageOptions:
    """Images as a network receives them.

    Example:
        >>> ImageOptions(channels=1).im_size
        256
    """

    im_size: int | tuple[int, ...] = option(
        256,
        "Size of the images in pixels; rows x columns where they differ: 96x128.",
        parse=parse_size,
    )
    channels: int = option(3, "Number of channels: 1 (gray) or 3.")
    num_classes: int | None = option(
        None, "Expected number of classes, compared with the data (default: any)."
    )


@dataclasses.dataclass(frozen=True)
class ExperimentOptions:
    """Runs of an experiment: folders, devices, seeds, folds, phases, evaluation.

    Example:
        >>> ExperimentOptions(seeds=(0, 1)).phases
        1
    """

    results_name: str | None = option(
        None, "Name of the run (default: name of the data).", group="training"
    )
    results_dir: str = option("results", "Folder of the runs.", group="training")
    gpu: str | None = option(
        None,
        "Number of the GPU; 0,1 for several; -1 for the CPU (default: TensorFlow's "
        "choice).",
        group="training",
    )
    seeds: tuple[int, ...] | None = option(
        None,
        "Several runs, one per seed, evaluated and collected with mean and deviation "
        "(default: one run, of --seed).",
    )
    folds: tuple[int, ...] | None = option(
        None,
        "Several runs, one per fold, 0 to 4, of a --protocol or of --image-sets "
        "(default: one run).",
    )
    phases: int = option(
        1,
        "Number of phases; 2: first with a frozen backbone, then all layers.",
        choices=(1, 2),
    )
    evaluation: bool = option(True, "Evaluation on the test images at the end.")
    allow_changed_data: bool = option(
        False, "Resuming although the data has changed.", group="training"
    )


class Parser(argparse.ArgumentParser):
    """A parser that takes every option with dashes or with underscores.

    Args:
        description: Summary of the script.
        example: Command lines to show at the end of the help.
        config: Whether ``--config`` names a toml file of options.
        **kwargs: Further arguments of ``argparse.ArgumentParser``.

    Example:
        >>> Parser("Trains.", "", config=True).parse_args([]).config
    """

    def __init__(
        self, description: str | None, example: str, *, config: bool = False, **kwargs
    ):
        kwargs["formatter_class"] = argparse.RawDescriptionHelpFormatter
        super().__init__(description=description, epilog=example, **kwargs)
        self._groups: dict[str, argparse._ArgumentGroup] = {}
        if config:
            text = "Toml file of options, as scripts/configs/*.toml (default: none)."
            self.add_argument("--config", help=text)

    def group(self, title: str) -> argparse._ArgumentGroup:
        """Return the group of options with a title, made when absent."""
        if title not in self._groups:
            self._groups[title] = self.add_argument_group(title)
        return self._groups[title]

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[override]
        """Parse the options of ``--config``, then the words, which win."""
        args = list(sys.argv[1:] if args is None else args)
        for i, (name, *value) in enumerate(word.split("=", 1) for word in args):
            if name.startswith("--"):
                args[i] = "=".join([name.replace("_", "-"), *value])
        finder = argparse.ArgumentParser(add_help=False)
        finder.add_argument("--config")
        path = finder.parse_known_args(args)[0].config
        words = [] if path is None else self._words_of(path)
        return super().parse_known_args([*words, *args], namespace)

    def _words_of(self, path: str) -> list[str]:
        """Return the command line that a toml file stands for."""
        try:
            with open(path, "rb") as file:
                values = tomllib.load(file)
        except (OSError, tomllib.TOMLDecodeError) as error:
            self.error(f"--config takes a readable toml file; {path}: {error}")
        words = []
        for name, value in values.items():
            flag = name.replace("_", "-")
            if isinstance(value, bool):
                words.append(f"--{flag}" if value else f"--no-{flag}")
            else:
                items = value if isinstance(value, list) else [value]
                words += [f"--{flag}", *map(str, items)]
        return words


def training_parser(
    family: str,
    description: str | None,
    example: str,
    *,
    without: Collection[str] = ("box_share",),
    inherited: str = "",
) -> Parser:
    """Make the command line that trains a family; see :func:`add_options`.

    Example:
        >>> parser = training_parser("pylon", "Trains.", "")
        >>> parser.parse_args(["--epochs", "3"]).epochs
        3
    """
    record = families.get(family)
    training = record.load("training")
    names = {field.name for field in dataclasses.fields(training)}
    one_phase = () if "freeze_encoder" in names else ("phases",)
    parser = Parser(description, example, config=True)
    for config, title, hidden in (
        (DataConfig, "data", ("seed", "fold")),
        (ImageOptions, "data", ()),
        (training, "training", ()),
        (record.options, f"network ({family})", ()),
        (ExperimentOptions, "experiment", one_phase),
    ):
        source: dict[str, Any] = {"presets": record.presets, "inherited": inherited}
        if config is ExperimentOptions:
            source["inherited"] = ""
        add_options(parser, config, title, without={*without, *hidden}, **source)
    return parser


def add_options(
    parser: Parser,
    config: type,
    title: str,
    *,
    without: Collection[str] = (),
    presets: Presets = NO_PRESETS,
    inherited: str = "",
) -> None:
    """Add an option for every field with help of a frozen configuration.

    An option that the command line leaves out is None. The metadata of a field may
    hold ``group`` (title of another group), ``flag`` (its spelling), ``flags`` (further
    spellings), ``choices``, ``parse`` (function of a word) and ``metavar``.

    Args:
        parser: Parser to add to.
        config: Dataclass with fields of :func:`kerasloc.configs.option`.
        title: Title of the group of options.
        without: Names of the fields to leave out.
        presets: Values of options by preset, shown in the help.
        inherited: Origin of the values without preset, such as ``the half model``.

    Example:
        >>> @dataclasses.dataclass(frozen=True)
        ... class Options:
        ...     size: int = option(3, "Size of the kernel in pixels.")
        >>> parser = Parser("Trains.", "")
        >>> add_options(parser, Options, "network")
        >>> parser.parse_args(["--size", "5"]).size
        5
    """
    hints = typing.get_type_hints(config)
    for field in dataclasses.fields(config):
        bases = (vars(c).get("__dataclass_fields__", {}) for c in config.__mro__)
        fields = (base[field.name] for base in bases if field.name in base)
        # a subclass that changes a default keeps the help
        metadata: Mapping[str, Any] = next(
            (f.metadata for f in fields if f.metadata), {}
        )
        if "help" not in metadata or field.name in without:
            continue
        flag = metadata.get("flag") or f"--{field.name.replace('_', '-')}"
        text = _help(field, metadata["help"], presets, inherited)
        parser.group(metadata.get("group") or title).add_argument(
            flag,
            *metadata.get("flags", ()),
            dest=field.name,
            default=None,
            help=text.replace("%", "%%"),
            **_kind(hints[field.name], metadata),
        )


def _help(field: dataclasses.Field, text: str, presets: Presets, inherited: str) -> str:
    """Return the help of an option with its default and that of every preset."""
    text = f"{text[0].upper()}{text[1:].rstrip('.')}"
    default = f"that of {inherited}" if inherited else _shown(field.default)
    names: dict[str, list[str]] = {}
    for name, preset in presets.items():
        if field.name in preset and name == "default":
            default = _shown(preset[field.name])
        elif field.name in preset:
            title = name.replace("embedded", "embedded data")
            names.setdefault(_shown(preset[field.name]), []).append(title)
    words = [f"{', '.join(n)}: {v}" for v, n in names.items() if v != default]
    if "(default: " in text:
        return f"{text.removesuffix(')')}; {'; '.join(words)})" if words else text
    return f"{text} ({'; '.join([f'default: {default}', *words])})"


def _shown(value: Any) -> str:
    if value is None or value is dataclasses.MISSING:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ",".join(map(_shown, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _kind(hint: Any, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return how argparse reads a field: its type, choices, number of words."""
    choices = metadata.get("choices")
    if "parse" in metadata:
        return {"type": metadata["parse"], "metavar": metadata.get("metavar")}
    kinds = [hint]
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        kinds = [kind for kind in typing.get_args(hint) if kind is not types.NoneType]
    if bool in kinds:
        return {"action": argparse.BooleanOptionalAction}
    if typing.get_origin(kinds[-1]) is tuple:
        element, *rest = typing.get_args(kinds[-1])
        commas = element is not str or rest != [...]  # names may hold a comma
        read = functools.partial(_read_values, element, commas, str in kinds)
        metavar = metadata.get("metavar") or "VALUE"
        return {"nargs": "+", "action": _Values, "const": read, "metavar": metavar}
    return {"type": kinds[0], "choices": choices, "metavar": metadata.get("metavar")}


def _read_values(
    element: type, commas: bool, word: bool, words: Sequence[str]
) -> tuple | str:
    """Convert ``1,2 3`` to a tuple, or keep a single word where one is allowed."""
    if commas:
        words = [word for text in words for word in text.split(",") if word]
    try:
        return tuple(map(element, words))
    except ValueError:
        if word and len(words) == 1 and words[0].isalpha():
            return words[0]
        raise


class _Values(argparse.Action):
    """Keep several words as a tuple, converted by the function in ``const``."""

    def __call__(self, parser, namespace, values, option_string=None):
        try:
            setattr(namespace, self.dest, self.const(values))
        except ValueError:
            text = f"expected numbers. Received: {' '.join(values)}"
            parser.error(f"argument {option_string}: {text}")


def overrides(options: argparse.Namespace) -> dict[str, Any]:
    """Return the options that were set, on the command line or in the toml file.

    Example:
        >>> overrides(argparse.Namespace(epochs=3, seed=None))
        {'epochs': 3}
    """
    return {name: value for name, value in vars(options).items() if value is not None}


def run_main(main: Callable[[], Any]) -> None:
    """Run a script's main; a user's mistake ends in one line, not in a traceback.

    The process ends with the status that ``main`` returns, 1 after an error, and 128
    and the number of the signal after SIGINT (Ctrl-C), SIGTERM or SIGHUP.
    """
    # before TensorFlow's import: twice as fast on CPUs where it is off by default
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    handler = logging.StreamHandler()
    handler.setFormatter(ending.PlainFormatter("%(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for noisy in ("absl", "tensorflow", "h5py", "matplotlib", "PIL"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        with ending.signals_as_interrupts():
            status = main()
    except KeyboardInterrupt as stop:
        print(ending.reason(stop), file=sys.stderr, flush=True)
        sys.exit(128 + ending.signal_of(stop))
    except ending.expected_errors() as error:
        logger.debug("traceback", exc_info=True)
        sys.exit(f"error: {ending.reason(error)}")
    if isinstance(status, int) and status:
        sys.exit(status)
