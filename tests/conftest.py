"""What several tests need: golden arrays and tiny networks."""

import contextlib
import dataclasses
import functools
import importlib.util
import json
import os
import pathlib
import re
import zlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "agg")

import numpy as np
import pytest

HALF = re.compile(r"[\[-]mixed_b?float16")  # in the parameters of a test
GOLDENS = pathlib.Path(__file__).parent / "goldens"
TINY = {"growth": 4, "initial_filters": 8, "layers_per_block": 2}
HALF_OPTIONS = {
    "im-size": 32,
    "growth": 4,
    "initial-filters": 8,
    "layers-per-block": 1,
    "blocks": 1,
    "momentum": 0.9,
    "batch-size": 8,
    "optimizer": "sgd",
    "learning-rate": 0.05,
    "augmentation": "none",
}
TORCH_KINDS = {
    "weight": ("kernel", "gamma"),
    "bias": ("bias", "beta"),
    "running_mean": ("moving_mean",),
    "running_var": ("moving_variance",),
}
FULL_OPTIONS = {"align-weight": 0.5, "optimizer": "adam", "learning-rate": 0.01}


def pytest_addoption(parser):
    parser.addoption(
        "--fail-skipped", action="store_true", help="count skipped tests as failed"
    )


def pytest_collection_modifyitems(items):
    """Skips half precision that oneDNN is limited to leave out.

    TensorFlow asks the processor, not oneDNN, and aborts the process.
    """
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA", "DEFAULT").upper()
    if limit in ("ALL", "DEFAULT"):
        return
    skip = pytest.mark.skip(reason=f"no half precision: ONEDNN_MAX_CPU_ISA={limit}")
    for item in items:
        if item.get_closest_marker("half_precision") or HALF.search(item.name):
            item.add_marker(skip)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    report = yield
    if report.skipped and item.config.getoption("--fail-skipped"):
        report.outcome, report.longrepr = "failed", f"skipped: {report.longrepr[-1]}"
    return report


def golden_array(seed, name, shape):
    """The array that the golden files' rule gives a parameter of this name."""
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    if name.endswith("moving_variance"):
        values = rng.uniform(0.5, 1.5, shape)
    elif name.endswith(("moving_mean", "bias", "beta")):
        values = 0.1 * rng.standard_normal(shape)
    elif name.endswith("gamma") or len(shape) == 1:
        values = rng.uniform(0.3, 0.9, shape)
    else:
        values = rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[:-1]))
    return values.astype("float32")


@pytest.fixture(scope="session")
def fill_by_rule():
    """Function that gives a model weights with which normalizations do something."""

    def fill(model):
        for layer in model.layers:
            for weight in layer.weights:
                path = f"{layer.name}/{weight.name}"
                weight.assign(golden_array(7, path, weight.shape))

    return fill


class HrcamGolden:
    """Weights by rule, the input, and what the published implementation answered."""

    def __init__(self):
        self.facts = json.loads((GOLDENS / "hrcam.json").read_text())
        self.answers = np.load(GOLDENS / "hrcam.npz")
        self.seed = self.facts["seed"]
        rng = np.random.default_rng([self.seed, zlib.crc32(b"input:hrcam")])
        noise = rng.standard_normal(self.facts["input_shape_nhwc"])
        self.images = np.clip(0.5 + 0.25 * noise, 0, 1).astype("float32")

    def arrays(self, kind):
        """Arrays by layer and variable name, for `half` or `full`."""
        layers = {}
        for name, shape in self.facts[kind].items():
            layer, variable = name.split("/")
            array = golden_array(self.seed, name, shape)
            layers.setdefault(layer, {})[variable] = array
        return layers


@pytest.fixture(scope="session")
def hrcam_golden():
    return HrcamGolden()


@pytest.fixture(scope="session")
def dataset():
    """Function from an array and elements to a pydicom dataset, 8 or 16 bits."""
    pydicom = pytest.importorskip("pydicom")

    def make(pixels, kind="MONOCHROME2", **elements):
        syntax = pydicom.uid.ExplicitVRLittleEndian
        storage = pydicom.uid.SecondaryCaptureImageStorage
        data = pydicom.Dataset()
        data.file_meta = pydicom.dataset.FileMetaDataset()
        data.file_meta.TransferSyntaxUID = syntax
        data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = storage
        data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = "1.2.3"
        data.set_pixel_data(pixels, kind, pixels.dtype.itemsize * 8)
        for name, value in elements.items():
            setattr(data, name, value)
        return data

    return make


@pytest.fixture
def images():
    return np.random.default_rng(0).random((3, 32, 32, 3), dtype="float32")


@pytest.fixture
def tiny():
    """Options of a network that builds and runs in a moment."""
    return dict(TINY)


def as_words(options):
    """A command line of options."""
    return [
        word for name, value in options.items() for word in (f"--{name}", str(value))
    ]


@pytest.fixture(scope="session")
def script():
    """Function from a name to the module of that script."""

    @functools.cache
    def load(name):
        path = pathlib.Path(__file__).parents[1] / "scripts" / f"{name}.py"
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture(scope="session")
def shapes(tmp_path_factory):
    """Folder of tiny synthetic images of three classes, with boxes and masks."""
    from kerasloc.data.synthetic import SyntheticConfig, write

    folder = tmp_path_factory.mktemp("data") / "shapes"
    return write(folder, SyntheticConfig(classes=3, size=32, train=24, test=12))


@pytest.fixture
def half_words():
    """Options of pretrain_half for a network and a training of a moment."""
    return as_words(HALF_OPTIONS)


@contextlib.contextmanager
def running_eagerly():
    """Steps run op by op, which is the faster way for an epoch of a few steps.

    Those of training, and predictions of models that were never compiled.
    """
    import keras
    import tensorflow as tf

    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(False)  # Keras' switch suffices; tf.data warns
    always = property(lambda self: True, lambda self, value: None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras.Model, "run_eagerly", always)
        yield
    tf.config.run_functions_eagerly(before)


@pytest.fixture
def eager(monkeypatch):
    """Models run op by op; no curves are drawn, which takes longer.

    The runs of `trained` and `trained_pylon` have curves.
    """
    from kerasloc.training import experiment

    monkeypatch.setattr(experiment, "draw_history", lambda run: None)
    with running_eagerly():
        yield


@pytest.fixture(scope="session")
def trained(script, shapes, tmp_path_factory):
    """Folder of results with a half and a full run of two epochs each, as scripts do.

    To be read only.
    """
    results = tmp_path_factory.mktemp("trained") / "results"
    where = ["--results-dir", str(results), "--epochs", "2"]
    with running_eagerly():
        script("pretrain_half").main(
            [*as_words(HALF_OPTIONS), "--data-dir", str(shapes), *where]
        )
        script("train_full").main([*as_words(FULL_OPTIONS), *where])
    return results


def torch_array(seed, name, shape):
    """As `golden_array`, for the names of PyTorch and its order of axes."""
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    if name.endswith("running_var"):
        values = rng.uniform(0.5, 1.5, shape)
    elif name.endswith(("running_mean", "bias")):
        values = 0.1 * rng.standard_normal(shape)
    elif len(shape) == 1:
        values = rng.uniform(0.3, 0.9, shape)
    else:
        values = rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
    return values.astype("float32")


class NetworkGolden:
    """Weights by rule, the input, and what a published PyTorch network answered."""

    def __init__(self, name, facts, answers):
        self.facts = facts
        self.logits = answers[f"{name}/logits"]
        self.maps = answers[f"{name}/maps"]  # every k-th row and column
        rows, cols, channels = facts["input_shape"][1:]
        shape = (facts["input_shape"][0], channels, rows, cols)
        rng = np.random.default_rng(
            [facts["seed"], zlib.crc32(f"input:{name}".encode())]
        )
        images = rng.standard_normal(shape).astype("float32")
        self.images = images.transpose(0, 2, 3, 1)

    def arrays(self):
        """The published state: arrays by published parameter name."""
        return {
            name: torch_array(self.facts["seed"], name, shape)
            for name, shape in self.facts["parameters"].items()
        }

    def build(self):
        """The network of this package with the golden weights."""
        from kerasloc.models import families

        facts = self.facts
        model = families.get(facts["builder"]).load("build")(
            facts["input_shape"][1:],
            facts["classes"],
            facts["backbone"],
            **facts["options"],
        )
        fill(model, self.arrays())
        return model


def fill(model, arrays):
    """Assigns arrays of a published PyTorch state; every one and every weight once."""
    free = {
        (layer.name, weight.name): (layer, weight)
        for layer in model.layers
        for weight in layer.weights
    }
    for name, array in arrays.items():
        *path, kind = name.removeprefix("net.").split(".")
        path = path[1:] if path[0] in ("encoder", "decoder") else path
        keys = [("_".join(path), variable) for variable in TORCH_KINDS[kind]]
        layer, weight = next(free.pop(key) for key in keys if key in free)
        depthwise = "Depthwise" in type(layer).__name__
        axes = (2, 3, 0, 1) if depthwise else (2, 3, 1, 0)
        # assign refuses another shape
        weight.assign(array.transpose(axes) if array.ndim == 4 else array)
    if free:
        raise KeyError(f"no array for {sorted(free)}")


@pytest.fixture(scope="session")
def network_golden():
    """Function from a name to what that published network answered."""
    facts = json.loads((GOLDENS / "networks.json").read_text())
    answers = np.load(GOLDENS / "networks.npz")
    return lambda name: NetworkGolden(name, facts[name], answers)


class CamGolden:
    """What a published package answers about ResNet-18 over a pooled 1 x 1 head."""

    def __init__(self):
        networks = json.loads((GOLDENS / "networks.json").read_text())
        self.facts = networks["baseline_max"] | {"seed": 7}
        self.answers = np.load(GOLDENS / "cam_methods.npz")  # rows ::9, columns 4::9
        rng = np.random.default_rng([7, zlib.crc32(b"input:cam")])
        images = rng.standard_normal((2, 1, 128, 128)).astype("float32")
        self.images = images.transpose(0, 2, 3, 1)

    def build(self, pooling):
        """The network of this package with the golden weights."""
        from kerasloc.models.baseline import baseline

        model = baseline((128, 128, 1), 4, "resnet18", pooling)
        arrays = {
            name: torch_array(7, name, shape)
            for name, shape in self.facts["parameters"].items()
        }
        fill(model, arrays)
        return model

    def errors(self, model, pooling, method, number, count=2):
        """How far the maps of the first images are from the published ones, at most."""
        from kerasloc.cams import METHODS
        from kerasloc.metrics import min_max, resize_maps

        images = self.images[:count]
        expected = self.answers[f"{pooling}/{method}/{number}"][:count]
        explainer = METHODS[method](model, "stage5")
        maps = explainer(images, number)
        assert maps.shape == images.shape[:3]
        either = [maps]
        if "eigen" in method:  # the component's sign is free
            raw = explainer.maps(images, number)
            either += [min_max(resize_maps(np.maximum(-raw, 0), images.shape[1:3]))]
        errors = np.abs(np.stack(either)[:, :, ::9, 4::9] - expected)
        return errors.max(axis=(2, 3)).min(axis=0)


@pytest.fixture(scope="session")
def cam_golden():
    return CamGolden()


PYLON_OPTIONS = {
    "dataset": "csv",
    "im-size": 32,
    "channels": 3,
    "backbone": "resnet18",
    "decoder-channels": 8,
    "batch-size": 10,
    "learning-rate": 0.001,
    "augmentation": "none",
}


@pytest.fixture(scope="session")
def multi_label_data(tmp_path_factory):
    """Folder of tiny synthetic images with any number of shapes, and their boxes."""
    from kerasloc.data.synthetic import SyntheticConfig, write

    folder = tmp_path_factory.mktemp("data") / "several"
    config = SyntheticConfig(classes=3, size=32, train=24, test=12, most_objects=3)
    return write(folder, config)


@pytest.fixture
def pylon_words(multi_label_data):
    """Options of train_pylon for a training of a moment on that data."""
    return as_words({"data-dir": multi_label_data, **PYLON_OPTIONS})


@pytest.fixture(scope="session")
def trained_pylon(script, multi_label_data, tmp_path_factory):
    """Folder of a run of the small network, one epoch, as train_pylon leaves it.

    To be read only, and to be loaded with ``small_pylon``.
    """
    results = tmp_path_factory.mktemp("trained") / "results"
    words = as_words({"data-dir": multi_label_data, **PYLON_OPTIONS, "epochs": 1})
    with small_family("pylon", small_network), running_eagerly():
        script("train_pylon").main([*words, "--results-dir", str(results)])
    return results / "pylon" / "several"


def small_network(input_shape, classes, backbone="resnet50", **options):
    """In the place of PYLON: a backbone of one convolution, a decoder of another."""
    import keras

    from kerasloc.backbones import blocks, resnet
    from kerasloc.models.options import PylonOptions

    config = PylonOptions(backbone, **options)
    image = blocks.start(input_shape, classes)
    x = blocks.relu(resnet.norm(resnet.conv(image, 8, 5, "conv1", stride=4), "bn1"), "")
    x = blocks.conv_bn_relu(x, config.decoder_channels, 3, "pa_mid_0")
    maps = blocks.head(x, classes, config.head_kernel_size)
    logits = keras.layers.GlobalMaxPooling2D(name="logits")(maps)
    return keras.Model(image, {"logits": logits, "maps": maps}, name="small")


def small_family(name, build):
    """Context in which a tiny network is registered as a family."""
    from kerasloc.models import families

    return families.registered(dataclasses.replace(families.get(name), build=build))


@pytest.fixture(scope="session")
def registered_as():
    """Function from a name and a builder to the context in which they are a family."""
    return small_family


@pytest.fixture
def recorded():
    """Function from a family (and data in the place of the embedded) to its trainers.

    The trainers are collected in a list instead of training.
    """
    from kerasloc.models import families

    with contextlib.ExitStack() as stack:

        def record(name, **data):
            trainers, family = [], families.get(name)

            class Recording(family.load("trainer")):
                def train(self):
                    trainers.append(self)
                    (self.run.folder / "last.weights.h5").touch()
                    return []

            if data:
                Recording.embedded_data = staticmethod(lambda: data)
            recording = dataclasses.replace(family, trainer=Recording)
            stack.enter_context(families.registered(recording))
            return trainers

        yield record


@pytest.fixture
def small_pylon(eager):
    """PYLON is a network that builds and trains in a moment; its builder."""
    with small_family("pylon", small_network):
        yield small_network


HAM_OPTIONS = {
    "dataset": "csv",
    "im-size": 32,
    "backbone": "resnet18",
    "batch-size": 8,  # of 20 images: the last batch is smaller
    "learning-rate": 0.01,
    "augmentation": "none",
}


def small_attention(input_shape, classes, backbone="resnet50", *, dropout=0, **options):
    """In the place of HAM: a backbone of one convolution, and all six outputs."""
    import keras

    from kerasloc import layers
    from kerasloc.backbones import blocks, resnet
    from kerasloc.models.options import HamOptions

    config = HamOptions(backbone, **options)
    image = blocks.start(input_shape, classes, config.downsampling)
    x = blocks.relu(resnet.norm(resnet.conv(image, 8, 5, "conv1", stride=4), "bn1"), "")
    x = keras.layers.SpatialDropout2D(dropout, name="cls_head_dropout")(x)
    pooled = layers.LogSumExpPooling(6.0, name="pooled")(x)
    outputs = {}
    for prefix, name, units in (("", "cls_fc", classes), ("abnormality_", "any_fc", 1)):
        logits, maps = layers.MappedDense(units, name=name)(pooled, x)
        soft = layers.SoftMask(input_shape[:2], name=f"{prefix}refined_maps")
        own = {"logits": logits, "maps": maps, "refined_maps": soft(maps)}
        outputs |= {f"{prefix}{key}": value for key, value in own.items()}
    return keras.Model(image, outputs, name="small")


@pytest.fixture
def small_ham(eager):
    """HAM is a network that builds and trains in a moment; its builder."""
    with small_family("ham", small_attention):
        yield small_attention


@pytest.fixture
def ham_words(multi_label_data):
    """Options of train_ham for a training of a moment on that data."""
    return as_words({"data-dir": multi_label_data, **HAM_OPTIONS})


@pytest.fixture(scope="session")
def trained_ham(script, multi_label_data, tmp_path_factory):
    """Folder of a run of the small network, four epochs, as train_ham leaves it.

    To be read only, and to be loaded with ``small_ham``.
    """
    results = tmp_path_factory.mktemp("trained") / "results"
    words = as_words({"data-dir": multi_label_data, **HAM_OPTIONS, "epochs": 4})
    with small_family("ham", small_attention), running_eagerly():
        script("train_ham").main([*words, "--results-dir", str(results)])
    return results / "ham" / "several"
