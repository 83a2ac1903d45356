"""Precision, choice of devices, and training on several of them."""

import json
import pathlib
import subprocess
import sys

import keras
import pytest
import tensorflow as tf

from kerasloc.layers import BatchNormalization
from kerasloc.training import devices

PROGRAM = pathlib.Path(__file__).parent / "two_devices.py"


@pytest.fixture
def float32():
    """Puts the precision back."""
    yield
    keras.config.set_dtype_policy("float32")


@pytest.mark.usefixtures("float32")
@pytest.mark.parametrize("name", devices.PRECISIONS)
def test_layers_are_built_in_the_chosen_precision(name):
    devices.set_precision(name)
    layer = keras.layers.Dense(1)
    assert layer.compute_dtype == name.removeprefix("mixed_")
    assert layer.variable_dtype == "float32"


def test_an_unknown_precision_is_refused_and_changes_nothing():
    with pytest.raises(ValueError, match=r"float32, mixed_float16, .*'half'"):
        devices.set_precision("half")
    assert keras.config.dtype_policy().name == "float32"


@pytest.fixture
def gpus(monkeypatch):
    """Two GPUs as far as TensorFlow tells; the list of those that were chosen."""
    chosen = []
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["A", "B"])
    monkeypatch.setattr(
        tf.config, "set_visible_devices", lambda found, kind: chosen.append(found)
    )
    monkeypatch.setattr(tf.distribute, "MirroredStrategy", lambda: "mirrored")
    return chosen


@pytest.mark.parametrize(
    ("words", "visible", "strategy"),
    [
        ("0", ["A"], None),
        ("1", ["B"], None),
        (1, ["B"], None),
        ("-1", [], None),
        ("0,1", ["A", "B"], "mirrored"),
        ("1, 0", ["B", "A"], "mirrored"),
    ],
)
def test_asked_gpus_are_the_visible_ones(gpus, words, visible, strategy):
    assert devices.select(words) == strategy
    assert gpus == [visible]


def test_without_a_choice_tensorflow_chooses(gpus):
    assert devices.select(None) is None
    assert gpus == []


@pytest.mark.parametrize("words", ["2", "0,7", "-2", "gpu", "", "0;1", "0.5"])
def test_a_gpu_that_is_not_there_is_refused(gpus, words):
    with pytest.raises(
        ValueError, match=r"TensorFlow sees 2. Received.*-1 for the CPU"
    ):
        devices.select(words)
    assert gpus == []


def test_scope_of_no_strategy_is_nothing_special():
    with devices.scope(None):
        assert keras.layers.Dense(1).compute_dtype == "float32"


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """What the program with two virtual devices says."""
    folder = tmp_path_factory.mktemp("two_devices")
    words = [sys.executable, str(PROGRAM), str(folder), "others,ham,explainer"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    assert answer["replicas"] == 2
    return answer


@pytest.mark.slow
def test_a_step_of_hrcam_on_two_devices_equals_one_on_a_single_device(compared):
    answer = compared["others"]
    assert answer["history"] < 1e-5  # losses, scores and rate of both models
    assert answer["weights"] < 1e-5
    assert answer["history of maps"] < 1e-5
    assert answer["weights of maps"] < 1e-5


@pytest.mark.slow
def test_a_step_of_ham_on_two_devices_equals_one_on_a_single_device(compared):
    answer = compared["ham"]
    assert min(value for name, value in answer["terms"].items() if "_loss" in name) > 0
    assert answer["history"] < 1e-4
    assert answer["weights"] < 1e-4


@pytest.mark.slow
def test_a_step_of_the_explainer_on_two_devices_equals_one_on_a_single_device(compared):
    answer = compared["explainer"]
    row = answer["row of explainer"]
    assert min(row["loss"], row["explanation_loss"], row["explanation_mean"]) > 0
    assert answer["history of explainer"] < 1e-5  # the last batch has one image
    assert answer["weights of explainer"] < 1e-5


def test_a_replica_without_images_in_the_last_batch_keeps_its_statistics():
    layer = BatchNormalization()
    layer.build((None, 4, 4, 3))
    layer(tf.zeros((0, 4, 4, 3)), training=True)
    assert layer.moving_mean.numpy().tolist() == [0, 0, 0]
    assert layer.moving_variance.numpy().tolist() == [1, 1, 1]
