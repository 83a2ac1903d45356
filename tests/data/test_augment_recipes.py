"""Rotation, crop, flip and jitter: boxes follow pixels; draws are as published."""

import dataclasses

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from kerasloc.data.augment import (
    Chain,
    ColorJitter,
    RotateCropFlip,
    augmentation,
    voc,
    warp,
    xray,
)

SIZE = 48
STILL = RotateCropFlip(rotate=0.0, crop=0.0, flip=0.0)
DARK = ColorJitter(probability=0.0)


def seed(number):
    return tf.cast(tf.stack([3, number]), tf.int64)


def example(channels=1, size=SIZE):
    """A bright rectangle with its box and mask."""
    mask = np.zeros((size, size), bool)
    mask[14:34, 16:28] = True
    image = np.repeat(mask[..., None].astype("float32"), channels, axis=-1)
    boxes = tf.constant([[16, 14, 12, 20, 2]], tf.float32)
    return {"image": tf.constant(image), "boxes": boxes, "mask": tf.constant(mask)}


def noise(channels=1):
    values = np.random.default_rng(0).uniform(0.2, 0.8, (8, 9, channels))
    return {"image": tf.constant(values, tf.float32)}


def drawn(recipe, count, size=(SIZE, SIZE), file_size=None):
    """Matrices of so many seeds, (count, 3, 3)."""
    file_size = size if file_size is None else file_size
    draw = tf.function(lambda n: recipe.draw(seed(n), size, file_size))
    return np.stack([draw(tf.constant(n)).numpy() for n in range(count)])


@pytest.mark.parametrize("name", ["xray", "voc"])
@pytest.mark.parametrize("channels", [1, 3])
def test_boxes_follow_pixels(name, channels):
    augment, checked = tf.function(augmentation(name)), 0
    for number in range(25):
        out = augment(example(channels), seed(number))
        assert out["image"].shape == (SIZE, SIZE, channels)
        if not len(out["boxes"]):
            continue
        bright = np.asarray(out["image"]).max(axis=-1)
        bright = bright > bright.max() * 0.6
        rows, cols = np.nonzero(bright)
        x, y, w, h, label = out["boxes"][0].numpy()
        assert label == 2
        assert abs(x - cols.min()) < 1.5
        assert abs(y - rows.min()) < 1.5
        assert abs(x + w - cols.max() - 1) < 1.5
        assert abs(y + h - rows.max() - 1) < 1.5
        mask = out["mask"].numpy()
        assert (mask & bright).sum() / (mask | bright).sum() > 0.75
        checked += 1
    assert checked > 15


@pytest.mark.parametrize("channels", [1, 3])
def test_probabilities_of_0_change_nothing(channels):
    before = example(channels)
    out = Chain((STILL, DARK))(before, seed(0))
    for name, value in before.items():
        np.testing.assert_allclose(out[name], value, atol=1e-5)


@pytest.mark.parametrize("name", ["xray", "voc"])
def test_a_seed_decides_all_and_other_seeds_give_others(name):
    augment = augmentation(name)
    first, again, other = (augment(example(3), seed(n)) for n in (5, 5, 6))
    for key, value in first.items():
        np.testing.assert_array_equal(value, again[key])
    assert np.abs(first["image"] - other["image"]).max() > 0.1


@pytest.mark.parametrize("name", ["xray", "voc"])
def test_graphs_and_eager_calls_agree(name):
    augment = augmentation(name)
    graph = tf.function(augment)
    for number in range(3):
        eager = augment(example(3), seed(number))
        for key, value in graph(example(3), seed(number)).items():
            np.testing.assert_allclose(value, eager[key], atol=1e-4)


def test_boxes_less_than_half_visible_are_dropped():
    def shifted(share):
        shift = SIZE - 16 - 12 * share  # columns 16 to 28 leave to the right
        matrix = tf.constant([[1, 0, shift], [0, 1, 0], [0, 0, 1]], tf.float32)
        return warp(example(), matrix, tf.constant(False), visible=0.5)["boxes"]

    assert len(shifted(0.55)) == 1
    np.testing.assert_allclose(shifted(0.55)[0, 2], 12 * 0.55, atol=1e-4)
    assert len(shifted(0.45)) == 0


def test_crops_and_rotations_drop_boxes_seen_by_less_than_half():
    half = tf.function(xray().steps[0])
    everything = tf.function(dataclasses.replace(xray().steps[0], visible=0.0))
    corner = {**example(), "boxes": tf.constant([[0, 0, 8, 8, 0]], tf.float32)}
    fewer = 0
    for number in range(20):
        most = everything(corner, seed(number))["boxes"]
        kept = half(corner, seed(number))["boxes"]
        assert len(kept) <= len(most)
        fewer += len(kept) < len(most)
    assert fewer > 3


def test_flips_mirror():
    before = example()
    out = dataclasses.replace(STILL, flip=1.0)(before, seed(1))
    np.testing.assert_allclose(out["image"], before["image"][:, ::-1], atol=1e-5)
    np.testing.assert_allclose(out["boxes"], [[SIZE - 28, 14, 12, 20, 2]], atol=1e-4)


def test_crops_keep_the_drawn_areas_and_aspects():
    crop = dataclasses.replace(STILL, crop=1.0)
    found = drawn(crop, 300)
    w, h = SIZE / found[:, 0, 0], SIZE / found[:, 1, 1]
    x, y = -found[:, 0, 2] * w / SIZE, -found[:, 1, 2] * h / SIZE
    assert min(x.min(), y.min()) > -1e-3
    assert max((x + w).max(), (y + h).max()) < SIZE + 1e-3
    area, aspect = w * h / SIZE**2, w / h
    assert 0.69 < area.min() < 0.75
    assert area.max() < 1 + 1e-5
    assert 0.74 < aspect.min() < 0.85
    assert 1.17 < aspect.max() < 1.34


def test_angles_are_even_and_as_often_as_asked():
    turn = dataclasses.replace(STILL, rotate=0.5)
    found = drawn(turn, 400)
    angles = np.degrees(np.arctan2(found[:, 1, 0], found[:, 0, 0]))
    turned = angles[np.abs(angles) > 1e-3]
    assert 0.42 < len(turned) / 400 < 0.58
    assert scipy.stats.kstest(turned, "uniform", (-90, 180)).pvalue > 0.01
    centre = np.array([SIZE / 2, SIZE / 2, 1])
    np.testing.assert_allclose(found @ centre, np.tile(centre, (400, 1)), atol=1e-3)


def test_crops_that_never_fit_are_the_largest_central_ones():
    wide = RotateCropFlip(
        rotate=0, flip=0, area=(0.9, 1.0), aspect=(2.0, 2.0), crop=1.0
    )
    found = drawn(wide, 3)
    w, h = SIZE / found[:, 0, 0], SIZE / found[:, 1, 1]
    np.testing.assert_allclose(w, SIZE, rtol=1e-5)
    np.testing.assert_allclose(h, SIZE / 2, rtol=1e-5)
    np.testing.assert_allclose(-found[:, 1, 2] * h / SIZE, SIZE / 4, rtol=1e-4)


def test_angles_and_aspects_are_those_of_the_file():
    quarter = dataclasses.replace(STILL, rotate=1.0, rotation=90.0)
    shape, file_size = (SIZE, SIZE), (100, 300)
    to_file = np.diag([300 / SIZE, 100 / SIZE, 1])
    for matrix in drawn(quarter, 5, shape, file_size):
        turned = (to_file @ matrix @ np.linalg.inv(to_file))[:2, :2]
        np.testing.assert_allclose(turned @ turned.T, np.eye(2), atol=1e-4)
    square = RotateCropFlip(rotate=0, flip=0, area=(0.1, 0.2), aspect=(1.0, 1.0))
    found = drawn(square, 5, shape, file_size)
    w, h = 300 / SIZE * SIZE / found[:, 0, 0], 100 / SIZE * SIZE / found[:, 1, 1]
    np.testing.assert_allclose(w, h, rtol=1e-4)


def test_brightness_multiplies():
    out = ColorJitter(1.0, 0.1, 0.0, 0.0)(noise(), seed(4))["image"]
    ratio = out / noise()["image"]
    assert np.ptp(ratio) < 1e-5
    assert 0.9 <= ratio[0, 0, 0] <= 1.1
    assert abs(ratio[0, 0, 0] - 1) > 1e-3


@pytest.mark.parametrize("channels", [1, 3])
def test_contrast_keeps_the_mean_and_changes_the_deviation(channels):
    before = noise(channels)["image"].numpy()
    after = ColorJitter(1.0, 0.0, 0.3, 0.0)(noise(channels), seed(4))["image"].numpy()
    luma = np.array([0.299, 0.587, 0.114]) if channels == 3 else np.ones(1)
    np.testing.assert_allclose((after @ luma).mean(), (before @ luma).mean(), atol=1e-5)
    assert abs(after.std() / before.std() - 1) > 0.01


def test_saturation_moves_colors_to_and_from_their_gray():
    luma = np.array([0.299, 0.587, 0.114])
    jitter = ColorJitter(1.0, 0.0, 0.0, 0.2)
    before = noise(3)["image"].numpy()
    after = jitter(noise(3), seed(4))["image"].numpy()
    np.testing.assert_allclose(after @ luma, before @ luma, atol=1e-5)
    assert np.abs(after - before).max() > 1e-3
    gray = jitter(noise(1), seed(4))["image"]
    np.testing.assert_allclose(gray, noise(1)["image"], atol=1e-6)


def test_values_stay_within_0_and_1():
    for number in range(10):
        image = ColorJitter(1.0, 1.0, 1.0, 1.0)(noise(3), seed(number))["image"]
        assert 0 <= np.min(image) <= np.max(image) <= 1


def test_steps_of_a_chain_draw_on_their_own():
    flips = dataclasses.replace(STILL, flip=0.5)
    twice = tf.function(Chain((flips, flips)))
    left = [twice(example(), seed(n))["boxes"][0, 0].numpy() for n in range(20)]
    # were both draws the same, two flips would always undo one another
    assert len(set(np.round(left, 3))) == 2


def test_names_stand_for_the_published_recipes():
    assert augmentation("xray") == xray()
    assert augmentation("voc") == voc()
    geometry, jitter = voc().steps
    assert (geometry.rotation, geometry.aspect) == (10.0, (1.0, 1.0))
    assert (jitter.brightness, jitter.saturation) == (0.2, 0.2)
    assert hash(xray()) == hash(xray())


@pytest.mark.parametrize(
    "wrong",
    [{"rotate": 1.5}, {"area": (0.0, 1.0)}, {"area": (0.5, 1.2)}, {"visible": -1}],
)
def test_shares_outside_0_and_1_are_refused(wrong):
    with pytest.raises(ValueError, match=r"lie in \[0, 1\]"):
        RotateCropFlip(**wrong)


@pytest.mark.parametrize("wrong", [{"area": (0.9, 0.5)}, {"aspect": (0.0, 1.0)}])
def test_ranges_that_are_none_are_refused(wrong):
    with pytest.raises(ValueError, match="from a smaller to a larger"):
        RotateCropFlip(**wrong)


def test_limits_of_jitter_outside_0_and_1_are_refused():
    with pytest.raises(ValueError, match=r"lie in \[0, 1\]"):
        ColorJitter(contrast=1.5)
