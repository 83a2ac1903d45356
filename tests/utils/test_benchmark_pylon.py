import importlib
import importlib.util
import os
import pathlib
import sys
import types

import numpy as np
import pytest

SCRIPT = pathlib.Path(__file__).parents[2] / "utils" / "benchmark.py"


@pytest.fixture(scope="module")
def suite():
    spec = importlib.util.spec_from_file_location("benchmark", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.SUITES["pylon"]


@pytest.fixture(scope="module")
def loops(suite):
    return sys.modules[suite.metrics.__module__]


@pytest.fixture(scope="module")
def reading(suite):
    return sys.modules[suite.reading.__module__]


def options(**given):
    tiny = {
        "repeat": 2,
        "backbone": "resnet18",
        "im_size": 32,
        "batch_size": 2,
        "images": 6,
        "map_size": 8,
        "loop_images": 2,
        "files": 1,
        "file_size": 64,
    }
    return types.SimpleNamespace(**{**tiny, **given})


def check(rows):
    """Every row has two rounds of positive numbers, and a ratio if it says of what."""
    for row in rows:
        assert len(row["values"]) == 2
        assert min(row["values"]) > 0
        assert ("ratio" in row) == ("against" in row)
        assert row.get("ratio", 1) > 0


def scramble(model):
    """Draws what training moves: every weight and every moving statistic."""
    rng = np.random.default_rng(0)
    for layer in model.layers:
        for weight in layer.weights:
            if weight.name in ("moving_variance", "gamma"):
                weight.assign(rng.uniform(0.5, 1.5, weight.shape))
            elif weight.name in ("moving_mean", "beta", "bias"):
                weight.assign(0.1 * rng.standard_normal(weight.shape))


def test_the_plain_network_gives_the_same_answers(suite):
    wrapper, _ = suite.both(options(im_size=64), "float32")
    scramble(wrapper.model)
    plain = importlib.import_module("benchmarks.plain").plain_copy(wrapper.model)
    shape = (2, 64, 64, 1)
    images = np.random.default_rng(0).standard_normal(shape, dtype="float32")
    ours, theirs = wrapper.model(images), plain(images)
    for name, answer in ours.items():
        np.testing.assert_allclose(theirs[name], answer, atol=1e-4, rtol=1e-4)
    assert np.ptp(ours["maps"]) > 0.1


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_the_plain_network_has_the_precision_and_no_layer_of_ours(suite, precision):
    import keras

    wrapper, plain = suite.both(options(), precision)
    for own, layer in zip(wrapper.model.layers, plain.layers, strict=True):
        assert not type(layer).__module__.startswith("kerasloc")
        assert layer.compute_dtype == own.compute_dtype
    assert plain.get_layer("conv1").dtype_policy.name == precision
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_a_training_step_changes_what_is_trained(suite):
    wrapper, _ = suite.both(options(), "float32")
    step = suite.training_step(wrapper.model, wrapper.config, options())
    before = [w.numpy() for w in wrapper.model.trainable_variables]
    step()
    after = [w.numpy() for w in wrapper.model.trainable_variables]
    assert any(not np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def test_training_compares_both_ways_in_both_precisions(suite, monkeypatch):
    def both(_, precision):
        wrapper = types.SimpleNamespace(model=f"ours {precision}", config=None)
        return wrapper, f"plain {precision}"

    built = []
    monkeypatch.setattr(suite, "both", both)
    monkeypatch.setattr(suite, "training_step", lambda m, *_: built.append(m) or list)
    rows = suite.training(options())
    check(rows)
    assert built == [
        "plain float32",
        "ours float32",
        "plain mixed_bfloat16",
        "ours mixed_bfloat16",
    ]
    assert [(row["name"], row.get("against"), row.get("aim")) for row in rows] == [
        ("Keras' layers, float32", None, None),
        ("ours, float32", "Keras' layers, float32", 1.2),
        ("Keras' layers, mixed_bfloat16", "Keras' layers, float32", None),
        ("ours, mixed_bfloat16", "Keras' layers, mixed_bfloat16", 1.8),
        ("ours, mixed_bfloat16", "Keras' layers, float32", 1.8),
    ]


def test_inference_compares_optimized_half_precision_with_plain_float32(
    suite, monkeypatch
):
    def model(name):
        return types.SimpleNamespace(predict_on_batch=lambda _: seen.append(name))

    def both(_, precision):
        wrapper = types.SimpleNamespace(
            model=model("ours"),
            optimize=lambda p: types.SimpleNamespace(model=model(f"optimized {p}")),
        )
        return wrapper, model("plain")

    seen = []
    monkeypatch.setattr(suite, "both", both)
    rows = suite.inference(options())
    check(rows)
    half = ["plain", "ours", "optimized mixed_bfloat16"]
    assert seen == ["plain", "ours", "optimized float32", *half] * 3
    assert rows[-1]["name"] == "optimized, mixed_bfloat16"
    assert rows[-1]["against"] == "Keras' layers, float32"
    assert [row.get("aim") for row in rows] == [None] * 6 + [2.4]


@pytest.mark.parametrize("loop", ["every_one", "those_with_boxes"])
def test_the_loops_give_the_numbers_of_the_metrics(loops, loop):
    rng = np.random.default_rng(3)
    maps = 3 * rng.standard_normal((12, 4, 5, 3), dtype="float32")
    count = 20
    boxes = np.stack(
        [
            rng.integers(0, 12, count),
            *rng.uniform(0, 16, (2, count)),
            *rng.uniform(8, 16, (2, count)),
            rng.integers(0, 2, count),  # the last class has none
        ],
        axis=1,
    )
    expected = loops.at_once(maps, boxes, (32, 24))
    found = getattr(loops, loop)(maps, boxes, (32, 24))
    np.testing.assert_allclose(found, expected)
    assert np.isnan(expected[:, 2]).all()
    assert len(np.unique(expected[:, :2])) > 2


def test_there_are_as_many_boxes_as_nih_has(loops):
    boxes = loops.make_boxes(880)
    assert len(boxes) == 984
    np.testing.assert_array_equal(np.bincount(boxes[:, 5].astype(int)), loops.COUNTS)
    assert set(boxes[:, 0]) == set(range(880))
    assert (boxes[:, 1:3] >= 0).all()
    assert (boxes[:, 1:3] + boxes[:, 3:5] <= 256).all()


def test_metrics_are_compared_with_two_loops(suite):
    rows = suite.metrics(options())
    check(rows)
    assert [row["name"] for row in rows] == [
        "loop, 2 of 6 images",
        "loop, maps with boxes only, 2 of 6 images",
        "at once, 6 images",
        "at once, 6 images",
    ]
    assert [row.get("aim") for row in rows] == [None, None, 10, None]
    assert rows[3]["against"] == rows[1]["name"]


def test_reading_is_compared_with_decoding_and_the_published_figure(reading):
    rows = reading.measure(options())
    check(rows)
    decode, resized, augmented, aim = rows
    assert aim["against"] == "the published 86 images/s"
    assert {row["section"] for row in rows} == {"reading, CPU time"}
    assert decode["name"].startswith("decode_png alone, ")
    assert resized["name"] == "64 to 32 px, none"
    assert augmented["name"] == aim["name"] == "64 to 32 px, xray"
    rates = np.array(aim["values"])
    assert aim["ratio"] == pytest.approx(np.median(rates / 86))
    assert aim["aim"] * 86 == pytest.approx(90)


def test_a_turn_of_decoding_and_of_reading_is_the_same_number_of_images(
    reading, tmp_path, monkeypatch
):
    seen = []
    monkeypatch.setattr(reading, "drain", lambda data: seen.append(len(list(data))))
    table = reading.xrays(tmp_path, 3, 32)
    reading.decoding(table)()
    config = reading.pipeline_config(options(batch_size=1), None)
    data = reading.twice(table, config).args[0]
    assert seen == [len(list(data))] == [6]


def test_files_are_as_large_as_chest_x_rays(reading, tmp_path):
    (path,) = reading.xrays(tmp_path, 1, 1024).paths
    assert 400_000 < os.path.getsize(path) < 700_000


@pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity"), reason="processes choose no cores here"
)
def test_one_core_is_one(reading):
    assert len(reading.on_one_core(os.sched_getaffinity, 0)) == 1


def test_reading_runs_on_one_core(reading, monkeypatch):
    monkeypatch.setattr(reading, "on_one_core", lambda *call: call)
    given = options()
    assert reading.reading(given) == (reading.measure, given)
