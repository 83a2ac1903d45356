"""The pipeline against what the published one measured, and at its edges."""

import pathlib

import numpy as np
import pytest

from kerasloc.postprocess import pipeline

GOLDENS = pathlib.Path(__file__).parents[1] / "goldens"
FILES = ("postprocessing", "postprocessing_b")
SETTINGS = {
    "default": {},
    "local_small": {"focal_scope": "local", "maxima_areas": "small"},
    "local_large": {"focal_scope": "local", "maxima_areas": "large"},
    "multiply": {"merge_type": "multiply"},
    "alpha02_roi70": {"merge_alpha": 0.2, "roi_percentile": 70},
    "threshold": {"filter_type": "threshold"},
}
KEYS = ["blurred", "low", "low_resized", "edges", "roi", "bounds", "focal_points"]
KEYS += ["segmented", "full_segment", "merged", "result"]


def inputs(size=(48, 64), channels=3, seed=0):
    """Image, smooth low CAM with one peak, and a high CAM with a bright square."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[:6, :8]
    low = 5 - (rows - 2.2) ** 2 - (cols - 3.1) ** 2
    high = 0.02 * rng.standard_normal(size)
    high[size[0] // 4 : size[0] // 2, size[1] // 4 : size[1] // 2] += 1
    shape = (*size, channels) if channels else size
    return rng.random(shape, np.float32), low, high


def computed(file, setting):
    """Computed and published steps, by the same names."""
    golden = np.load(GOLDENS / f"{file}.npz")
    steps = pipeline(golden["img"], golden["low"], golden["high"], **SETTINGS[setting])
    named = {key: f"{setting}/{key}" for key in KEYS}
    return steps, {k: golden[name] for k, name in named.items() if name in golden}


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("setting", SETTINGS)
def test_steps_equal_the_published_ones(file, setting):
    steps, published = computed(file, setting)
    masks = {"roi", "segmented", "full_segment"} & set(published)
    assert {"segmented", "full_segment"} <= masks
    for key in masks:
        assert steps[key].dtype == bool
        np.testing.assert_array_equal(steps[key], published[key] > 0, key)
    np.testing.assert_allclose(steps["bounds"], published["bounds"], atol=1e-9)
    points = [set(map(tuple, s["focal_points"])) for s in (steps, published)]
    assert points[0] == points[1]
    if np.isnan(published["merged"]).any():  # a segment of ones has no min-max there
        low = steps["low_resized"].astype(float)
        published["merged"] = (low - low.min()) / np.ptp(low)
    # published rounded to 8 bits
    np.testing.assert_allclose(steps["merged"], published["merged"], atol=2 / 255)


@pytest.mark.parametrize("file", FILES)
def test_maps_and_results_equal_the_published_ones(file):
    steps, published = computed(file, "default")
    for key in ("blurred", "edges", "low_resized"):
        np.testing.assert_allclose(steps[key], published[key], atol=1e-6)
    # The result by percentage fills pixels that the published one leaves out.
    crop = steps["result"].any(axis=-1)
    assert steps["merged"][crop].min() > steps["merged"][~crop].max()
    assert published["result"].any(axis=-1).sum() < crop.sum() <= 0.15 * crop.size
    steps, published = computed(file, "threshold")
    differs = (steps["result"] != published["result"]).any(axis=-1)
    assert differs.mean() < 0.005


@pytest.mark.parametrize("channels", [None, 1, 3])
@pytest.mark.parametrize("size", [(48, 64), (64, 48), (33, 97), (224, 224)])
def test_steps_have_the_published_names_in_order_and_the_size_of_the_image(
    size, channels
):
    img, low, high = inputs(size, channels)
    steps = pipeline(img, low, high)
    assert list(steps) == KEYS
    assert steps["result"].shape == img.shape
    assert {steps[key].shape for key in ("roi", "merged", "edges")} == {size}
    assert all(isinstance(bound, float) for bound in steps["bounds"])
    assert 0 <= steps["merged"].min() < steps["merged"].max() <= 1


def test_axes_of_length_1_change_nothing_and_inputs_are_not_changed():
    arrays = img, low, high = inputs()
    plain = pipeline(img, low, high)
    wrapped = pipeline(img[None], low[None, ..., None], high[None])
    for key in KEYS:
        np.testing.assert_array_equal(plain[key], wrapped[key])
    for values, copy in zip(arrays, inputs(), strict=True):
        np.testing.assert_array_equal(values, copy)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_integer_images_are_brought_to_the_unit_range(kind):
    img, low, high = inputs()
    most = np.iinfo(kind).max
    steps = pipeline((img * most).astype(kind), low, high, filter_percentage=100)
    np.testing.assert_allclose(steps["result"], img, atol=1 / 255)


@pytest.mark.parametrize("scope", ["global", "local"])
def test_a_negative_low_map_is_refined_as_its_shifted_self(scope):
    img, low, high = inputs()
    steps = pipeline(img, low - 100, high - 100, focal_scope=scope)  # no warning
    assert steps["segmented"].any()
    shifted = pipeline(img, low, high, focal_scope=scope)
    np.testing.assert_allclose(steps["merged"], shifted["merged"], atol=1e-4)


def test_confining_cuts_the_full_segment_to_the_region():
    img, low, high = inputs(seed=3)
    free = pipeline(img, low, high)
    confined = pipeline(img, low, high, confine_to_roi=True)
    assert (free["full_segment"] & ~free["roi"]).any()
    expected = free["full_segment"] & free["roi"]
    np.testing.assert_array_equal(confined["full_segment"], expected)


def test_a_flat_high_map_leaves_the_low_map_alone_with_a_warning():
    img, low, high = inputs()
    with pytest.warns(UserWarning, match="low CAM alone is refined") as caught:
        steps = pipeline(img, low, np.full_like(high, 3.0))
    assert caught[0].filename == __file__
    assert list(steps) == KEYS
    assert steps["bounds"] == (0.0, 0.0)
    assert not steps["segmented"].any()
    assert not steps["full_segment"].any()
    low = steps["low_resized"].astype(float)
    np.testing.assert_allclose(steps["merged"], (low - low.min()) / np.ptp(low))


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize(
    ("position", "message"),
    [
        (0, "images.*3 NaN or infinite"),
        (1, "low CAM.*1 NaN or infinite"),
        (2, "high CAM.*1 NaN or infinite"),
    ],
)
def test_values_that_are_not_finite_are_refused(position, message, value):
    arrays = inputs()
    arrays[position][1, 1] = value
    with pytest.raises(ValueError, match=message):
        pipeline(*arrays)


@pytest.mark.parametrize("position", [0, 1, 2])
def test_two_images_at_once_are_refused(position):
    arrays = [values[None] for values in inputs()]
    arrays[position] = np.repeat(arrays[position], 2, axis=0)
    with pytest.raises(ValueError, match=r"Received: .*shape \(2"):
        pipeline(*arrays)


def test_images_and_maps_that_do_not_fit_are_refused():
    img, low, high = inputs()
    for arrays, message in (
        ((img, np.full_like(low, 7), high), "low CAM.*7 everywhere"),
        ((img, low, high[1:]), r"\(48, 64, 3\), high CAM of 47 x 64"),
        ((img, high, low), "img, low, high"),
        ((img * 255, low, high), "Received: values from .* to 255"),
    ):
        with pytest.raises(ValueError, match=message):
            pipeline(*arrays)
