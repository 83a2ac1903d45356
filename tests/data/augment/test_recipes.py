"""Chains, random choices, distortions, and the strong recipe made of them."""

import numpy as np
import pytest
import tensorflow as tf

from kerasloc.data.augment import (
    Chain,
    Distortion,
    OneOf,
    RotateCropFlip,
    Strong,
    augmentation,
)


def strong(probability=0.2):
    pytest.importorskip("imgaug", exc_type=ImportError)
    return Strong(probability)


def test_steps_of_a_chain_draw_independently(run):
    flips = RotateCropFlip(rotate=0.0, crop=0.0, flip=0.5)
    # with equal draws, two flips would always undo each other
    left = [out["boxes"][0, 0] for out in run(Chain((flips, flips)), 20)]
    assert len(set(np.round(left, 3))) == 2


def test_one_of_several_is_applied_with_the_probability():
    def adding(value):
        return lambda example, _: {"image": example["image"] + value}

    choose = OneOf((adding(1.0), adding(2.0)), 0.4)
    start = {"image": tf.zeros(())}
    data = tf.data.Dataset.range(400).map(lambda n: choose(start, tf.stack([n, 5])))
    sums = next(iter(data.batch(400)))["image"].numpy().astype(int)
    counts = np.bincount(sums, minlength=3) / 400
    np.testing.assert_allclose(counts, [0.6, 0.2, 0.2], atol=0.08)


# Distortion


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_no_distortion_folds_over_and_grids_keep_the_border(kind, seed):
    draws = tf.constant([(kind + 0.5) / 3, 0.95])
    x, y = Distortion().source(tf.zeros((30, 40, 1)), draws, seed(2))
    steps = np.concatenate([np.diff(x, axis=1).ravel(), np.diff(y, axis=0).ravel()])
    assert steps.min() > 0
    assert np.ptp(steps) > 0.1  # and does distort
    if kind == 1:
        assert x.numpy().min() > 0
        assert x.numpy().max() < 40


def test_distortions_move_boxes_and_masks_with_the_image(example, run, extent):
    for out in run(Distortion(), 6, example(1)):
        bright, mask = out["image"][..., 0] > 0.5, out["mask"]
        assert (bright & mask).sum() / (bright | mask).sum() > 0.85
        left, top, w, h, label = out["boxes"][0]
        np.testing.assert_array_equal([left, top, left + w, top + h], extent(mask))
        assert label == 2
        np.testing.assert_array_equal(out["class_masks"][..., 1], mask)
    outside = {**example(), "boxes": tf.constant([[-3, 0, 2, 2, 0]], tf.float32)}
    assert run(Distortion(), 1, outside)[0]["boxes"].shape == (0, 5)


# Strong


@pytest.mark.parametrize(("channels", "size"), [(3, (40, 40)), (1, (34, 44))])
def test_boxes_and_masks_move_with_the_image(channels, size, example, seed, extent):
    augment, checked = strong(1.0), 0
    before = {**example(channels, size), "file_size": tf.constant([90, 80])}
    for number in range(6):
        out = augment(before, seed(number))
        image, mask = out["image"].numpy(), out["mask"].numpy()
        assert image.shape == (*size, channels)
        assert 0 <= image.min() <= image.max() <= 1
        np.testing.assert_array_equal(out["class_masks"][..., 1], mask)
        if mask.sum() < 40:
            continue
        gray = image.mean(axis=-1)
        assert gray[mask].mean() > gray[~mask].mean() + 0.3
        x, y, w, h, label = out["boxes"][0].numpy()
        left, top, right, bottom = extent(mask)
        assert label == 2
        assert max(x - left, y - top, right - x - w, bottom - y - h) <= 1.01
        checked += 1
    assert checked > 3


@pytest.mark.parametrize(("rows", "cols"), [(4, 4), (4, 6)])
def test_square_images_are_turned_and_others_only_flipped(rows, cols, seed):
    first = strong(1.0)._chains[rows == cols, False].steps[0]
    start = np.arange(rows * cols).reshape(rows, cols)
    image = tf.constant(start[..., None] / 255, tf.float32)
    outs = [first({"image": image}, seed(number))["image"] for number in range(40)]
    results = {np.round(out.numpy() * 255).astype(int).tobytes() for out in outs}
    turned = [start[::-1], start[:, ::-1], start[::-1, ::-1]]
    if rows == cols:
        turned += [np.rot90(start), np.rot90(start, 3), start.T]
    assert results == {np.ascontiguousarray(array).tobytes() for array in turned}


def test_a_probability_of_0_changes_nothing(example, seed):
    for channels in (1, 3):
        for name, value in strong(0.0)(example(channels), seed(1)).items():
            np.testing.assert_array_equal(value, example(channels)[name])


def test_it_works_in_a_graph_and_keeps_static_shapes(example, seed):
    augment = strong()
    assert isinstance(augmentation("strong"), Strong)
    start = {name: example(1)[name] for name in ("image", "boxes", "mask")}
    data = tf.data.Dataset.range(2).map(lambda n: augment(start, tf.stack([n, 3])))
    shapes = {name: tuple(spec.shape) for name, spec in data.element_spec.items()}
    assert shapes == {"image": (40, 48, 1), "mask": (40, 48), "boxes": (None, 5)}
    for number, out in enumerate(data):
        eager = augment(start, seed(number))
        np.testing.assert_allclose(out["image"], eager["image"], atol=0.01)
