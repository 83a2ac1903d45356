"""What the explainer-classifier answers, by a network of a moment."""

import keras
import numpy as np
import pytest

from kerasloc.metrics import resize_maps

NAMES = ("kein Vieleck", "étoile à cinq", "zèbre")
SIZE = (32, 48)
LOW = (8, 6)  # of the deepest features of the network by hand
MERGED = "merged"


@pytest.fixture(scope="module")
def wrapper(make):
    return make("explainer", class_names=NAMES)


def pooled(images):
    """The means of an image's cells, (n, *LOW)."""
    return images[..., 0].reshape(-1, LOW[0], 4, LOW[1], 8).mean(axis=(2, 4))


# Classification


def test_an_image_has_one_class_and_is_not_normalized(wrapper):
    assert not wrapper.config.multi_label
    assert (wrapper.config.mean, wrapper.config.std) == ((0.0,), (1.0,))


# Explanations


def test_explanations_have_the_images_size(wrapper, x):
    np.testing.assert_array_equal(wrapper.explanations(x), x[..., 0])


@pytest.mark.parametrize("call", ["maps", "heatmaps"])
def test_maps_of_every_class_are_the_explanation(wrapper, x, call):
    ask = getattr(wrapper, call)
    for classes, count in ((None, 3), ([2, "étoile à cinq"], 2), (["zèbre"], 1)):
        maps = ask(x, classes)
        assert maps.shape == (3, *SIZE, count)
        np.testing.assert_array_equal(maps, np.repeat(x, count, axis=-1))
    for one in (0, np.int64(2), "kein Vieleck"):
        np.testing.assert_array_equal(ask(x, one), x[..., 0])


def test_heat_maps_come_in_any_size_and_are_not_stretched(wrapper, x):
    gray = 0.25 + 0.5 * x
    heat = wrapper.heatmaps(gray, size=(20, 30))
    expected = resize_maps(gray[..., 0], (20, 30))
    assert heat.shape == (3, 20, 30, 3)
    np.testing.assert_allclose(heat, np.stack(3 * [expected], axis=-1), atol=1e-6)
    assert heat.min() >= 0.25


def test_black_explanations_are_told_of(wrapper, x):
    dark = np.concatenate([x[:1], 0 * x[1:2]])
    with pytest.warns(UserWarning, match=r"its heat map is 0\. Images: \[1\]"):
        heat = wrapper.heatmaps(dark)
    assert not heat[1].any()


@pytest.mark.parametrize("asked", [None, 1, "zèbre", [2, "étoile à cinq", 0]])
def test_the_low_map_is_the_mean_pooled_high_one(wrapper, x, asked):
    high, low, _ = wrapper.generate_cams(x, asked)
    np.testing.assert_array_equal(high, x[..., 0])
    assert low.shape == (3, *LOW)
    np.testing.assert_allclose(low, pooled(x), rtol=1e-5)


@pytest.mark.parametrize(
    ("asked", "classes"),
    [(1, [1, 1, 1]), ("zèbre", [2, 2, 2]), ([2, "étoile à cinq", 0], [2, 1, 0])],
)
def test_grad_cam_weighs_the_deepest_features_by_their_class(
    wrapper, x, asked, classes
):
    deep = keras.Model(
        wrapper.model.input, wrapper.model.get_layer("deep_explained").output
    )
    kernel = np.asarray(wrapper.model.get_layer("fc").kernel)
    weights = kernel[:, classes].T / (LOW[0] * LOW[1])  # the head takes the mean
    expected = np.einsum("nrck,nk->nrc", np.asarray(deep(x)), weights)
    answer = wrapper.grad_cam(x, asked)
    np.testing.assert_allclose(answer, np.maximum(expected, 0), rtol=1e-4, atol=1e-7)
    assert answer.max() > 0


def test_grad_cam_tells_classes_apart_and_takes_the_predicted_one(wrapper, x):
    each = [wrapper.grad_cam(x, index) for index in range(3)]
    assert not np.array_equal(each[0], each[1])
    assert not np.array_equal(each[1], each[2])
    rows, predicted = np.arange(3), wrapper.predict(x)
    expected = np.stack(each)[predicted, rows]
    np.testing.assert_allclose(wrapper.grad_cam(x), expected, atol=1e-6)


# Boxes and post-processing


@pytest.fixture
def spots():
    """Nearly black, with a bright rectangle and a smaller, darker one."""
    image = np.full((*SIZE, 1), 0.1, "float32")
    image[4:20, 8:32], image[24:28, 36:44] = 0.9, 0.6
    return image


def test_boxes_are_around_what_is_explained(wrapper, spots):
    rows = wrapper.boxes(spots, custom_class="étoile à cinq")
    expected = [[8, 4, 24, 16, 1, 0.9], [36, 24, 8, 4, 1, 0.6]]
    np.testing.assert_allclose(rows, expected, rtol=1e-5)
    assert len(wrapper.boxes(spots, 0.7)) == 1
    assert len(wrapper.boxes(spots, 0.95)) == 0  # explanations are not stretched
    both = wrapper.boxes(np.stack([spots, spots]))
    assert [one[0, 4] for one in both] == wrapper.predict(
        np.stack(2 * [spots])
    ).tolist()


def test_the_post_processing_takes_the_explanation(wrapper, spots):
    steps = wrapper.refine(spots, "zèbre")
    assert steps["low"].shape == LOW
    assert steps[MERGED].shape == SIZE
    assert steps[MERGED][12, 20] > steps[MERGED][2, 2]
    several = wrapper.refine(np.stack([spots, spots]))
    assert [one[MERGED].shape for one in several] == [SIZE, SIZE]
