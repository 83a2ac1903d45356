"""Networks from run folders and weight files, for wrappers and for scripts."""

import dataclasses
import logging
import pathlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from kerasloc import runs
from kerasloc import weights as weight_files
from kerasloc.configs import NetworkConfig
from kerasloc.localizers.description import (
    Overrides,
    build,
    check_size,
    describe_network,
)
from kerasloc.models import families
from kerasloc.models.folding import is_folded
from kerasloc.processes import check_process
from kerasloc.untrusted import reading, shorten
from kerasloc.weights.torch_files import SUFFIXES as TORCH_SUFFIXES
from kerasloc.weights.torch_match import bare

if TYPE_CHECKING:
    from kerasloc.localizers.base import Localizer
    from kerasloc.localizers.classifier import Classifier

logger = logging.getLogger(__name__)

IMAGENET = "imagenet"


def load_network(
    wrapper: type["Classifier"], source: Any, overrides: Overrides
) -> tuple[keras.Model, NetworkConfig]:
    """Build or load the network of a wrapper from its arguments.

    Raises:
        ValueError: If the source is missing, of another family or does not match.
    """
    check_process(keras.backend.backend())
    if source is None and overrides.num_classes is overrides.class_names is None:
        hint = (
            f"Run {_commands(wrapper.family)}; or use {wrapper.__name__}(weights=...)"
        )
        hint += ", or num_classes=... for an untrained network."
        source = runs.newest_run(wrapper.family, hint=hint)
    if source is None:
        config = describe_network(wrapper, overrides, {})
        return build(config), config
    if str(source) == IMAGENET:
        return _from_imagenet(wrapper, overrides)
    path = pathlib.Path(source)
    _check_exists(path)
    if path.suffix == ".keras":
        return _from_keras(wrapper, path, overrides)
    if path.is_file() and path.suffix in TORCH_SUFFIXES:
        return _from_torch(wrapper, path, overrides)
    file = path
    if path.is_dir():
        runs.read_network(path)  # names the fault of a folder that is not a run
        file = runs.weights_of_run(path)
    arrays = weight_files.read_arrays(file)
    config = describe_network(wrapper, overrides, _stored(wrapper, file, arrays))
    _check_size(config, [a for layer in arrays.values() for a in layer.values()], file)
    model = build(config)
    weight_files.assign(model, arrays, source=str(file))
    return model, config


def _check_size(config: NetworkConfig, arrays: Iterable[np.ndarray], path) -> None:
    unfolded = dataclasses.replace(config, folded=False)
    check_size(lambda: build(unfolded), sum(array.size for array in arrays), path)


def load(folder: str | pathlib.Path) -> "Localizer":
    """Load the wrapper of a run folder with its best weights.

    Args:
        folder: Run folder, such as ``results/full/NAME``, or a weight file in one.

    Raises:
        ValueError: If it is neither.

    Example:
        >>> import tempfile, kerasloc
        >>> wrapper = kerasloc.Baseline(num_classes=2, im_size=32, backbone="resnet18")
        >>> kerasloc.load(wrapper.save(tempfile.mkdtemp()))
        Baseline(2 classes: class 0, class 1; 32 x 32 x 3; resnet18; multi-label)
    """
    return load_wrapper(folder)


def load_wrapper(path: str | pathlib.Path, family: str | None = None) -> "Localizer":
    """Load the wrapper of a run folder or of a weight file.

    A file outside a run folder needs its family; a run's is checked.

    Raises:
        ValueError: If there is no such family, or the run is of another.
    """
    path = pathlib.Path(path)
    if family is None:
        family = _network_of(path).family
    elif path.is_dir() and family != (stored := runs.read_network(path).family):
        raise ValueError(
            f"Expected --type to be the family of --weights. Received: {family}, and "
            f"{path} of the family {stored}. Leave --type out."
        )
    return families.get(family).load("localizer")(path)


def newest_run(
    family: str, results_dir: str | pathlib.Path = "results"
) -> pathlib.Path:
    """Return the newest run folder of a family in a folder of runs.

    Raises:
        ValueError: If no run exists; the message names the commands that make one.
    """
    hint = f"Run {_commands(family)}, or use --weights."
    return runs.newest_run(family, results_dir, hint=hint)


def _commands(family: str) -> str:
    return " and then ".join(families.get(family).commands) or "a training script"


def _network_of(path: pathlib.Path) -> NetworkConfig:
    """Read the description in a run folder, or beside a weight file."""
    _check_exists(path)
    if not path.is_file() or runs.has_config(path.parent):
        return runs.read_network(path.parent if path.is_file() else path)
    raise ValueError(
        f"Expected a weight file in a run folder, whose {runs.CONFIG_FILE} names the "
        f"family. Received: {path}, which has none beside it. Use the wrapper of its "
        "family, such as kerasloc.Pylon(weights=...), or --type on a command line."
    )


def _check_exists(path: pathlib.Path) -> None:
    if not path.exists():
        raise ValueError(
            "Expected weights to be an existing run folder or weight file. "
            f"Received: {path}, which does not exist."
        )


def _stored(wrapper, path: pathlib.Path, arrays) -> Mapping[str, Any]:
    """Return the description beside the weights, or that of their shapes."""
    folder = path.parent
    if runs.has_config(folder):
        config = runs.read_network(folder)
        if config.family == wrapper.family:
            return vars(config)
        raise ValueError(
            f"Expected weights of {wrapper.__name__}. Received: {folder}, of the "
            f"family {config.family!r}. Use kerasloc.load(folder), which chooses."
        )
    with reading(path):
        stored = _describe(wrapper.family, arrays)
        names = () if stored else families.names()
        matches = [name for name in names if _describe(name, arrays)]
    if not stored:
        raise ValueError(
            f"Expected weights of the architecture of {wrapper.__name__}. Received: "
            f"{path} with the layers {', '.join(map(shorten, sorted(arrays)[:8]))}"
            f", ... It looks like: {', '.join(matches) or 'no family of this package'}."
        )
    return stored


def _describe(family: str, arrays) -> dict:
    describe = families.get(family).load("describe")
    empty = any(
        array.size == 0 for layer in arrays.values() for array in layer.values()
    )
    return describe(arrays) if describe is not None and not empty else {}


def _from_imagenet(wrapper, overrides: Overrides):
    """Build a network whose backbone has ImageNet's weights."""
    defaults = families.option_defaults(wrapper.family)
    names = [name for name in ("backbone", "classifier") if name in defaults]
    if not names:
        raise ValueError(
            "Expected a network with a ResNet backbone for ImageNet's weights. "
            f"Received: {wrapper.__name__}(weights='imagenet'). Train it from scratch."
        )
    channels = overrides.channels or 3
    normalized = families.get(wrapper.family).normalization(channels)
    stored = {} if normalized or channels != 3 else families.IMAGENET
    config = describe_network(wrapper, overrides, stored)
    model = build(config)
    backbone = config.options.get(names[0], defaults[names[0]])
    weight_files.load_imagenet(model, backbone)
    return model, config


def _from_torch(wrapper, path: pathlib.Path, overrides: Overrides):
    """Build a network with the weights of a published PyTorch file."""
    arrays = weight_files.read_torch(path)
    stored = _stored(wrapper, path, _by_layer(arrays))
    config = describe_network(wrapper, overrides, stored)
    _check_size(config, arrays.values(), path)
    model = build(config)
    logger.info("%s: %s", path, weight_files.load_torch(model, path))
    return model, config


def _by_layer(arrays) -> dict:
    """Arrange published arrays as a Keras file does: by layer, channels last."""
    layers: dict[str, dict] = {}
    for name, array in arrays.items():
        layer, _, parameter = bare(name).rpartition(".")
        if parameter != "num_batches_tracked":
            moved = array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T
            layers.setdefault(layer.replace(".", "_"), {})[parameter] = moved
    return layers


def _from_keras(wrapper, path: pathlib.Path, overrides: Overrides):
    """Load a saved model and check that the wrapper can use it."""
    saved, held = weight_files.read_keras(path)
    with reading(path, "a .keras file"):
        check_size(lambda: keras.saving.deserialize_keras_object(saved), held, path)
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    weight_files.warn_unless_finite({w.path: w.numpy() for w in model.weights}, path)
    output = getattr(model, "output", None)  # a Sequential model may have none
    outputs = set(output) if isinstance(output, dict) else set()
    if not wrapper.outputs <= outputs:
        raise ValueError(
            f"Expected a model with the outputs {sorted(wrapper.outputs)} for "
            f"{wrapper.__name__}. Received: {path} with "
            f"{sorted(outputs) or 'no named outputs'}."
        )
    arrays = {
        layer.name: {v.name: np.empty(v.shape) for v in layer.weights}
        for layer in model.layers
        if layer.weights
    }
    shape, classes = model.input_shape, model.output["logits"].shape[-1]
    stored = {**_describe(wrapper.family, arrays), "im_size": shape[1:3]}
    stored["folded"] = is_folded(model)
    config = describe_network(wrapper, overrides, stored)
    if (config.input_shape, config.num_classes) != (tuple(shape[1:]), classes):
        raise ValueError(
            "Expected the size, channels and classes that the model was saved with. "
            f"Received: {config.name} for a model of input {shape[1:]} and {classes} "
            "classes. Leave the arguments out."
        )
    _check_options(model, config, path)
    return model, config


def _check_options(model: keras.Model, config: NetworkConfig, path: pathlib.Path):
    """Raise unless the options build a network with the layers of the model."""
    saved, built = (
        {layer.name: (type(layer).__name__, _settings(layer)) for layer in m.layers}
        for m in (model, build(config))
    )
    if different := sorted(name for name in saved if saved[name] != built.get(name)):
        raise ValueError(
            "Expected the options that the model was built with. Received: "
            f"{path}, whose layers {', '.join(different[:5])} differ from those of "
            f"{config.name}. Add the options, such as pooling='avg'."
        )


def _settings(layer) -> dict:
    """Return the settings of a layer that its weights do not determine."""
    names = {"strides", "dilation_rate", "groups", "size", "scale", "min_val"}
    return {k: v for k, v in layer.get_config().items() if k in names}
