"""The suite cams of the benchmark: the loops compute the same maps."""

import functools

import keras
import numpy as np
import pytest

from kerasloc import cams

COUNT = 6  # channels of the layer
pytestmark = pytest.mark.usefixtures("eager")


@pytest.fixture(scope="module")
def suite(load_suite):
    return load_suite("cams")


@pytest.fixture
def options(suite, quick_options):
    return functools.partial(quick_options, suite, size=16)


@pytest.fixture
def network(suite):
    """Function that builds a network of two convolutions."""

    def build(options):
        keras.utils.set_random_seed(0)
        image = keras.Input((options.size, options.size, 3))
        conv = keras.layers.Conv2D(COUNT, 5, 4, "same", activation="relu")
        x = keras.layers.Identity(name=suite.LAYER)(conv(image))
        maps = keras.layers.Conv2D(suite.CLASSES, 1, bias_initializer="ones")(x)
        logits = keras.layers.GlobalAveragePooling2D()(maps)
        return keras.Model(image, {"logits": logits, "maps": maps})

    return build


@pytest.mark.parametrize(
    ("loop", "method"),
    [("masked_one_by_one", "scorecam"), ("ablated_one_by_one", "ablationcam")],
)
def test_one_channel_at_a_time_gives_the_same_map(
    suite, network, options, loop, method
):
    model = network(options())
    image = np.random.default_rng(0).random((16, 16, 3), np.float32)
    cut, index = cams.cut(model, suite.LAYER), 3
    logits = getattr(suite, loop)(cut, image)(COUNT)
    assert logits.shape == (COUNT, suite.CLASSES)
    features = cut.encode(image[None])[0]
    if method == "scorecam":
        expected = cams.ScoreCAM.combine(features, logits[None, :, index])
    else:
        whole = cut.whole.predict_on_batch(image[None])[:, index]
        expected = cams.AblationCAM.combine(features, whole, logits[None, :, index])
    maps = cams.METHODS[method](model, suite.LAYER).maps(image, index)
    np.testing.assert_allclose(maps, expected[0], atol=1e-5)
    assert np.ptp(logits[:, index]) > 1e-3


def test_every_method_is_timed(suite, network, options, comparisons):
    rows = suite.methods(options(), network)
    assert comparisons(rows) == [(name, None, None) for name in cams.METHODS]
    fast, slow = ["methods, 16 px, 2 at once"], ["methods, 16 px, 1 at once"]
    assert [row["section"] for row in rows] == 8 * fast + 2 * slow
    assert [len(row["values"]) for row in rows] == [2] * 8 + [1] * 2


def test_all_classes_are_compared_with_a_call_for_each(
    suite, network, options, comparisons
):
    slow = "20 classes, 20 calls"
    rows = suite.classes(options(repeat=1), network)
    expected = [(slow, None, None), ("20 classes, one call", slow, None)]
    assert comparisons(rows) == expected
    assert {row["section"] for row in rows} == {"gradcam, 16 px, 2 at once"}


def test_channels_one_at_a_time_are_scaled_up(suite, network, options, comparisons):
    clock = iter(range(100))  # every call takes 1 s
    race = functools.partial(suite.Race, clock=clock.__next__)
    rows = suite.channels(options(), network, race)
    slow = "one at a time, 2 of 6 channels scaled up"
    assert comparisons(rows) == [
        (slow, None, None),
        ("as it is", slow, 1.5),
        (slow, None, None),
        ("as it is", slow, 10),
    ]
    names = [row["section"] for row in rows]
    assert names == 2 * ["scorecam, 16 px"] + 2 * ["ablationcam, 16 px"]
    assert [row["median"] for row in rows] == pytest.approx([3000, 1000] * 2)
    assert [row["ratio"] for row in rows[1::2]] == pytest.approx([3, 3])
