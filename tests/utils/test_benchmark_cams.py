"""utils/benchmarks/cams.py: the plainer ways answer as ours do."""

import importlib.util
import pathlib
import types

import keras
import numpy as np
import pytest

from kerasloc import cams

SCRIPT = pathlib.Path(__file__).parents[2] / "utils" / "benchmark.py"
COUNT = 6  # channels of the layer
pytestmark = pytest.mark.usefixtures("eager")


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("benchmark", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def suite(tool):
    return tool.SUITES["cams"]


@pytest.fixture
def small(suite, monkeypatch):
    """The suite with a network of two convolutions."""

    def network(options):
        keras.utils.set_random_seed(0)
        image = keras.Input((options.size, options.size, 3))
        conv = keras.layers.Conv2D(COUNT, 5, 4, "same", activation="relu")
        x = keras.layers.Identity(name=suite.LAYER)(conv(image))
        maps = keras.layers.Conv2D(suite.CLASSES, 1, bias_initializer="ones")(x)
        logits = keras.layers.GlobalAveragePooling2D()(maps)
        return keras.Model(image, {"logits": logits, "maps": maps})

    monkeypatch.setattr(suite, "network", network)
    return suite


def options(suite, **given):
    usual = {key.replace("-", "_"): value for key, (value, _) in suite.OPTIONS.items()}
    return types.SimpleNamespace(
        **{**usual, **suite.QUICK, "size": 16, "repeat": 2, **given}
    )


def lines(rows):
    """Section, name, what it is compared with, and the ratio hoped for."""
    for row in rows:
        assert len(row["values"]) in (1, 2)
        assert min(row["values"]) > 0
        assert row.get("ratio", 1) > 0
    return [
        (row["section"], row["name"], row.get("against"), row.get("aim"))
        for row in rows
    ]


@pytest.mark.parametrize(
    ("one_by_one", "method"),
    [("seen_one_by_one", "scorecam"), ("ablated_one_by_one", "ablationcam")],
)
def test_one_channel_at_a_time_gives_the_same_map(small, one_by_one, method):
    model = small.network(options(small))
    image = np.random.default_rng(0).random((16, 16, 3), np.float32)
    part, index = cams.cut(model, small.LAYER), 3
    logits = getattr(small, one_by_one)(part, image)(COUNT)
    assert logits.shape == (COUNT, small.CLASSES)
    features = part.encode(image[None])[0]
    if method == "scorecam":
        expected = cams.ScoreCAM.combine(features, logits[None, :, index])
    else:
        whole = part.whole.predict_on_batch(image[None])[:, index]
        expected = cams.AblationCAM.combine(features, whole, logits[None, :, index])
    found = cams.METHODS[method](model, small.LAYER).maps(image, index)
    np.testing.assert_allclose(found, expected[0], atol=1e-5)
    assert np.ptp(logits[:, index]) > 1e-3


def test_every_method_is_timed(small):
    rows = small.methods(options(small))
    assert lines(rows) == [
        (f"methods, 16 px, {1 if name in small.SLOW else 2} at once", name, None, None)
        for name in cams.METHODS
    ]
    assert [len(row["values"]) for row in rows] == [2] * 8 + [1] * 2


def test_all_classes_are_compared_with_a_call_for_each(small):
    section, slow = "gradcam, 16 px, 2 at once", "20 classes, 20 calls"
    assert lines(small.classes(options(small, repeat=1))) == [
        (section, slow, None, None),
        (section, "20 classes, one call", slow, None),
    ]


def test_channels_one_at_a_time_are_scaled_up(small, monkeypatch):
    clock = iter(range(100))
    usual = small.Race
    monkeypatch.setattr(small, "Race", lambda name: usual(name, clock=clock.__next__))
    rows = small.channels(options(small))  # 2 of 6 channels; every work takes 1 s
    slow = "one at a time, 2 of 6 channels scaled up"
    assert lines(rows) == [
        (f"{name}, 16 px", *row)
        for name, aim in (("scorecam", 1.5), ("ablationcam", 10))
        for row in ((slow, None, None), ("as it is", slow, aim))
    ]
    assert [row["median"] for row in rows] == pytest.approx([3000, 1000] * 2)
    assert [row["ratio"] for row in rows[1::2]] == pytest.approx([3, 3])


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ("30", "multiples of 32"),
        ("32", "'stage5', whose output is (None, 1, 1, 512)"),
        ("0", "Numbers are 1 or more."),
    ],
)
def test_a_size_that_does_not_fit_is_an_error_with_the_reason(
    tool, capsys, size, message
):
    with pytest.raises(SystemExit, match="2"):
        tool.main(["cams", "--only", "channels", "--size", size])
    assert message in capsys.readouterr().err
