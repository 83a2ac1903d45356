"""The suite pylon of the benchmark: the compared code computes the same."""

import importlib
import inspect
import os
import sys
import types

import numpy as np
import pytest

SIZES = {"im_size": 32, "images": 6, "map_size": 8, "loop_images": 2}
FILES = {"files": 1, "file_size": 64}


@pytest.fixture(scope="module")
def suite(load_suite):
    return load_suite("pylon")


@pytest.fixture(scope="module")
def loops(suite):
    return sys.modules[suite.metrics.__module__]


@pytest.fixture(scope="module")
def reading(suite):
    return sys.modules[suite.reading.__module__]


@pytest.fixture
def options(suite, quick_options):
    return lambda **sizes: quick_options(suite, **SIZES | FILES | sizes)


def test_the_plain_network_has_the_same_outputs(suite, options, fill_by_rule):
    wrapper, _ = suite.networks(options(im_size=64), "float32")
    fill_by_rule(wrapper.model)
    plain = importlib.import_module("benchmarks.plain").plain_copy(wrapper.model)
    shape = (2, 64, 64, 1)
    images = np.random.default_rng(0).standard_normal(shape, dtype="float32")
    expected, outputs = wrapper.model(images), plain(images)
    for name, values in expected.items():
        np.testing.assert_allclose(outputs[name], values, atol=1e-4, rtol=1e-4)
    assert np.ptp(expected["maps"]) > 0.1


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_the_plain_network_has_the_precision_and_only_keras_layers(
    suite, options, precision
):
    import keras

    wrapper, plain = suite.networks(options(), precision)
    for original, layer in zip(wrapper.model.layers, plain.layers, strict=True):
        assert not type(layer).__module__.startswith("kerasloc")
        assert layer.compute_dtype == original.compute_dtype
    assert plain.get_layer("conv1").dtype_policy.name == precision
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_a_training_step_changes_the_trained_weights(suite, options, changes):
    wrapper, _ = suite.networks(options(), "float32")
    step = suite.training_step(wrapper.model, wrapper.config, options())
    assert changes(step, wrapper.model.trainable_variables)


def test_training_and_inference_compare_both_networks_in_both_precisions(
    suite, options, comparisons
):
    calls, built = [], []

    def model(name):
        return types.SimpleNamespace(
            name=name, predict_on_batch=lambda _: calls.append(name)
        )

    def build(_, precision):
        wrapper = types.SimpleNamespace(
            model=model("ours"),
            config=None,
            optimize=lambda p: types.SimpleNamespace(model=model(f"optimized {p}")),
        )
        built.append(precision)
        return wrapper, model("plain")

    def step(network, *_):
        built.append(network.name)
        return list

    plain, plain_half = "Keras' layers, float32", "Keras' layers, mixed_bfloat16"
    assert comparisons(suite.training(options(), build, step)) == [
        (plain, None, None),
        ("ours, float32", plain, 1.2),
        (plain_half, plain, None),
        ("ours, mixed_bfloat16", plain_half, 1.8),
        ("ours, mixed_bfloat16", plain, 1.8),
    ]
    pair = ["plain", "ours"]
    assert built == ["float32", *pair, "mixed_bfloat16", *pair]
    assert comparisons(suite.inference(options(), build)) == [
        (plain, None, None),
        ("ours, float32", plain, None),
        ("optimized, float32", plain, None),
        (plain_half, plain, None),
        ("ours, mixed_bfloat16", plain_half, None),
        ("optimized, mixed_bfloat16", plain_half, None),
        ("optimized, mixed_bfloat16", plain, 2.4),
    ]
    once = [*pair, "optimized float32", *pair, "optimized mixed_bfloat16"]
    assert calls == 3 * once


@pytest.mark.parametrize("loop", ["every_map", "maps_with_boxes"])
def test_the_loops_compute_the_numbers_of_the_metrics(loops, loop):
    rng = np.random.default_rng(3)
    maps = 3 * rng.standard_normal((12, 4, 5, 3), dtype="float32")
    count = 20
    columns = [
        rng.integers(0, 12, count),
        *rng.uniform(0, 16, (2, count)),
        *rng.uniform(8, 16, (2, count)),
        rng.integers(0, 2, count),  # the last class has no box
    ]
    boxes = np.stack(columns, axis=1)
    expected = loops.at_once(maps, boxes, (32, 24))
    np.testing.assert_allclose(getattr(loops, loop)(maps, boxes, (32, 24)), expected)
    assert np.isnan(expected[:, 2]).all()
    assert len(np.unique(expected[:, :2])) > 2


def test_there_are_as_many_boxes_as_in_nih(loops):
    boxes = loops.make_boxes(880)
    assert len(boxes) == 984
    np.testing.assert_array_equal(np.bincount(boxes[:, 5].astype(int)), loops.COUNTS)
    assert set(boxes[:, 0]) == set(range(880))
    assert (boxes[:, 1:3] >= 0).all()
    assert (boxes[:, 1:3] + boxes[:, 3:5] <= 256).all()


def test_metrics_are_compared_with_two_loops(suite, options, comparisons):
    loop, lean = "loop, 2 of 6 images", "loop, maps with boxes only, 2 of 6 images"
    assert comparisons(suite.metrics(options())) == [
        (loop, None, None),
        (lean, loop, None),
        ("at once, 6 images", loop, 10),
        ("at once, 6 images", lean, None),
    ]


def test_reading_is_compared_with_decoding_and_the_published_figure(
    reading, options, comparisons
):
    rows = reading.measure(options())
    (decode, *_), *compared = comparisons(rows)
    assert decode.startswith("decode_png alone, ")
    published = "the published 86 images/s"
    assert compared == [
        ("64 to 32 px, none", decode, None),
        ("64 to 32 px, xray", decode, None),
        ("64 to 32 px, xray", published, pytest.approx(90 / 86)),
    ]
    assert {row["section"] for row in rows} == {"reading, CPU time"}
    rates = np.array(rows[-1]["values"])
    assert rows[-1]["ratio"] == pytest.approx(np.median(rates / 86))


def test_decoding_and_reading_take_the_same_number_of_images(
    reading, options, tmp_path
):
    table = reading.xrays(tmp_path, 3, 32)
    config = reading.pipeline_config(options(batch_size=1), None)
    datasets = reading.decoded(table), reading.twice(table, config)
    assert [len(list(data)) for data in datasets] == [6, 6]


def test_files_are_as_large_as_chest_x_rays(reading, tmp_path):
    (path,) = reading.xrays(tmp_path, 1, 1024).paths
    assert 400_000 < os.path.getsize(path) < 700_000


@pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity"), reason="processes choose no cores here"
)
def test_one_core_is_one(reading):
    assert len(reading.on_one_core(os.sched_getaffinity, 0)) == 1


def test_reading_runs_through_the_function_for_one_core(reading, options):
    settings = options()
    call = reading.reading(settings, lambda *call: call)
    assert call == (reading.measure, settings)
    assert inspect.signature(reading.reading).parameters["run"].default is (
        reading.on_one_core
    )
