"""Sums over replicas where there is one; several: tests/training/two_devices.py."""

import keras
import numpy as np
import pytest

from kerasloc.layers import replicas, sum_over_replicas


@pytest.fixture
def tf():
    if keras.backend.backend() != "tensorflow":
        pytest.skip("the strategies are TensorFlow's")
    return pytest.importorskip("tensorflow")


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


def test_several_replicas_are_asked_for_the_sum(tf, monkeypatch):
    class Context:
        num_replicas_in_sync = 3

        def all_reduce(self, how, values):
            assert how == tf.distribute.ReduceOp.SUM
            return 3 * values

    monkeypatch.setattr(tf.distribute, "get_replica_context", Context)
    monkeypatch.setattr(tf.distribute, "get_strategy", Context)
    np.testing.assert_array_equal(sum_over_replicas(tf.constant([1.0, 2.0])), [3, 6])
    assert replicas() == 3


def test_other_backends_have_one_replica(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    values = np.ones(2)
    assert replicas() == 1
    assert sum_over_replicas(values) is values
