"""From what a person gives a wrapper to a network with its weights."""

import inspect
import logging
import pathlib

import keras
import numpy as np

from kerasloc import weights as weight_files
from kerasloc.checks import as_size
from kerasloc.configs import NetworkConfig
from kerasloc.models.families import IMAGENET as IMAGENET_IMAGES
from kerasloc.models.folding import fold, is_folded
from kerasloc.runs import CONFIG_FILE, read_network
from kerasloc.weights.torch_files import SUFFIXES as TORCH_SUFFIXES
from kerasloc.weights.torch_names import bare

logger = logging.getLogger(__name__)

IMAGENET = "imagenet"


def network_and_config(wrapper, source, given: dict):
    """The network a wrapper is to hold, with weights, and what describes it.

    Args:
        wrapper: The wrapper's class: its family, builder and `options_of`.
        source: A run folder, a `.keras`, `.weights.h5` or legacy `.h5` file, or None.
        given: What the person said: num_classes, im_size, channels, class_names,
            multi_label (None where nothing was said) and options.

    Raises:
        ValueError: If the source is missing, of another family or does not fit.
    """
    if source is None and all(
        given[key] is None for key in ("num_classes", "class_names")
    ):
        source = newest_run(wrapper)
    if source is None:
        config = _config(wrapper, given, {})
        return build(wrapper, config), config
    if str(source) == IMAGENET:
        return _from_imagenet(wrapper, given)
    path = pathlib.Path(source)
    _check_exists(path)
    if path.suffix == ".keras":
        return _from_keras(wrapper, path, given)
    if path.is_file() and path.suffix in TORCH_SUFFIXES:
        return _from_torch(wrapper, path, given)
    file = weight_files.weights_of_run(path) if _is_run(path) else path
    arrays = weight_files.read_arrays(file)
    known = _known(wrapper, path if path.is_dir() else path.parent, arrays)
    config = _config(wrapper, given, known)
    model = build(wrapper, config)
    weight_files.assign(model, arrays, source=str(file))
    return model, config


def newest_run(wrapper) -> pathlib.Path:
    """The newest run of a wrapper's family, here or in a parent folder.

    Raises:
        ValueError: If there is none; the message says which commands make one.
    """
    runs = weight_files.find_runs(wrapper.family)
    if not runs:
        raise ValueError(
            f"{wrapper.__name__}() takes the newest run of results/{wrapper.family}/ "
            "in the current folder or its parents. Received: none is there. Run "
            f"{' and then '.join(wrapper.commands)}, give weights=..., or give "
            "num_classes=... for an untrained network."
        )
    return runs[0]


def load(folder):
    """The wrapper that a run folder was written by, with its best weights.

    Args:
        folder: Such as ``results/full/NAME``; or a weight file in one, for those.

    Raises:
        ValueError: If it is neither.
    """
    from kerasloc import localizers

    families = localizers.wrappers()
    family = _run_of(pathlib.Path(folder)).family
    if family not in families:
        raise ValueError(
            f"A run is of one of the families {sorted(families)}. Received: {family!r}."
        )
    return families[family](folder)


def _run_of(path) -> NetworkConfig:
    """What a run folder describes, or the one that a weight file lies in."""
    _check_exists(path)
    if not path.is_file() or (path.parent / CONFIG_FILE).is_file():
        return read_network(path.parent if path.is_file() else path)
    raise ValueError(
        f"A weight file tells its family by the {CONFIG_FILE} of its run folder. "
        f"Received: {path}, which has none beside it. Give it to the wrapper of its "
        "family, such as kerasloc.Pylon(weights=...), or --type on a command line."
    )


def _check_exists(path):
    if not path.exists():
        raise ValueError(
            "weights is an existing run folder or weight file. "
            f"Received: {path}, which does not exist."
        )


def _is_run(path) -> bool:
    if path.is_dir():
        read_network(path)  # says what is wrong with a folder that is no run
    return path.is_dir()


def _known(wrapper, folder, arrays) -> dict:
    """What the config beside the weights says, or else what their shapes tell."""
    if (folder / CONFIG_FILE).is_file():
        config = read_network(folder)
        if config.family == wrapper.family:
            return vars(config)
        raise ValueError(
            f"{wrapper.__name__} takes weights of its own family, {wrapper.family!r}. "
            f"Received: {folder}, of the family {config.family!r}. "
            "kerasloc.load(folder) gives a run the wrapper that it needs."
        )
    known = wrapper.describe(arrays)
    if not known:
        raise ValueError(
            f"{wrapper.__name__} takes weights of its own architecture. Received: a "
            f"file with the layers {', '.join(sorted(arrays)[:8])}, ... "
            f"It looks like: {_likely(arrays)}."
        )
    return known


def _likely(arrays) -> str:
    """The families whose wrappers know arrays as their own."""
    from kerasloc import localizers

    families = localizers.wrappers().items()
    found = [family for family, wrapper in families if wrapper.describe(arrays)]
    return ", ".join(found) or "none of the families here"


def _config(wrapper, given, known) -> NetworkConfig:
    """One description: what was said, else what is known, else the defaults."""
    said = {key: value for key, value in given.items() if value is not None}
    names = said.get("class_names")
    count = said.get("num_classes", len(names) if names is not None else None)
    if names is None:
        names = known.get("class_names")
        if names is None or (count is not None and len(names) != count):
            names = [f"class {index}" for index in range(count or 0)]
    if not names or (count is not None and len(names) != count):
        raise ValueError(
            "There is one class name per class. "
            f"Received: num_classes={count}, class_names={names!r}."
        )
    size = said.get("im_size", known.get("im_size", wrapper.default_size))
    channels = int(said.get("channels", known.get("channels", 3)))
    multi_label = wrapper.default_multi_label
    normal, kept = wrapper.normalization(channels), ("mean", "std", "thresholds")
    return NetworkConfig(
        family=wrapper.family,
        class_names=tuple(names),
        im_size=as_size(size),
        channels=channels,
        multi_label=bool(
            said.get("multi_label", known.get("multi_label", multi_label))
        ),
        options={**known.get("options", {}), **said["options"]},
        folded=known.get("folded", False),
        **{**normal, **_of(known, *kept), **_of(said, *kept)},
    )


def _of(values: dict, *names) -> dict:
    return {name: values[name] for name in names if name in values}


def build(wrapper, config: NetworkConfig) -> keras.Model:
    """The untrained network of a description."""
    model = wrapper.builder(config.input_shape, config.num_classes, **config.options)
    return fold(model) if config.folded else model


def _from_imagenet(wrapper, given):
    """A network whose backbone knows ImageNet."""
    takes = inspect.signature(wrapper.builder).parameters
    name = next((name for name in ("backbone", "classifier") if name in takes), None)
    if name is None:
        raise ValueError(
            "ImageNet weights are for networks with a ResNet backbone. Received: "
            f"{wrapper.__name__}(weights='imagenet'). Train it from scratch."
        )
    channels = given["channels"] or 3
    known = {} if wrapper.normalization(channels) or channels != 3 else IMAGENET_IMAGES
    config = _config(wrapper, given, known)
    model = build(wrapper, config)
    backbone = config.options.get(name, takes[name].default)
    weight_files.load_imagenet(model, backbone)
    return model, config


def _from_torch(wrapper, path, given):
    """A network with the weights of a published PyTorch file."""
    arrays = weight_files.read_torch(path)
    known = _known(wrapper, path.parent, _by_layer(arrays))
    config = _config(wrapper, given, known)
    model = build(wrapper, config)
    logger.info("%s: %s", path, weight_files.load_torch(model, path))
    return model, config


def _by_layer(arrays) -> dict:
    """Published arrays as a Keras file has them: by layer, kernels with axes last."""
    layers = {}
    for name, array in arrays.items():
        layer, _, parameter = bare(name).rpartition(".")
        if parameter != "num_batches_tracked":
            own = array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T
            layers.setdefault(layer.replace(".", "_"), {})[parameter] = own
    return layers


def _from_keras(wrapper, path, given):
    """A saved model, after a look at whether it is what the wrapper needs."""
    model = keras.saving.load_model(path, compile=False, safe_mode=True)
    answers = getattr(model, "output", None)  # a Sequential one may have none
    outputs = set(answers) if isinstance(answers, dict) else set()
    if not wrapper.outputs <= outputs:
        raise ValueError(
            f"{wrapper.__name__} takes a model with the outputs "
            f"{sorted(wrapper.outputs)}. Received: {path} with "
            f"{sorted(outputs) or 'no named outputs'}."
        )
    arrays = {
        layer.name: {v.name: np.empty(v.shape) for v in layer.weights}
        for layer in model.layers
        if layer.weights
    }
    shape = model.input_shape
    known = {**wrapper.describe(arrays), "im_size": shape[1:3]}
    known["folded"] = is_folded(model)
    config = _config(wrapper, given, known)
    if (config.input_shape, config.num_classes) != (
        tuple(shape[1:]),
        model.output["logits"].shape[-1],
    ):
        raise ValueError(
            "A saved model keeps its size, channels and classes. Received: "
            f"{config.name} for a model of input {shape[1:]} and "
            f"{model.output['logits'].shape[-1]} classes. Leave the arguments out."
        )
    _check_options(wrapper, model, config, path)
    return model, config


def _check_options(wrapper, model, config, path):
    """Raises unless the options that are known build a network such as the model."""
    shapes = [
        {layer.name: (type(layer).__name__, _steps(layer)) for layer in one.layers}
        for one in (model, build(wrapper, config))
    ]
    different = sorted(k for k in shapes[0] if shapes[0][k] != shapes[1].get(k))
    if different:
        raise ValueError(
            "A saved model is used with the options it was built with. Received: "
            f"{path}, whose layers {', '.join(different[:5])} differ from those of "
            f"{config.name}. Give the options as well, such as pooling='avg'."
        )


def _steps(layer) -> dict:
    """What of a layer's configuration weights do not tell."""
    names = ("strides", "dilation_rate", "groups", "size", "scale", "min_val")
    config = layer.get_config()
    return {name: config[name] for name in names if name in config}
