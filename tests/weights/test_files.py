"""HDF5 weight files; networks and wrappers: localizers/test_hrcam.py."""

import re
import struct

import h5py
import keras
import numpy as np
import pytest

from kerasloc import weights


@pytest.fixture
def model():
    layers = [keras.layers.Dense(2, name="body"), keras.layers.Dense(1, name="head")]
    return keras.Sequential([keras.Input((3,)), *layers])


@pytest.mark.parametrize("optimizer", [None, "adam"])
def test_arrays_come_back_by_layer_name_without_the_optimizer(
    model, tmp_path, optimizer
):
    if optimizer:
        model.compile(optimizer, "mse")
        model.optimizer.build(model.trainable_variables)
    model.save_weights(tmp_path / "w.weights.h5")
    arrays = weights.read_arrays(tmp_path / "w.weights.h5")
    assert set(arrays) == {"body", "head"}
    np.testing.assert_array_equal(arrays["body"]["0"], model.get_weights()[0])


def test_legacy_files_of_compiled_models_have_the_texts_of_an_optimizer(tmp_path):
    layers = [keras.layers.Dense(1, name=f"layer_{i}") for i in range(9)]
    model = keras.Sequential([keras.Input((1,)), *layers])
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    model.save(tmp_path / "model.h5")
    with h5py.File(tmp_path / "model.h5", "a") as file:  # of a large model
        file["padding"] = np.zeros(1 << 22)
    arrays = weights.read_arrays(tmp_path / "model.h5")
    np.testing.assert_array_equal(arrays["layer_8"]["bias"], [0])


@pytest.mark.parametrize("length", [1000, 1 << 28, (1 << 31) - 1])
@pytest.mark.parametrize("block", [0, 512])
def test_texts_longer_than_their_file_holds_are_refused(tmp_path, length, block):
    path = tmp_path / "w.weights.h5"
    with h5py.File(path, "w", userblock_size=block) as file:
        layer = file.create_group("layers/dense/vars")
        layer.attrs["name"] = "dense"
        layer["0"] = np.zeros(2)
    content = bytearray(path.read_bytes())
    heap = struct.pack("<Q", content.find(b"GCOL\x01") - block)
    struct.pack_into("<I", content, content.find(heap) - 4, length)
    path.write_bytes(content)
    # HDF5 notices small ones itself
    reason = f"(rare|{length} bytes)" if length > 1000 else "(rare|OSError)"
    with pytest.raises(ValueError, match=f"{re.escape(str(path))}.*{reason}"):
        weights.read_arrays(path)


def test_files_without_arrays_are_refused_by_name(model, tmp_path):
    path = tmp_path / "w.weights.h5"
    model.save_weights(path)
    path.write_bytes(path.read_bytes()[:1000])
    empty = tmp_path / "empty.weights.h5"
    keras.Sequential([keras.Input((3,)), keras.layers.Flatten()]).save_weights(empty)
    for file, problem in (
        (tmp_path / "nowhere.h5", "missing"),
        (tmp_path, "missing"),
        (path, "cut short"),
        (empty, "without any"),
    ):
        with pytest.raises(ValueError, match=f"{re.escape(str(file))}.*{problem}"):
            weights.read_arrays(file)


def test_assigned_arrays_are_the_models(model):
    arrays = {
        "body": {"kernel": np.full((3, 2), 2.0), "bias": np.full(2, 3.0)},
        "head": {"0": np.full((2, 1), 4.0), "1": np.full(1, 5.0)},
    }
    weights.assign(model, arrays)
    assert [w.ravel()[0] for w in model.get_weights()] == [2, 3, 4, 5]


def test_every_difference_is_listed_and_nothing_is_assigned(model, unchanged):
    arrays = {
        "body": {"kernel": np.ones((3, 9)), "bias": np.ones(2)},
        "tail": {"kernel": np.ones(1)},
    }
    with unchanged(model), pytest.raises(ValueError, match="1 arrays") as error:
        weights.assign(model, arrays, source="my.h5")
    for text in (
        "my.h5",
        "2 missing: head/kernel, head/bias",
        "1 left over: tail",
        "body/kernel (3, 9) for (3, 2)",
    ):
        assert text in str(error.value)


def test_long_lists_of_differences_are_shortened():
    layers = [keras.layers.Dense(1, name=f"layer_{i}") for i in range(9)]
    model = keras.Sequential([keras.Input((1,)), *layers])
    with pytest.raises(ValueError, match=r"18 missing: .* and 6 more"):
        weights.assign(model, {})
