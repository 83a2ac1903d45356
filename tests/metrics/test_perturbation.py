import itertools

import numpy as np
import pytest

from kerasloc.metrics import (
    AopcConfig,
    aopc,
    aopc_by_steps,
    curve_interval,
    interval,
    morf_curves,
    random_relevance,
    resize_maps,
)

FALL = [1, 0, 0, 0, 0]
CORNER = np.array([[[9.0, 3], [2, 1]]])  # relevance of the tiles of a 2 x 2 grid


def corner(images):
    """A model whose class 0 is the mean of the upper left quarter."""
    _, rows, cols, _ = images.shape
    chance = images[:, : rows // 2, : cols // 2].mean(axis=(1, 2, 3))
    return np.stack([chance, 1 - chance], axis=1)


def brightness(images):
    """A model that weighs tiles of a 4 x 4 grid, from 0 in a corner to 15."""
    tiles = images.mean(axis=-1).reshape(len(images), 4, 2, 4, 2).mean(axis=(2, 4))
    chance = tiles.reshape(-1, 16) @ np.arange(16) / 120
    return np.stack([chance, 1 - chance], axis=1)


def black(grid, **options):
    return AopcConfig(grid=grid, perturbation="black", **options)


@pytest.fixture
def white():
    return np.ones((1, 4, 4, 3), np.float32)


@pytest.fixture
def noisy():
    return np.random.default_rng(0).random((3, 7, 9, 2), np.float32)


@pytest.fixture
def seen():
    """A model of one class that remembers what it was shown."""

    class Model:
        def __init__(self):
            self.shown = []

        def __call__(self, images):
            self.shown.append(images)
            return images.mean(axis=(1, 2))[:, :1]

        @property
        def steps(self):
            return np.concatenate(self.shown)

    return Model()


def test_curves_that_an_eye_can_check(white):
    for relevance, expected, area in (
        (CORNER, [1, 0, 0, 0, 0], 4 / 5),
        (-CORNER, [1, 1, 1, 1, 0], 1 / 5),
        (CORNER[:, ::-1], [1, 1, 1, 0, 0], 2 / 5),
    ):
        curves = morf_curves(corner, white, relevance, black(2))
        np.testing.assert_array_equal(curves, [expected])
        np.testing.assert_allclose(aopc(curves), [area])
    by_steps = [0, 1 / 2, 2 / 3, 3 / 4, 4 / 5]
    np.testing.assert_allclose(aopc_by_steps([[1, 0, 0, 0, 0]]), [by_steps])


def test_the_right_order_is_better_than_a_random_and_that_than_the_wrong_order():
    images = np.ones((20, 8, 8, 1), np.float32)
    right = np.broadcast_to(np.arange(16.0).reshape(4, 4), (20, 4, 4))
    chance = random_relevance(20, 8, 4)
    scores = [
        aopc(morf_curves(brightness, images, relevance, black(4), 0))
        for relevance in (right, chance, -right)
    ]
    assert (scores[0] > scores[1]).all()
    assert (scores[1] > scores[2]).all()


def test_agrees_with_a_loop_over_tiles(noisy):
    # tiles of 7 x 9 pixels in a grid of 3 x 4: rows 3, 2, 2 and columns 3, 2, 2, 2
    rng = np.random.default_rng(1)
    relevance, weights = rng.random((3, 5, 5)), rng.random((7, 9, 2)) / 126
    tiles = [
        np.ix_(rows, cols)
        for rows in np.array_split(range(7), 3)
        for cols in np.array_split(range(9), 4)
    ]

    def predict(images):
        return (images * weights).sum(axis=(1, 2, 3))[:, None]

    expected = []
    for image, heat in zip(noisy, resize_maps(relevance, (7, 9)), strict=True):
        mean, left, curve = image.mean(axis=(0, 1)), image.copy(), []
        curve.append(predict(left[None])[0, 0])
        for tile in sorted(tiles, key=lambda tile: -heat[tile].mean()):
            left[tile] = mean
            curve.append(predict(left[None])[0, 0])
        expected.append(curve)
    config = AopcConfig(grid=(3, 4), perturbation="mean")
    curves = morf_curves(predict, noisy, relevance, config)
    np.testing.assert_allclose(curves, expected, rtol=1e-5)


@pytest.mark.parametrize("most", [None, 1, 3, 7, 13])
def test_steps_are_predicted_together_and_never_more_than_allowed(noisy, seen, most):
    relevance = np.random.default_rng(0).random((3, 2, 3))
    curves = morf_curves(seen, noisy, relevance, black((2, 3), images_at_once=most))
    sizes = [len(images) for images in seen.shown]
    assert sum(sizes) == 3 * 7
    assert sizes == {None: [21], 1: [1] * 21, 3: [3, 3, 1] * 3}.get(most, [7, 7, 7])
    expected = morf_curves(seen, noisy, relevance, black((2, 3)))
    np.testing.assert_array_equal(curves, expected)
    short = morf_curves(seen, noisy, relevance, black((2, 3), steps=2))
    np.testing.assert_array_equal(short, expected[:, :3])  # the first of all


def test_large_images_are_predicted_a_few_steps_at_a_time():
    counts = []  # of images with 2 ** 22 pixels in a call: four at most

    def predict(images):
        counts.append(len(images))
        return images[:, 0, 0]

    images = np.zeros((2, 2048, 2048, 1), bool)
    morf_curves(predict, images, np.zeros((2, 2, 2)), black(2))
    assert counts == [4, 1, 4, 1]


@pytest.mark.parametrize("kind", ["noise", "mean", "black"])
def test_tiles_become_noise_the_mean_color_or_black(noisy, seen, kind):
    config = AopcConfig(grid=(7, 9), perturbation=kind)
    morf_curves(seen, noisy[:1], np.zeros((1, 2, 2)), config)
    first, *between, last = seen.steps
    np.testing.assert_array_equal(first, noisy[0])
    for before, after in itertools.pairwise([first, *between, last]):
        changed = (before != after).any(axis=-1)
        assert changed.sum() == 1
        np.testing.assert_array_equal(after[changed], last[changed])
    if kind == "black":
        assert not last.any()
    elif kind == "mean":
        mean = np.broadcast_to(noisy[0].mean(axis=(0, 1)), last.shape)
        np.testing.assert_allclose(last, mean, rtol=1e-6)
    else:
        assert 0 <= last.min() < 0.1
        assert 0.9 < last.max() < 1
        assert abs(last.mean() - 0.5) < 0.1


def test_noise_is_of_the_image_and_the_seed_alone(noisy, seen):
    def last(images, seed=0, relevance=0.0):
        config = AopcConfig(grid=2, seed=seed)
        seen.shown.clear()
        morf_curves(seen, images, np.full((len(images), 2, 2), relevance), config)
        return seen.steps[4::5]

    noise = last(noisy)
    np.testing.assert_array_equal(last(noisy[::-1])[::-1], noise)
    np.testing.assert_array_equal(last(noisy[1:2]), noise[1:2])
    np.testing.assert_array_equal(last(noisy, relevance=5), noise)
    assert (last(noisy, seed=1) != noise).all()
    assert (noise[0] != noise[1]).all()


def test_a_flat_map_has_a_random_order_of_each_image(seen):
    # 0.1 is no binary number, and the tiles have 4, 6 and 9 pixels
    images = np.random.default_rng(0).random((200, 5, 5, 1), np.float32) / 2 + 0.5
    flat = np.full((200, 3, 3), 0.1)
    morf_curves(seen, images, flat, black(2, steps=1))
    gone = ~seen.steps.reshape(200, 2, 5, 5)[:, 1].astype(bool)
    first = gone[:, [0, 0, 4, 4], [0, 4, 0, 4]]
    assert (first.sum(axis=1) == 1).all()
    assert (abs(first.mean(axis=0) - 0.25) < 0.1).all()
    again, other = black(2), black(2, seed=1)
    curves = [morf_curves(corner, images, flat, c) for c in (again, again, other)]
    np.testing.assert_array_equal(curves[0], curves[1])
    assert (curves[0] != curves[2]).any()


@pytest.mark.parametrize(
    ("classes", "first", "second"),
    [
        (None, FALL, [1] * 5),
        ([0, 1], FALL, [1] * 5),
        (0, FALL, [0] * 5),
        (np.array([1, 0]), [0, 1, 1, 1, 1], [0] * 5),
    ],
)
def test_the_class_is_the_predicted_one_unless_chosen(white, classes, first, second):
    images, config = np.concatenate([white, 0 * white]), black(2, images_at_once=2)
    curves = morf_curves(corner, images, CORNER.repeat(2, axis=0), config, classes)
    np.testing.assert_array_equal(curves, [first, second])


def test_integers_are_images_one_may_lose_its_axis_and_none_have_no_curves(white, seen):
    config, images = black(2, images_at_once=1), np.uint8(255 * white)
    curves = morf_curves(lambda batch: corner(batch)[0], images, CORNER, config)
    np.testing.assert_array_equal(curves, [[1, 0, 0, 0, 0]])
    curves = morf_curves(seen, np.zeros((0, 9, 9, 1)), np.zeros((0, 3, 3)))
    assert curves.shape == (0, 65)
    assert seen.shown == []


def test_the_random_order_is_constant_in_a_tile_and_seeded():
    maps = random_relevance(5, (4, 6), (2, 3), seed=7)
    assert maps.shape == (5, 4, 6)
    np.testing.assert_array_equal(maps, maps[:, ::2, ::2].repeat(2, 1).repeat(2, 2))
    assert len(np.unique(maps)) == 30
    np.testing.assert_array_equal(maps, random_relevance(5, (4, 6), (2, 3), seed=7))


def test_the_interval_of_the_last_step_is_that_of_aopc():
    curves = np.random.default_rng(0).random((30, 9))
    last = [values[-1] for values in curve_interval(aopc_by_steps(curves))]
    assert last == pytest.approx(interval(aopc(curves)))
    mean, low, high = curve_interval(curves)
    np.testing.assert_allclose(mean, curves.mean(axis=0))
    assert ((low < mean) & (mean < high)).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"grid": 0}, "size=0"),
        ({"grid": 2, "steps": 5}, "from 1 to 4. Received: steps=5"),
        ({"steps": 0}, "steps=0"),
        ({"perturbation": "blur"}, "noise, mean, black.*perturbation='blur'"),
        ({"images_at_once": 0}, "images_at_once=0"),
        ({"seed": -1}, "seed=-1"),
        ({"seed": None}, "seed=None"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        AopcConfig(**options)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": np.ones((4, 4, 3))}, r"\(n, rows, cols, channels\)"),
        ({"images": np.full((1, 4, 4, 3), 2.0)}, r"Float images lie in \[0, 1\]"),
        ({"relevance": np.ones((2, 2, 2))}, "Received: 2 maps for 1 images"),
        ({"relevance": np.full((1, 2, 2), np.nan)}, "relevance maps.*index"),
        ({"config": AopcConfig(grid=5)}, "grid of 5 x 5 over images of 4 x 4"),
        ({"classes": 2}, r"0\.\.1\. Received: 2\.\.2"),
        ({"classes": [0, 1]}, r"\(1,\).*shape \(2,\)"),
        ({"predict": lambda images: images[:, 0, 0, 0]}, r"predict.*\(5,\) for 5"),
        ({"predict": lambda images: corner(images)[1:]}, r"predict.*\(4, 2\) for 5"),
        ({"predict": lambda images: 9 * corner(images)}, "predict.*from 0 to 9"),
        ({"predict": lambda images: np.nan * corner(images)}, "predict.*nan"),
    ],
)
def test_wrong_arguments_are_refused(white, change, message):
    arguments = {"predict": corner, "images": white, "relevance": CORNER}
    with pytest.raises(ValueError, match=message):
        morf_curves(**{**arguments, "config": black(2), **change})


def test_curves_and_grids_that_do_not_fit_are_refused():
    for curves in ([1, 0], [[1]], [[1, np.nan]]):
        with pytest.raises(ValueError, match=r"curves.*Received: shape"):
            aopc(curves)
    with pytest.raises(ValueError, match="0 curves"):
        curve_interval(np.zeros((0, 3)))
    with pytest.raises(ValueError, match="grid of 2 x 5 over images of 4 x 4"):
        random_relevance(1, 4, (2, 5))
