"""Accelerators and replicas here; two replicas: tests/training/two_devices.py."""

import keras
import numpy as np
import pytest

from kerasloc.layers import has_accelerator, replicas, sum_over_replicas


@pytest.mark.parametrize("devices", [[], ["GPU:0"]])
def test_the_accelerator_is_that_of_the_backend(tf, monkeypatch, devices):
    assert has_accelerator() is bool(tf.config.list_logical_devices("GPU"))
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: devices)
    assert has_accelerator() is bool(devices)
    assert has_accelerator("numpy") is False


def test_without_a_strategy_values_stay_as_they_are():
    values = keras.ops.convert_to_tensor([1.0, -2.0, 0.5])
    assert replicas() == 1
    assert sum_over_replicas(values) is values


def test_a_strategy_of_one_device_changes_nothing(tf):
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    values = tf.constant([1.0, -2.0])
    with strategy.scope():
        assert replicas() == 1
        np.testing.assert_array_equal(sum_over_replicas(values), values)  # across
    inside = strategy.run(lambda: sum_over_replicas(values))
    np.testing.assert_array_equal(inside, values)
