"""Batches: what they hold, in which order, from which seed."""

import os

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from kerasloc.data.augment import AffineFlip, EnlargeCropFlip, augmentation
from kerasloc.data.decode import resize
from kerasloc.data.masks import box_masks
from kerasloc.data.pipeline import (
    PipelineConfig,
    batches,
    steps,
    training_batches,
)
from kerasloc.data.table import Table


@pytest.fixture
def table(tmp_path):
    """Seven images of one brightness each, 20 x 10, with boxes and a mask."""
    paths, masks = [], []
    for index in range(7):
        path = tmp_path / f"{index}.png"
        Image.fromarray(np.full((20, 10, 3), index * 30, np.uint8)).save(path)
        paths.append(str(path))
        masks.append("")
    mask = np.zeros((20, 10), np.uint8)
    mask[4:8, 2:6] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    masks[2] = str(tmp_path / "mask.png")
    labels = np.eye(2, dtype="float32")[[0, 1, 0, 1, 0, 1, 0]]
    boxes = [[2, 2, 4, 4, 4, 0], [2, 0, 0, 10, 20, 0], [5, 1, 1, 2, 2, 1]]
    return Table(paths, ("a", "b"), labels, boxes=boxes, masks=masks)


def order(data, count):
    found = []
    for element in data:
        found.extend(element["index"].numpy().tolist())
        if len(found) >= count:
            return found
    return found


def config(**changes):
    return PipelineConfig(
        **{"size": (8, 8), "batch_size": 3, "fields": ("image", "index")} | changes
    )


def test_batches_hold_every_image_once_in_order(table):
    elements = list(batches(table, config()))
    assert [len(e["index"]) for e in elements] == [3, 3, 1]
    assert np.concatenate([e["index"] for e in elements]).tolist() == list(range(7))
    brightness = np.concatenate([e["image"][:, 0, 0, 0] for e in elements])
    np.testing.assert_allclose(brightness, np.arange(7) * 30 / 255, atol=1e-5)


def test_boxes_and_masks_are_scaled_with_the_image(table):
    fields = ("boxes", "mask", "labels")
    element = next(iter(batches(table, config(fields=fields, batch_size=7))))
    expected = [[1.6, 1.6, 3.2, 1.6, 0], [0, 0, 8, 8, 0]]
    np.testing.assert_allclose(element["boxes"][2], expected, atol=1e-5)
    assert element["boxes"][5, 1, 4] == -1
    assert element["boxes"][0, :, 4].numpy().tolist() == [-1, -1]
    assert not element["mask"][1].numpy().any()
    assert np.argwhere(element["mask"][2]).min(axis=0).tolist() == [2, 2]
    np.testing.assert_array_equal(element["labels"], table.labels)


def test_training_epochs_hold_every_image_once_in_new_orders(table):
    found = order(training_batches(table, config()), 14)
    assert sorted(found[:7]) == sorted(found[7:]) == list(range(7))
    assert found[:7] != found[7:]


def test_an_epoch_is_decided_by_seed_and_number_alone(table):
    augmented = config(augment=AffineFlip(), seed=5)
    whole = training_batches(table, augmented).take(6)
    later = training_batches(table, augmented, first_epoch=1).take(3)
    tail = [e["image"].numpy() for e in whole][3:]
    for a, b in zip(tail, later, strict=True):
        np.testing.assert_array_equal(a, b["image"])
    other = training_batches(table, config(augment=AffineFlip(), seed=6)).take(3)
    assert any(
        not np.array_equal(a, b["image"]) for a, b in zip(tail, other, strict=True)
    )


def test_batch_larger_than_the_data_holds_it_all_and_says_so(table, caplog):
    large = config(batch_size=100)
    element = next(iter(training_batches(table, large)))
    assert len(element["index"]) == 7
    assert steps(table, large) == 1
    assert "larger than the 7 images" in caplog.text


@pytest.mark.parametrize("read", [batches, training_batches])
def test_normalizing_is_the_last_step(table, read):
    means, deviations = (0.5, 0.4, 0.3), (0.2, 0.1, 0.5)

    def darken(example, seed):
        return {**example, "image": example["image"] * 0.5}

    plain = config(augment=darken)
    scaled = config(augment=darken, mean=means, std=deviations)
    for a, b in zip(
        read(table, plain).take(2), read(table, scaled).take(2), strict=True
    ):
        expected = (a["image"].numpy() - means) / deviations
        np.testing.assert_allclose(b["image"], expected, atol=1e-5)
        assert b["image"].dtype == np.float32
    assert b["image"].numpy().min() < 0


def test_augmentations_know_the_size_of_the_file(table):
    seen = []

    def look(example, seed):
        seen.append(example["file_size"])
        brightness = tf.cast(example["file_size"][0], tf.float32) / 100
        return {**example, "image": tf.zeros((8, 8, 3)) + brightness}

    element = next(iter(training_batches(table, config(augment=look))))
    np.testing.assert_allclose(element["image"], 0.2, atol=1e-6)
    assert len(seen) == 1  # traced, not called per image
    assert set(element) == {"image", "index"}


@pytest.mark.parametrize("name", ["xray", "voc"])
def test_named_augmentations_move_boxes_in_a_pipeline(table, name):
    fields = ("image", "boxes", "mask")
    how = config(fields=fields, augment=augmentation(name), batch_size=7)
    element = next(iter(training_batches(table, how)))
    assert element["image"].shape == (7, 8, 8, 3)
    assert element["boxes"].shape == (7, 2, 5)
    assert element["mask"].shape == (7, 8, 8)


def test_bicubic_images_differ_from_bilinear_ones(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (24, 24), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    table = Table([str(tmp_path / "x.png")], ("a",), np.ones((1, 1), "float32"))
    images = {}
    for kind in ("bilinear", "bicubic"):
        how = config(interpolation=kind, channels=1, fields=("image",))
        images[kind] = next(iter(batches(table, how)))["image"][0].numpy()
        float_image = tf.constant(pixels[..., None] / 255, tf.float32)
        expected = resize(float_image, (8, 8), kind)
        np.testing.assert_allclose(images[kind], expected, atol=1e-5)
    assert np.abs(images["bilinear"] - images["bicubic"]).max() > 0.02


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_cached_images_equal_the_read_ones(table, tmp_path, kind):
    cache = "memory" if kind == "memory" else str(tmp_path / "cache")
    fields = ("image", "boxes", "index")
    plain = training_batches(table, config(fields=fields)).take(3)
    for _ in range(2):
        cached = training_batches(table, config(fields=fields, cache=cache)).take(3)
        for a, b in zip(plain, cached, strict=True):
            for name in fields:
                np.testing.assert_array_equal(a[name], b[name])


def test_changed_file_is_cached_anew(table, tmp_path):
    cached = config(cache=str(tmp_path / "cache"), batch_size=7)
    next(iter(batches(table, cached)))
    Image.fromarray(np.full((20, 10, 3), 255, np.uint8)).save(table.paths[0])
    os.utime(table.paths[0], (1, 1))
    image = next(iter(batches(table, cached)))["image"][0]
    np.testing.assert_allclose(image, np.ones((8, 8, 3)), atol=1e-6)


def test_another_interpolation_is_cached_anew(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (24, 24), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    table = Table([str(tmp_path / "x.png")], ("a",), np.ones((1, 1), "float32"))
    images = [
        next(iter(batches(table, config(cache=cache, interpolation=kind))))["image"]
        for kind in ("bilinear", "bicubic")
        for cache in (str(tmp_path / "cache"), None)
    ]
    np.testing.assert_array_equal(images[0], images[1])
    np.testing.assert_array_equal(images[2], images[3])
    assert np.abs(images[0] - images[2]).max() > 0.02


def test_gray_batches_have_one_channel(table):
    element = next(iter(batches(table, config(channels=1))))
    assert element["image"].shape == (3, 8, 8, 1)


def test_wrong_settings_are_refused(table):
    with pytest.raises(ValueError, match="batch_size is positive"):
        config(batch_size=0)
    with pytest.raises(ValueError, match="fields are among"):
        config(fields=("picture",))
    with pytest.raises(ValueError, match="one of bilinear, bicubic"):
        config(interpolation="nearest")
    with pytest.raises(ValueError, match="at least one image"):
        batches(table.split("val"), config())


@pytest.mark.parametrize(
    "wrong",
    [
        {"mean": (0.5,), "std": (0.2,)},
        {"mean": (0.5, 0.5, 0.5)},
        {"std": (0.2, 0.2, 0.2)},
        {"mean": (0.5, 0.5, 0.5), "std": (0.2, 0.0, 0.2)},
    ],
)
def test_a_normalization_that_does_not_fit_is_refused(wrong):
    with pytest.raises(ValueError, match=r"both have 3 number\(s\)"):
        config(**wrong)


# Masks of classes


@pytest.fixture
def masked(tmp_path):
    """Two images of 24 x 16, the first with boxes of two classes and their file."""
    paths = [str(tmp_path / f"{index}.png") for index in range(2)]
    for path in paths:
        Image.fromarray(np.full((24, 16, 3), 90, np.uint8)).save(path)
    boxes = [[0, 2, 4, 6, 8, 0], [0, 8, 10, 8, 12, 1], [0, 0, 20, 4, 4, 1]]
    rows = np.array([[box[1:] for box in boxes]], "float32")
    flags = box_masks(rows, (24, 16), 2)[0].numpy() * np.uint16([1, 2])
    png = tf.io.encode_png(flags.sum(axis=-1, dtype=np.uint16)[..., None])
    (tmp_path / "masks.png").write_bytes(png.numpy())
    labels = np.array([[1, 1], [0, 0]], "float32")
    masks = [str(tmp_path / "masks.png"), ""]
    return Table(paths, ("a", "b"), labels, boxes=boxes, masks=masks)


FIELDS = ("boxes", "class_masks", "index")


@pytest.mark.parametrize("size", [(24, 16), (48, 32), (12, 8)])
def test_masks_of_classes_are_of_the_size_of_the_images(masked, size):
    element = next(iter(batches(masked, config(size=size, fields=FIELDS))))
    masks = element["class_masks"]
    assert (masks.shape, masks.dtype) == ((2, *size, 2), tf.bool)
    expected = box_masks(element["boxes"], size, 2)
    np.testing.assert_array_equal(masks, expected)  # even numbers: whole pixels
    assert expected.numpy()[0].any(axis=(0, 1)).all()
    assert not expected.numpy()[1].any()


def seen(masked, augment, epochs=8):
    """Masks that were moved, and masks of the moved boxes, by image."""
    how = config(size=(24, 16), fields=FIELDS, batch_size=2, augment=augment)
    for element in training_batches(masked, how).take(epochs):
        drawn = box_masks(element["boxes"], (24, 16), 2).numpy()
        moved = element["class_masks"].numpy()
        yield from zip(element["index"].numpy(), moved, drawn, strict=True)


def test_a_mirrored_mask_is_that_of_the_mirrored_boxes(masked):
    flip = EnlargeCropFlip(scale=(1.0, 1.0), flip=1.0)
    plain = next(moved for index, moved, _ in seen(masked, None) if index == 0)
    for index, moved, drawn in seen(masked, flip, 1):
        np.testing.assert_array_equal(moved, drawn)
        np.testing.assert_array_equal(moved, plain[:, ::-1] if index == 0 else False)


def test_a_cropped_mask_is_that_of_the_cropped_boxes_within_a_pixel(masked):
    crop = EnlargeCropFlip(scale=(1.2, 1.6))
    shapes = set()
    for _, moved, drawn in seen(masked, crop):
        wide, narrow = (
            tf.nn.max_pool2d(values[None].astype("float32"), 3, 1, "SAME")[0].numpy()
            for values in (drawn, ~drawn)
        )
        assert (moved <= (wide > 0)).all()
        assert (moved >= ~(narrow > 0)).all()
        shapes.add(int(moved.sum()))
    assert len(shapes) > 4  # it was another crop every time


# Weights


def test_images_are_drawn_as_often_as_they_weigh(table):
    weights = np.array([1, 1, 1, 1, 1, 1, 4.0])
    how = config(size=(2, 2), fields=("index",), batch_size=7)
    found = order(training_batches(table, how, weights=weights), 7 * 120)
    shares = np.bincount(found, minlength=7) / len(found)
    # 840 draws: three standard deviations are 0.051 and 0.031
    assert abs(shares[6] - 0.4) < 0.051
    assert np.abs(shares[:6] - 0.1).max() < 0.031


def test_a_weighted_epoch_is_as_long_and_has_its_own_draws(table):
    how = config(fields=("index",), seed=2)
    data = training_batches(table, how, weights=np.ones(7))
    sizes = [len(element["index"]) for element in data.take(6)]
    assert sizes == [3, 3, 1, 3, 3, 1]
    found = order(data, 21)
    epochs = {tuple(found[start : start + 7]) for start in (0, 7, 14)}
    assert len(epochs) == 3
    assert any(len(set(epoch)) < 7 for epoch in epochs)  # with replacement


def test_weighted_epochs_are_decided_by_seed_and_number_alone(table):
    weights = np.arange(1.0, 8.0)
    how = config(fields=("index",), seed=5)
    whole = order(training_batches(table, how, weights=weights), 28)
    later = order(training_batches(table, how, 2, weights), 14)
    assert whole[14:28] == later[:14]
    other = config(fields=("index",), seed=6)
    assert order(training_batches(table, other, weights=weights), 14) != whole[:14]


def test_an_image_that_weighs_next_to_nothing_is_hardly_drawn(table):
    weights = np.array([1e-9] * 6 + [1.0])
    found = order(training_batches(table, config(), weights=weights), 21)
    assert set(found) == {6}
