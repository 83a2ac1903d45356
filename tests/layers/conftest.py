"""What tests of layers share."""

import keras
import numpy as np
import pytest


@pytest.fixture
def tf():
    """TensorFlow, whose tapes, graphs and strategies a test needs."""
    if keras.backend.backend() != "tensorflow":
        pytest.skip("the tapes, graphs and strategies are TensorFlow's")
    return pytest.importorskip("tensorflow")


@pytest.fixture
def half_precision():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy(before)


@pytest.fixture
def reloaded(tmp_path):
    """Function that saves and loads a model; its outputs stay the same."""

    def reload(model, inputs):
        model.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        outputs = loaded.predict_on_batch(inputs), model.predict_on_batch(inputs)
        keras.tree.map_structure(np.testing.assert_array_equal, *outputs)
        return loaded

    return reload
