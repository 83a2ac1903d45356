"""What HAM answers, over a network of a moment; files: test_ham_files."""

import keras
import numpy as np
import pytest

import kerasloc
from kerasloc.layers import SoftMask
from kerasloc.metrics import resize_maps

SIDES = (4, 6)  # of the features


def assert_near(answer, expected, share=1e-5):
    limit = share * max(1, np.abs(expected).max())
    np.testing.assert_allclose(answer, expected, rtol=0, atol=limit)


@pytest.fixture(scope="module")
def wrapper(make):
    return make("ham")


@pytest.fixture(scope="module")
def raw(wrapper, x):
    """What the bare network answers to images as published."""
    answer = wrapper.model.predict_on_batch((x - 0.5) / 0.5)
    return {key: np.asarray(value) for key, value in answer.items()}


# Classification


def test_images_are_normalized_by_a_half(wrapper, x, raw):
    assert (wrapper.config.mean, wrapper.config.std) == ((0.5,), (0.5,))
    assert kerasloc.HAM.normalization(3)["mean"] == (0.5,)
    assert_near(wrapper.logits(x), raw["logits"])


def test_the_abnormality_has_a_probability_of_its_own(wrapper, x, raw):
    expected = 1 / (1 + np.exp(-raw["abnormality_logits"][:, 0]))
    answer = wrapper.predict_abnormality(x)
    assert answer.shape == (3,)
    assert_near(answer, expected)
    one = wrapper.predict_abnormality(x[1])
    assert type(one) is float
    assert one == pytest.approx(expected[1], abs=1e-5)


# Maps and heat maps


def test_maps_are_raw_and_heat_maps_refined(wrapper, x, raw):
    assert_near(wrapper.maps(x), raw["maps"])
    assert raw["maps"].max() > 0.1
    assert_near(wrapper.refined_maps(x), raw["refined_maps"], 1e-3)
    assert_near(wrapper.heatmaps(x), raw["refined_maps"], 1e-3)
    assert raw["refined_maps"].max() > 0.99
    other = wrapper.heatmaps(x, "mass", size=(40, 50))
    assert_near(other, resize_maps(raw["refined_maps"][..., 1], (40, 50)), 1e-3)
    assert 0 <= other.min() < other.max() <= 1


def test_the_abnormality_has_maps_and_heat_maps(wrapper, x, raw):
    maps = wrapper.abnormality_maps(x)
    assert_near(maps, raw["abnormality_maps"][..., 0])
    assert maps.shape == (3, *SIDES)
    heat = wrapper.abnormality_heatmaps(x)
    assert_near(heat, raw["abnormality_refined_maps"][..., 0], 1e-3)
    small = wrapper.abnormality_heatmaps(x, (16, 20))
    refined = raw["abnormality_refined_maps"][..., 0]
    assert_near(small, resize_maps(refined, (16, 20)), 1e-3)


# Maps of one class per image


def test_the_high_map_is_refined_and_the_low_one_raw(wrapper, x, raw):
    rows = np.arange(3)
    for asked, classes in (
        ([2, "edema", 1], [2, 0, 1]),
        ("mass", [1, 1, 1]),
        (None, raw["logits"].argmax(axis=1)),
    ):
        high, low, _ = wrapper.generate_cams(x, asked)
        assert_near(high, raw["refined_maps"][rows, ..., classes], 1e-3)
        assert_near(low, raw["maps"][rows, ..., classes])


# Boxes


def brightness(input_shape, classes, backbone="resnet50", **options):
    """A network by hand: class 0 is where it is bright, class 1 where dark."""
    image = keras.Input(input_shape)
    bright = keras.layers.AveragePooling2D(8)(image)
    dark = keras.layers.Rescaling(-1.0, 1.0)(bright)
    maps = keras.layers.Concatenate(dtype="float32")([bright, dark])
    outputs = {}
    for prefix, attention in (("", maps), ("abnormality_", bright)):
        outputs[f"{prefix}maps"] = attention
        outputs[f"{prefix}logits"] = keras.layers.GlobalAveragePooling2D()(attention)
        outputs[f"{prefix}refined_maps"] = SoftMask(input_shape[:2])(attention)
    return keras.Model(image, outputs)


@pytest.fixture
def by_hand(registered_as):
    with registered_as("ham", brightness):
        return kerasloc.HAM(num_classes=2, im_size=64, channels=1, mean=0, std=1)


@pytest.fixture
def spots():
    """Black, with a bright square, one of 45 % and one of 30 % of its brightness."""
    image = np.zeros((64, 64, 1), "float32")
    image[8:24, 40:56], image[40:56, 8:24], image[40:56, 40:56] = 1, 0.45, 0.3
    return image


def test_boxes_are_of_refined_maps(by_hand, spots):
    rows = by_hand.boxes(spots, custom_class=0)
    assert rows.shape == (2, 6)  # half of the maximum would be one box
    found = {tuple(int(v) for v in row[:2] > 30): row for row in rows}
    for place, (x, y) in {(1, 0): (40, 8), (0, 1): (8, 40)}.items():
        left, top, width, height, index, score = found[place]
        assert (left, top) == pytest.approx((x, y), abs=6)
        assert (left + width, top + height) == pytest.approx((x + 16, y + 16), abs=6)
        assert index == 0
        assert 0.5 < score <= 1
    heat = by_hand.heatmaps(spots, 0)
    assert heat[16, 48] > 0.99
    assert heat[48, 48] < 0.01


def test_boxes_are_of_the_asked_class_or_the_likeliest(by_hand, spots):
    one = by_hand.boxes(spots)
    assert set(one[:, 4]) == {1.0}  # it is mostly dark
    x, y, w, h = one[0, :4]
    assert (x, y, x + w, y + h) == (0, 0, 64, 64)
    bright, dark = by_hand.boxes(np.stack([1 - spots, spots]))
    assert set(bright[:, 4]) == {0.0}
    assert set(dark[:, 4]) == {1.0}


def test_an_even_image_has_no_boxes(by_hand):
    flat = np.full((64, 64, 1), 0.5, "float32")
    assert by_hand.boxes(flat, custom_class=0).shape == (0, 6)
    assert by_hand.heatmaps(flat).max() < 1e-6
    assert by_hand.abnormality_heatmaps(flat).max() < 1e-6


def test_the_post_processing_refines_the_masks(by_hand, spots):
    steps = by_hand.refine(spots, 0)
    assert all(value.shape == (64, 64) for name, value in steps.items() if "m" in name)
    assert steps["merged"][16, 48] > steps["merged"][2, 2]
