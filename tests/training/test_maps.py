"""Training of PYLON's kind: from which weights, what moves, which thresholds."""

import json
import struct

import keras
import numpy as np
import pytest

from kerasloc.backbones import resnet
from kerasloc.configs import NetworkConfig
from kerasloc.data.config import DataConfig, training_tables
from kerasloc.data.pipeline import PipelineConfig
from kerasloc.metrics import best_thresholds
from kerasloc.models import families
from kerasloc.models.families import IMAGENET, XRAY
from kerasloc.runs import Run, seeded
from kerasloc.training import maps
from kerasloc.training.configs import MapTraining
from kerasloc.training.maps import (
    map_network,
    map_trainer,
    start_from,
    train_maps,
    tuned_thresholds,
)
from kerasloc.weights import read_arrays

NAMES = ("circle", "star_3_1", "star_5_2")
BACKBONE = ("conv1", "bn1")


def network(names=NAMES, family="pylon"):
    options = {"backbone": "resnet18", "decoder_channels": 8}
    return NetworkConfig(family, names, (32, 32), options=options, multi_label=True)


def build(names=NAMES):
    own = network(names)
    return families.get("pylon").load("build")(
        own.input_shape, own.num_classes, **own.options
    )


def config(**changes):
    how = {"epochs": 1, "batch_size": 10, "learning_rate": 0.01, "seed": 1}
    return MapTraining(**{**how, "augmentation": "none", **changes})


def by_layer(model):
    return {layer.name: layer.get_weights() for layer in model.layers if layer.weights}


def as_lists(arrays):
    """Arrays of a weight file, in the order in which layers have them."""
    return {
        name: [own[key] for key in sorted(own, key=int)] for name, own in arrays.items()
    }


def is_equal(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.fixture
def tables(several):
    return training_tables(DataConfig(str(several), dataset="csv"))


@pytest.fixture
def saved(small_pylon, tmp_path):
    """Function that saves an untrained network as a run of some classes."""

    def save(names=NAMES, family="pylon"):
        with seeded(7):
            model = build(names)
        folder = tmp_path / "source"
        with Run(folder, {"network": vars(network(names, family))}):
            model.save_weights(folder / "best.weights.h5")
        return folder, by_layer(model)

    return save


# The network


@pytest.mark.parametrize(("channels", "normal"), [(1, XRAY), (3, IMAGENET)])
def test_a_network_has_the_options_of_its_family_and_published_normalization(
    tables, channels, normal
):
    values = {"im_size": 64, "channels": channels, "backbone": "resnet18"}
    values |= {"norm": "groupnorm", "n_up": 2, "epochs": 9}
    made = map_network("fpn", tables["train"], values)
    assert made.options == {"backbone": "resnet18", "norm": "groupnorm"}
    assert (made.family, made.class_names, made.im_size) == ("fpn", NAMES, (64, 64))
    assert made.multi_label
    assert {"mean": made.mean, "std": made.std} == normal


def test_a_network_can_have_another_normalization(tables):
    values = {"im_size": (32, 64), "channels": 3, "mean": (0.5,), "std": (0.2,)}
    made = map_network("pylon", tables["train"], values)
    assert (made.mean, made.std, made.im_size) == ((0.5,), (0.2,), (32, 64))


@pytest.mark.slow
@pytest.mark.parametrize("family", families.names()[2:-1])
def test_the_head_is_the_layer_whose_width_is_the_number_of_classes(family):
    model = families.get(family).load("build")((64, 64, 1), 5, "resnet18")
    head = maps._head(model)
    assert head.kernel.shape[-1] == 5
    assert head.bias is None or head.bias.shape == (5,)
    assert head not in resnet.layers_of(model)


# What moves


@pytest.mark.parametrize("frozen", [True, False])
def test_a_frozen_encoder_does_not_move_by_a_bit(tables, small_pylon, tmp_path, frozen):
    with seeded(1):
        before = by_layer(build())
    with Run(tmp_path, {"network": vars(network())}) as run, seeded(1):
        train_maps(run, tables, network(), config(freeze_encoder=frozen))
    after = as_lists(read_arrays(tmp_path / "last.weights.h5"))
    moved = {name for name in before if not is_equal(before[name], after[name])}
    assert set(before) == {*BACKBONE, "pa_mid_0_conv", "pa_mid_0_bn", maps_layer()}
    assert moved == set(before) - (set(BACKBONE) if frozen else set())


def maps_layer():
    return "segmentation_head_0"


def test_a_frozen_encoder_is_that_of_the_real_network():
    model = families.get("pylon").load("build")((32, 32, 1), 2, "resnet18")
    trainer = map_trainer(model, network(("a", "b")), config(freeze_encoder=True))
    trained = {variable.path.split("/")[0] for variable in trainer.trainable_variables}
    assert trained
    assert all(name.startswith(("pa_", "up", "segmentation")) for name in trained)
    statistics = [v for v in trainer.non_trainable_variables if "moving" in v.path]
    norms = [layer for layer in model.layers if hasattr(layer, "moving_mean")]
    assert len(statistics) == 2 * len(norms)
    assert sum(not layer.trainable for layer in norms) == 20  # of a ResNet-18
    map_trainer(model, network(("a", "b")), config())
    assert all(layer.trainable for layer in norms)


def test_a_training_ends_with_tuned_thresholds_in_its_configuration(
    tables, small_pylon, tmp_path
):
    with Run(tmp_path, {"network": vars(network())}) as run, seeded(1):
        rows = train_maps(run, tables, network(), config(epochs=2))
    assert [row["epoch"] for row in rows] == [1, 2]
    thresholds = json.loads((tmp_path / "config.json").read_text())["network"]
    assert len(thresholds["thresholds"]) == 3
    assert thresholds["thresholds"] != [0.5, 0.5, 0.5]


def test_the_rate_falls_on_plateaus_and_ends_the_training(
    tables, small_pylon, tmp_path, monkeypatch
):
    seen = {}

    def fit(run, trainer, model, fed, settings):
        seen.update(settings)
        model.save_weights(run.folder / "best.weights.h5")
        return []

    monkeypatch.setattr(maps, "fit", fit)
    with Run(tmp_path, {"network": vars(network())}) as run:
        how = {"patience": 3, "factor": 0.5, "stop_rate": 1e-5, "epochs": 7}
        train_maps(run, tables, network(), config(**how))
    assert seen["plateau"] == {"monitor": "val_loss", "factor": 0.5, "patience": 3}
    assert (seen["stop_rate"], seen["epochs"]) == (1e-5, 7)
    assert seen["monitor"] == ("val_loss", "min")


class Fixed:
    """A trainer with given logits."""

    def __init__(self, logits):
        self.logits = logits

    def predict(self, data, verbose):
        return self.logits


def test_thresholds_are_those_of_the_best_f1_and_a_half_without_positives(tables):
    val = tables["val"]
    rng = np.random.default_rng(0)
    logits = rng.normal(size=val.labels.shape).astype("float32")
    size = PipelineConfig(size=(8, 8))
    found = tuned_thresholds(Fixed(logits), val, size)
    probabilities = 1 / (1 + np.exp(-logits.astype(float)))
    np.testing.assert_allclose(found, best_thresholds(val.labels, probabilities))
    val.labels[:, 1] = 0
    assert tuned_thresholds(Fixed(logits), val, size)[1] == 0.5


def test_very_negative_logits_have_thresholds(tables):
    logits = np.full(tables["val"].labels.shape, -1000.0, "float32")
    found = tuned_thresholds(Fixed(logits), tables["val"], PipelineConfig(size=(8, 8)))
    assert found.shape == (3,)
    assert np.isfinite(found).all()


# Where it starts


def test_without_a_start_the_seed_decides(small_pylon):
    model = build()
    before = by_layer(model)
    start_from(model, network(), None)
    assert all(is_equal(before[name], own) for name, own in by_layer(model).items())


def test_from_a_run_of_the_same_classes_everything_is_taken(saved):
    folder, expected = saved()
    model = build()
    start_from(model, network(), str(folder))
    assert all(is_equal(expected[name], own) for name, own in by_layer(model).items())


@pytest.mark.parametrize("names", [("a", "b"), ("a", "b", "c"), NAMES[::-1]])
def test_from_a_run_of_other_classes_all_but_the_head_is_taken(saved, caplog, names):
    folder, expected = saved(names)
    model = build()
    before = by_layer(model)
    with caplog.at_level("INFO"):
        start_from(model, network(), str(folder))
    after = by_layer(model)
    own = after.pop(maps_layer())
    assert is_equal(own, before[maps_layer()])
    assert all(is_equal(expected[name], values) for name, values in after.items())
    assert "has other classes; its head is left out" in caplog.text


def write_imagenet(folder):
    """The small network's backbone as a file that passes as resnet18's."""
    rng = np.random.default_rng(5)
    arrays = {"conv1.weight": rng.normal(size=(8, 3, 5, 5))}
    for name in ("weight", "bias", "running_mean", "running_var"):
        arrays[f"bn1.{name}"] = rng.random(8)
    header, data = {}, b""
    for name, array in arrays.items():
        content = array.astype("<f4").tobytes()
        place = [len(data), len(data) + len(content)]
        header[name] = {"dtype": "F32", "shape": array.shape, "data_offsets": place}
        data += content
    text = json.dumps(header).encode()
    path = folder / "resnet18.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return {name: array.astype("float32") for name, array in arrays.items()}


def test_imagenet_weights_go_into_the_backbone_alone(
    small_pylon, tmp_path, monkeypatch
):
    arrays = write_imagenet(tmp_path)
    monkeypatch.setenv("KERASLOC_WEIGHTS", str(tmp_path))
    model = build()
    before = by_layer(model)
    start_from(model, network(), "imagenet")
    after = by_layer(model)
    kernel = arrays["conv1.weight"].transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(after["conv1"][0], kernel)
    np.testing.assert_array_equal(after["bn1"][2], arrays["bn1.running_mean"])
    for name in set(after) - set(BACKBONE):
        assert is_equal(before[name], after[name])


def test_a_run_of_another_family_is_no_start(saved):
    folder, _ = saved(family="fpn")
    with pytest.raises(ValueError, match=r"own family, 'pylon'.*of the family 'fpn'"):
        start_from(build(), network(), str(folder))


def test_a_run_without_weights_is_no_start(saved):
    folder, _ = saved()
    (folder / "best.weights.h5").unlink()
    with pytest.raises(ValueError, match="has not ended a first epoch"):
        start_from(build(), network(), str(folder))


def test_a_folder_that_is_no_run_is_no_start(small_pylon, tmp_path):
    with pytest.raises(ValueError, match=r"A run folder holds a config\.json"):
        start_from(build(), network(), str(tmp_path))


def test_a_run_of_other_sizes_is_no_start(saved):
    folder, _ = saved()
    wide = families.get("pylon").load("build")(
        (32, 32, 3), 3, "resnet18", decoder_channels=9
    )
    before = by_layer(wide)
    with pytest.raises(ValueError, match=r"of another shape: pa_mid_0_conv/kernel"):
        start_from(wide, network(), str(folder))
    assert all(is_equal(before[name], own) for name, own in by_layer(wide).items())


def test_a_start_that_is_not_there_is_named(small_pylon):
    with pytest.raises(ValueError, match=r"Received: .*nowhere"):
        start_from(build(), network(), "nowhere")


def test_shown_maps_are_of_the_asked_classes():
    image = keras.Input((2, 2, 1))
    answer = keras.layers.Conv2D(3, 1, use_bias=False)(image)
    model = keras.Model(image, {"maps": answer})
    model.set_weights([np.array([1.0, 10.0, 100.0]).reshape(1, 1, 1, 3)])
    images = np.arange(8.0, dtype="float32").reshape(2, 2, 2, 1)
    batch = {"image": images, "classes": np.array([2, 0])}
    found = maps._maps_of(model)(batch)["maps"]
    np.testing.assert_allclose(found[0], 100 * images[0, :, :, 0], rtol=1e-6)
    np.testing.assert_allclose(found[1], images[1, :, :, 0], rtol=1e-6)


def test_the_model_ends_with_its_best_weights_and_thresholds_that_fit_them(
    tables, small_pylon, tmp_path
):
    with seeded(3):
        model, other = build(), build()
    model.save_weights(tmp_path / "best.weights.h5")
    best = by_layer(model)
    fed = {"val": tables["val"], "val_config": PipelineConfig(size=(32, 32))}
    with Run(tmp_path, {"network": vars(network())}) as run:
        maps.keep_best(run, other, fed)
        kept = run.config["network"]["thresholds"]
    assert all(is_equal(best[name], own) for name, own in by_layer(other).items())
    scores = keras.Model(model.input, model.output["logits"])
    expected = tuned_thresholds(scores, fed["val"], fed["val_config"])
    np.testing.assert_allclose(kept, expected, atol=1e-6)
