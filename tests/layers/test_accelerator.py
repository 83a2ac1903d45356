"""What the backend computes on."""

import keras
import pytest

from kerasloc.layers import accelerator


def test_answer_is_that_of_tensorflow(monkeypatch):
    tf = pytest.importorskip("tensorflow")
    for devices in ([], ["GPU:0"]):
        monkeypatch.setattr(
            tf.config, "list_logical_devices", lambda kind, d=devices: d
        )
        assert accelerator.has_accelerator() is bool(devices)


def test_unknown_backend_has_none(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "numpy")
    assert accelerator.has_accelerator() is False
