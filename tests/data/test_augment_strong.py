"""Strong augmentation: all moves together, each change as often as asked."""

import sys

import numpy as np
import pytest
import tensorflow as tf

from kerasloc.data.augment import Distortion, OneOf, Strong, augmentation

STILL = {"optical": 0.0, "grid": 0.0, "piecewise": 0.0}


def example(channels=3, size=(32, 32)):
    """A bright rectangle with its box and masks."""
    mask = np.zeros(size, bool)
    mask[8:20, 10:26] = True
    image = np.repeat(mask[..., None].astype("float32"), channels, axis=-1)
    return {
        "image": tf.constant(image),
        "boxes": tf.constant([[10, 8, 16, 12, 2]], tf.float32),
        "mask": tf.constant(mask),
        "class_masks": tf.constant(np.stack([mask, ~mask], axis=-1)),
        "file_size": tf.constant([90, 80]),
    }


def seed(number):
    return tf.constant([number, 3], tf.int64)


def strong(probability=0.2):
    try:
        return Strong(probability)
    except ImportError as error:
        pytest.skip(str(error))


def corners(mask):
    rows, cols = np.nonzero(mask)
    return np.array([cols.min(), rows.min(), cols.max() + 1, rows.max() + 1], float)


def overlap(first, second):
    return (first & second).sum() / (first | second).sum()


@pytest.mark.parametrize(("channels", "size"), [(3, (32, 32)), (1, (28, 36))])
def test_everything_moves_with_the_image(channels, size):
    augment, checked = strong(1.0), 0
    for number in range(6):
        out = augment(example(channels, size), seed(number))
        image, mask = out["image"].numpy(), out["mask"].numpy()
        assert image.shape == (*size, channels)
        assert image.min() >= 0
        assert image.max() <= 1
        np.testing.assert_array_equal(out["class_masks"][..., 0], mask)
        if mask.sum() < 40:
            continue
        gray = image.mean(axis=-1)
        assert gray[mask].mean() > gray[~mask].mean() + 0.3
        x, y, w, h, label = out["boxes"][0].numpy()
        left, top, right, bottom = corners(mask)
        assert label == 2
        assert max(x - left, y - top, right - x - w, bottom - y - h) <= 1.01
        checked += 1
    assert checked > 3


def test_square_images_are_turned_and_others_only_flipped():
    def found(size):
        first = strong(1.0)._chains[size[0] == size[1], False].steps[0]
        image = tf.reshape(tf.range(size[0] * size[1]), (*size, 1)) / 255
        start = {"image": tf.cast(image, tf.float32)}
        outs = [first(start, seed(number))["image"] for number in range(40)]
        return {np.round(out.numpy() * 255).astype(int).tobytes() for out in outs}, [
            np.arange(size[0] * size[1]).reshape(size)
        ]

    for size, count in (((4, 4), 6), ((4, 6), 3)):
        answers, (start,) = found(size)
        turned = [start[::-1], start[:, ::-1], start[::-1, ::-1]]
        if size[0] == size[1]:
            turned += [np.rot90(start), np.rot90(start, 3), start.T]
        assert answers == {np.ascontiguousarray(one).tobytes() for one in turned}
        assert len(answers) == count


def test_a_seed_decides_all_and_others_give_others():
    augment = strong(0.5)
    first, again = (augment(example(), seed(4)) for _ in range(2))
    for name, value in first.items():
        np.testing.assert_array_equal(value, again[name])
    others = [augment(example(), seed(number))["image"] for number in range(5, 9)]
    assert any(np.abs(other - first["image"]).max() > 0.1 for other in others)


def test_a_probability_of_0_changes_nothing():
    for channels in (1, 3):
        for name, value in strong(0.0)(example(channels), seed(1)).items():
            np.testing.assert_array_equal(value, example(channels)[name])


def test_it_works_in_a_graph_and_keeps_static_shapes():
    augment = strong()
    assert isinstance(augmentation("strong"), Strong)
    start = {name: example(1)[name] for name in ("image", "boxes", "mask")}
    data = tf.data.Dataset.range(2).map(lambda n: augment(start, tf.stack([n, 3])))
    shapes = {name: tuple(spec.shape) for name, spec in data.element_spec.items()}
    assert shapes["image"] == (32, 32, 1)
    assert shapes["mask"] == (32, 32)
    assert shapes["boxes"] == (None, 5)
    for number, out in enumerate(data):
        eager = augment(start, seed(number))
        np.testing.assert_allclose(out["image"], eager["image"], atol=0.01)


def test_one_of_several_is_applied_as_often_as_asked():
    def adding(value):
        return lambda one, _: {"image": one["image"] + value}

    choose = OneOf((adding(1.0), adding(2.0)), 0.4)
    start = {"image": tf.zeros(())}
    data = tf.data.Dataset.range(400).map(lambda n: choose(start, tf.stack([n, 5])))
    sums = next(iter(data.batch(400)))["image"].numpy().astype(int)
    counts = np.bincount(sums, minlength=3) / 400
    np.testing.assert_allclose(counts, [0.6, 0.2, 0.2], atol=0.08)


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_no_distortion_folds_over_and_grids_keep_the_border(kind):
    draws = tf.constant([(kind + 0.5) / 3, 0.95])
    x, y = Distortion().source(tf.zeros((30, 40, 1)), draws, seed(2))
    steps = np.concatenate([np.diff(x, axis=1).ravel(), np.diff(y, axis=0).ravel()])
    assert steps.min() > 0
    assert np.ptp(steps) > 0.1  # and does distort
    if kind == 1:
        assert x.numpy().min() > 0
        assert x.numpy().max() < 40


def test_distortions_move_boxes_and_masks_as_the_image():
    distort, before = Distortion(), example(1)
    for out in (distort(before, seed(number)) for number in range(6)):
        bright, mask = out["image"].numpy()[..., 0] > 0.5, out["mask"].numpy()
        assert overlap(bright, mask) > 0.85
        left, top, w, h, label = out["boxes"][0].numpy()
        np.testing.assert_array_equal([left, top, left + w, top + h], corners(mask))
        assert label == 2
        np.testing.assert_array_equal(out["class_masks"][..., 0], mask)


def test_distortions_without_limits_change_nothing():
    before = example()
    for name, value in Distortion(**STILL)(before, seed(0)).items():
        np.testing.assert_allclose(value, before[name], atol=1e-5)


def test_boxes_whose_pixels_have_left_are_dropped():
    before = {**example(), "boxes": tf.constant([[-3, 0, 2, 2, 0]], tf.float32)}
    assert Distortion()(before, seed(0))["boxes"].shape == (0, 5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: OneOf((), 1.5), r"lies in \[0, 1\]. Received: 1.5"),
        (lambda: Strong(-0.1), r"lies in \[0, 1\]. Received: -0.1"),
        (lambda: Distortion(grid=0.5), r"shares in \[0, 0.3\].*0\.5"),
    ],
)
def test_numbers_out_of_range_are_refused(make, message):
    strong()  # skips where imgaug is missing
    with pytest.raises(ValueError, match=message):
        make()


def test_missing_imgaug_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "imgaug", None)
    with pytest.raises(ImportError, match="libgl1"):
        augmentation("strong")
