"""Training of networks of maps: initial weights, what moves, thresholds."""

import json
import struct

import keras
import numpy as np
import pytest

from kerasloc.backbones import resnet
from kerasloc.cams.graph import producer
from kerasloc.configs import NetworkConfig
from kerasloc.data.config import DataConfig, training_tables
from kerasloc.data.pipeline import PipelineConfig
from kerasloc.metrics import best_thresholds
from kerasloc.models import families
from kerasloc.models.families import IMAGENET, XRAY
from kerasloc.runs import Run, seeded
from kerasloc.training.compiling import Feed
from kerasloc.training.configs import MapTraining
from kerasloc.training.experiment import make_experiment
from kerasloc.training.maps import (
    MapTrainer,
    compile_maps,
    load_start,
    tuned_thresholds,
)
from tests.training.helpers import as_lists, by_layer, is_equal

NAMES = ("circle", "star_3_1", "star_5_2")
BACKBONE = ("conv1", "bn1")


def network(names=NAMES, family="pylon"):
    options = {"backbone": "resnet18", "decoder_channels": 8}
    return NetworkConfig(family, names, (32, 32), options=options, multi_label=True)


def build(names=NAMES):
    return MapTrainer(None, None, network(names), config()).build()


def config(**changes):
    options = {"epochs": 1, "batch_size": 10, "learning_rate": 0.01, "seed": 1}
    return MapTraining(**{**options, "augmentation": "none", **changes})


def assert_same(first, second):
    assert all(is_equal(first[name], arrays) for name, arrays in second.items())


@pytest.fixture
def tables(multi_label_data):
    return training_tables(DataConfig(str(multi_label_data), dataset="csv"))


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
def test_a_network_has_its_options_and_the_published_normalization(
    tables, channels, normal
):
    values = {"data_dir": "x", "im_size": (32, 64), "channels": channels}
    experiment = make_experiment("fpn", {**values, "norm": "groupnorm"})
    described = MapTrainer.describe(experiment, tables["train"])
    assert described.options == {"norm": "groupnorm"}
    assert (described.family, described.class_names) == ("fpn", NAMES)
    assert (described.im_size, described.multi_label) == ((32, 64), True)
    assert {"mean": described.mean, "std": described.std} == normal


@pytest.mark.slow
@pytest.mark.parametrize("family", families.names()[2:-1])
def test_the_head_is_the_layer_whose_width_is_the_number_of_classes(family):
    model = families.get(family).load("build")((64, 64, 1), 5, "resnet18")
    head = producer(model.output["maps"])
    assert head.kernel.shape[-1] == 5
    assert head.bias is None or head.bias.shape == (5,)
    assert head not in resnet.layers_of(model)


# What moves


@pytest.mark.parametrize("frozen", [True, False])
def test_a_frozen_encoder_does_not_move_by_a_bit(tables, small_pylon, tmp_path, frozen):
    with seeded(1):
        before = by_layer(build())
    with Run(tmp_path, {"network": vars(network())}) as run, seeded(1):
        MapTrainer(run, tables, network(), config(freeze_encoder=frozen)).train()
    after = as_lists(tmp_path / "last.weights.h5")
    moved = {name for name in before if not is_equal(before[name], after[name])}
    assert set(before) == {*BACKBONE, "pa_mid_0_conv", "pa_mid_0_bn", maps_layer()}
    assert moved == set(before) - (set(BACKBONE) if frozen else set())


def maps_layer():
    return "segmentation_head_0"


def test_a_frozen_encoder_is_that_of_the_real_network():
    model = families.get("pylon").load("build")((32, 32, 1), 2, "resnet18")
    fitted = compile_maps(model, network(("a", "b")), config(freeze_encoder=True))
    trained = {variable.path.split("/")[0] for variable in fitted.trainable_variables}
    assert trained
    assert all(name.startswith(("pa_", "up", "segmentation")) for name in trained)
    statistics = [v for v in fitted.non_trainable_variables if "moving" in v.path]
    norms = [layer for layer in model.layers if hasattr(layer, "moving_mean")]
    assert len(statistics) == 2 * len(norms)
    assert sum(not layer.trainable for layer in norms) == 20  # of a ResNet-18
    compile_maps(model, network(("a", "b")), config())
    assert all(layer.trainable for layer in norms)


def test_the_rate_falls_on_plateaus_and_ends_the_training(tables, tmp_path):
    options = {"patience": 3, "factor": 0.5, "stop_rate": 1e-5, "epochs": 7}
    with Run(tmp_path, {}) as run:
        trainer = MapTrainer(run, tables, network(), config(**options))
        settings = trainer.fit_config(None, trainer.feed(None))
    (plateau,) = settings.stateful
    assert (plateau.monitor, plateau.factor, plateau.patience) == ("val_loss", 0.5, 3)
    assert (settings.stop_rate, settings.epochs) == (1e-5, 7)
    assert (settings.monitor, settings.mode) == ("val_loss", "min")


def fixed(logits):
    """Return a model with these logits for any 8 x 8 images, in their order."""
    image = keras.Input((8, 8, 3))
    row = keras.layers.Lambda(lambda x: x[:, 0, 0, :1])(image)
    position = keras.layers.Lambda(lambda x: keras.ops.cast(x, "int32")[:, 0])(row)
    values = keras.layers.Lambda(
        lambda x: keras.ops.take(logits, x, axis=0), output_shape=(logits.shape[1],)
    )(position)
    return keras.Model(image, {"logits": values})


class NumberedFeed(Feed):
    """Images whose pixels are their number."""

    def val_batches(self):
        import tensorflow as tf

        count = len(self.val)
        numbers = np.arange(count, dtype="float32")[:, None, None, None]
        images = np.broadcast_to(numbers, (count, 8, 8, 3))
        data = tf.data.Dataset.from_tensor_slices((images, self.val.labels))
        return data.batch(2)


def numbered(val):
    config = PipelineConfig(size=(8, 8))
    return NumberedFeed(val, val, config, config)


def test_thresholds_are_those_of_the_best_f1_and_a_half_without_positives(tables):
    val = tables["val"]
    rng = np.random.default_rng(0)
    logits = rng.normal(size=val.labels.shape).astype("float32")
    thresholds = tuned_thresholds(fixed(logits), numbered(val))
    probabilities = 1 / (1 + np.exp(-logits.astype(float)))
    np.testing.assert_allclose(thresholds, best_thresholds(val.labels, probabilities))
    val.labels[:, 1] = 0
    assert tuned_thresholds(fixed(logits), numbered(val))[1] == 0.5


def test_very_negative_logits_have_thresholds(tables):
    logits = np.full(tables["val"].labels.shape, -1000.0, "float32")
    thresholds = tuned_thresholds(fixed(logits), numbered(tables["val"]))
    assert thresholds.shape == (3,)
    assert np.isfinite(thresholds).all()


# Initial weights


def test_without_a_start_the_seed_decides(small_pylon):
    model = build()
    before = by_layer(model)
    load_start(model, network(), None)
    assert_same(before, by_layer(model))


def test_from_a_run_of_the_same_classes_everything_is_taken(saved):
    folder, expected = saved()
    model = build()
    load_start(model, network(), str(folder))
    assert_same(expected, by_layer(model))


@pytest.mark.parametrize("names", [("a", "b"), ("a", "b", "c"), NAMES[::-1]])
def test_from_a_run_of_other_classes_all_but_the_head_is_taken(saved, caplog, names):
    folder, expected = saved(names)
    model = build()
    before = by_layer(model)
    with caplog.at_level("INFO"):
        load_start(model, network(), str(folder))
    after = by_layer(model)
    assert is_equal(after.pop(maps_layer()), before[maps_layer()])
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
        offsets = [len(data), len(data) + len(content)]
        header[name] = {"dtype": "F32", "shape": array.shape, "data_offsets": offsets}
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
    load_start(model, network(), "imagenet")
    after = by_layer(model)
    kernel = arrays["conv1.weight"].transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(after["conv1"][0], kernel)
    np.testing.assert_array_equal(after["bn1"][2], arrays["bn1.running_mean"])
    for name in set(after) - set(BACKBONE):
        assert is_equal(before[name], after[name])


def test_a_run_of_another_family_is_refused(saved):
    folder, _ = saved(family="fpn")
    with pytest.raises(ValueError, match=r"start.*'pylon'.*of the family 'fpn'"):
        load_start(build(), network(), str(folder))


def test_a_run_without_weights_and_a_folder_without_a_run_are_refused(saved):
    folder, _ = saved()
    (folder / "best.weights.h5").unlink()
    with pytest.raises(ValueError, match="not completed an epoch"):
        load_start(build(), network(), str(folder))
    (folder / "config.json").unlink()
    with pytest.raises(ValueError, match=r"config\.json"):
        load_start(build(), network(), str(folder))


def test_a_run_of_other_sizes_is_refused(saved):
    folder, _ = saved()
    wide = families.get("pylon").load("build")(
        (32, 32, 3), 3, "resnet18", decoder_channels=9
    )
    before = by_layer(wide)
    with pytest.raises(ValueError, match=r"pa_mid_0_conv/kernel"):
        load_start(wide, network(), str(folder))
    assert_same(before, by_layer(wide))


def test_a_missing_start_is_named(small_pylon):
    with pytest.raises(ValueError, match=r"Received: .*nowhere"):
        load_start(build(), network(), "nowhere")


def test_pictures_show_the_maps_of_the_classes():
    image = keras.Input((2, 2, 1))
    maps = keras.layers.Conv2D(3, 1, use_bias=False)(image)
    model = keras.Model(image, {"maps": maps})
    model.set_weights([np.array([1.0, 10.0, 100.0]).reshape(1, 1, 1, 3)])
    images = np.arange(8.0, dtype="float32").reshape(2, 2, 2, 1)
    batch = {"image": images, "classes": np.array([2, 0])}
    trainer = MapTrainer(None, None, network(), config())
    first, second = trainer.maps(model, batch)["maps"]
    np.testing.assert_allclose(first, 100 * images[0, :, :, 0], rtol=1e-6)
    np.testing.assert_allclose(second, images[1, :, :, 0], rtol=1e-6)


def test_training_ends_with_the_best_weights_and_their_thresholds(
    tables, small_pylon, tmp_path
):
    with seeded(3):
        model, last = build(), build()
    model.save_weights(tmp_path / "best.weights.h5")
    best = by_layer(model)
    with Run(tmp_path, {"network": vars(network())}) as run:
        trainer = MapTrainer(run, tables, network(), config())
        feed = trainer.feed(last)
        trainer.finish(last, feed)
        thresholds = run.config["network"]["thresholds"]
    assert_same(best, by_layer(last))
    np.testing.assert_allclose(thresholds, tuned_thresholds(model, feed), atol=1e-6)
