"""Training on two devices equals training on one."""

import json
import pathlib
import subprocess
import sys

import pytest
import tensorflow as tf

from kerasloc.layers import BatchNormalization

PROGRAM = pathlib.Path(__file__).parent / "two_devices.py"


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """Output of the program with two virtual devices."""
    folder = tmp_path_factory.mktemp("two_devices")
    words = [sys.executable, str(PROGRAM), str(folder), "others,ham,explainer"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    output = json.loads(done.stdout.splitlines()[-1])
    assert output["replicas"] == 2
    return output


@pytest.mark.slow
def test_a_step_of_hrcam_on_two_devices_equals_one_on_a_single_device(compared):
    output = compared["others"]
    assert output["history"] < 1e-5  # losses, scores and rate of both models
    assert output["weights"] < 1e-5
    assert output["history of maps"] < 1e-5
    assert output["weights of maps"] < 1e-5


@pytest.mark.slow
def test_a_step_of_ham_on_two_devices_equals_one_on_a_single_device(compared):
    output = compared["ham"]
    assert min(value for name, value in output["terms"].items() if "_loss" in name) > 0
    assert output["history"] < 1e-4
    assert output["weights"] < 1e-4


@pytest.mark.slow
def test_a_step_of_the_explainer_on_two_devices_equals_one_on_a_single_device(compared):
    output = compared["explainer"]
    row = output["row of explainer"]
    assert min(row["loss"], row["explanation_loss"], row["explanation_mean"]) > 0
    assert output["history of explainer"] < 1e-5  # the last batch has one image
    assert output["weights of explainer"] < 1e-5


def test_a_replica_without_images_in_the_last_batch_keeps_its_statistics():
    layer = BatchNormalization()
    layer.build((None, 4, 4, 3))
    layer(tf.zeros((0, 4, 4, 3)), training=True)
    assert layer.moving_mean.numpy().tolist() == [0, 0, 0]
    assert layer.moving_variance.numpy().tolist() == [1, 1, 1]
