"""Enlargement, crop and flip: pixels, boxes and masks go together."""

import numpy as np
import pytest
import tensorflow as tf

from kerasloc.data.augment import EnlargeCropFlip, augmentation
from kerasloc.data.masks import box_masks

ROWS, COLS = 40, 56
BOX = [16.0, 8.0, 12.0, 20.0]


def seed(number):
    return tf.cast(tf.stack([3, number]), tf.int64)


def example():
    """A bright box with its row and its masks; nothing else is bright."""
    mask = np.zeros((ROWS, COLS), bool)
    mask[8:28, 16:28] = True
    return {
        "image": tf.constant(np.repeat(mask[..., None], 3, axis=-1), tf.float32),
        "boxes": tf.constant([[*BOX, 1]], tf.float32),
        "mask": tf.constant(mask),
        "class_masks": tf.constant(np.stack([~mask, mask], axis=-1)),
    }


def drawn(augment, count=60):
    graph = tf.function(augment)
    return [
        {name: value.numpy() for name, value in graph(example(), seed(n)).items()}
        for n in range(count)
    ]


def test_the_name_stands_for_the_published_recipe():
    assert augmentation("ham") == EnlargeCropFlip()
    assert EnlargeCropFlip() == EnlargeCropFlip(scale=(1.0, 1.12), flip=0.5)


def test_factors_are_between_those_asked_for_and_spread_over_them():
    boxes = np.concatenate([out["boxes"] for out in drawn(EnlargeCropFlip())])
    factors = boxes[:, 2:4] / BOX[2:]
    np.testing.assert_allclose(factors[:, 0], factors[:, 1], rtol=1e-4)
    assert 1 <= factors.min() + 1e-5 < 1.02
    assert 1.1 < factors.max() < 1.12 + 1e-5


def test_crops_lie_in_the_enlarged_image():
    for out in drawn(EnlargeCropFlip(scale=(1.25, 1.25), flip=0.0)):
        x, y = out["boxes"][0, :2]
        left, top = 16 * 1.25 - x, 8 * 1.25 - y
        assert -1e-4 <= left <= 0.25 * COLS + 1e-4
        assert -1e-4 <= top <= 0.25 * ROWS + 1e-4
        # nothing comes in from outside: what was no box is no box
        assert out["class_masks"].any(axis=-1).all()


def test_offsets_are_spread_over_all_there_are():
    outs = drawn(EnlargeCropFlip(scale=(1.25, 1.25), flip=0.0))
    x, y = np.array([out["boxes"][0, :2] for out in outs]).T
    assert np.ptp(x) > 0.85 * 0.25 * COLS
    assert np.ptp(y) > 0.85 * 0.25 * ROWS
    assert abs(np.corrcoef(x, y)[0, 1]) < 0.4


def test_half_of_the_images_are_mirrored():
    outs = drawn(EnlargeCropFlip(scale=(1.0, 1.0)))
    lefts = [round(float(out["boxes"][0, 0])) for out in outs]
    assert set(lefts) == {16, COLS - 28}
    assert 18 < lefts.count(16) < 42


def test_pixels_boxes_and_masks_move_together():
    for out in drawn(EnlargeCropFlip()):
        boxed = box_masks(out["boxes"][None], (ROWS, COLS), 2)[0, ..., 1].numpy()
        bright = out["image"][..., 0] > 0.5
        own = out["class_masks"][..., 1]
        np.testing.assert_array_equal(own, out["mask"])
        for other in (bright, own):
            # half a pixel at every side at most
            assert (boxed ^ other).sum() <= 20 + 12 + 4
        np.testing.assert_array_equal(out["class_masks"][..., 0], ~own)
        assert out["boxes"][0, 4] == 1


def test_a_flip_alone_is_exact():
    before = example()
    (out,) = drawn(EnlargeCropFlip(scale=(1.0, 1.0), flip=1.0), 1)
    for name in ("image", "mask", "class_masks"):
        np.testing.assert_allclose(
            out[name].astype(float), before[name].numpy()[:, ::-1], atol=1e-5
        )
    np.testing.assert_allclose(out["boxes"], [[COLS - 28, 8, 12, 20, 1]], atol=1e-4)


def test_without_factor_and_flip_nothing_changes():
    before = example()
    (out,) = drawn(EnlargeCropFlip(scale=(1.0, 1.0), flip=0.0), 1)
    for name, value in before.items():
        np.testing.assert_allclose(
            out[name].astype(float), value.numpy().astype(float), atol=1e-5
        )


def test_a_seed_decides_all_and_other_seeds_give_others():
    augment = EnlargeCropFlip()
    first, again, other = (augment(example(), seed(n)) for n in (5, 5, 6))
    for name, value in first.items():
        np.testing.assert_array_equal(value, again[name])
    assert np.abs(first["boxes"] - other["boxes"]).max() > 0.1


def test_graphs_and_eager_calls_agree():
    augment = EnlargeCropFlip()
    for number, graph in enumerate(drawn(augment, 3)):
        eager = augment(example(), seed(number))
        for name in ("image", "boxes"):
            np.testing.assert_allclose(graph[name], eager[name], atol=1e-4)
        differ = graph["class_masks"] != eager["class_masks"].numpy()
        assert differ.mean() < 0.01  # a center on the edge goes either way


@pytest.mark.parametrize(
    "wrong",
    [
        {"scale": (0.9, 1.1)},
        {"scale": (1.2, 1.1)},
        {"scale": (1.0, float("nan"))},
        {"flip": -0.1},
        {"flip": 1.1},
        {"flip": float("nan")},
    ],
)
def test_factors_and_probabilities_that_are_none_are_refused(wrong):
    with pytest.raises(ValueError, match=r"factor of at least 1.*Received: Enlarge"):
        EnlargeCropFlip(**wrong)
