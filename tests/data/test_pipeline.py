"""Batches: what they hold, in which order, from which seed."""

import os
import re

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from kerasloc.data.augment import AffineFlip, EnlargeCropFlip, augmentation
from kerasloc.data.decode import box_masks, resize
from kerasloc.data.pipeline import PipelineConfig, batches, steps, training_batches
from kerasloc.data.table import Table


@pytest.fixture
def table(tmp_path):
    """Seven images of one brightness each, 20 x 10, with boxes and a mask."""
    paths = []
    for index in range(7):
        paths.append(str(tmp_path / f"{index}.png"))
        Image.fromarray(np.full((20, 10, 3), index * 30, np.uint8)).save(paths[-1])
    masks = ["", "", str(tmp_path / "mask.png"), "", "", "", ""]
    mask = np.zeros((20, 10), np.uint8)
    mask[4:8, 2:6] = 255
    Image.fromarray(mask).save(masks[2])
    labels = np.eye(2, dtype="float32")[[0, 1, 0, 1, 0, 1, 0]]
    boxes = [[2, 2, 4, 4, 4, 0], [2, 0, 0, 10, 20, 0], [5, 1, 1, 2, 2, 1]]
    return Table(paths, ("a", "b"), labels, boxes=boxes, masks=masks)


def order(data, count):
    """Indices of the first images of some batches."""
    return [
        int(index) for index in data.unbatch().take(count).map(lambda e: e["index"])
    ]


def first(data):
    return next(iter(data))


def config(**changes):
    return PipelineConfig(
        **{"size": (8, 8), "batch_size": 3, "fields": ("image", "index")} | changes
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_batches_hold_every_image_once_in_order(table, channels):
    elements = list(batches(table, config(channels=channels)))
    assert [len(e["index"]) for e in elements] == [3, 3, 1]
    assert np.concatenate([e["index"] for e in elements]).tolist() == list(range(7))
    images = np.concatenate([e["image"] for e in elements])
    assert images.shape == (7, 8, 8, channels)
    np.testing.assert_allclose(images[:, 0, 0, 0], np.arange(7) * 30 / 255, atol=1e-5)


def test_boxes_and_masks_are_scaled_with_the_image(table):
    fields = ("boxes", "mask", "labels")
    element = first(batches(table, config(fields=fields, batch_size=7)))
    expected = [[1.6, 1.6, 3.2, 1.6, 0], [0, 0, 8, 8, 0]]
    np.testing.assert_allclose(element["boxes"][2], expected, atol=1e-5)
    assert element["boxes"][5, 1, 4] == -1
    assert element["boxes"][0, :, 4].numpy().tolist() == [-1, -1]
    assert not element["mask"][1].numpy().any()
    assert np.argwhere(element["mask"][2]).min(axis=0).tolist() == [2, 2]
    np.testing.assert_array_equal(element["labels"], table.labels)


def test_training_epochs_hold_every_image_once_in_new_orders(table):
    indices = np.reshape(order(training_batches(table, config()), 14), (2, 7))
    np.testing.assert_array_equal(np.sort(indices), [range(7)] * 2)
    assert (indices[0] != indices[1]).any()


@pytest.mark.parametrize("weights", [None, np.arange(1.0, 8.0)])
def test_an_epoch_is_determined_by_seed_and_number_alone(table, weights):
    def read(seed, first_epoch, count):
        settings = config(augment=AffineFlip(), seed=seed)
        data = training_batches(table, settings, first_epoch, weights)
        elements = list(data.take(count))
        return [np.concatenate([e[n] for e in elements]) for n in settings.fields]

    (images, indices), resumed = read(5, 0, 12), read(5, 2, 6)
    np.testing.assert_array_equal(images[14:], resumed[0])
    np.testing.assert_array_equal(indices[14:], resumed[1])
    other_images, other_indices = read(6, 0, 6)
    assert (images[:14] != other_images).any()
    assert (indices[:14] != other_indices).any()


def test_a_batch_larger_than_the_data_holds_all_of_it_with_a_warning(table, caplog):
    with pytest.raises(ValueError, match="Received: an empty table"):
        batches(table.split("val"), config())
    large = config(batch_size=100)
    element = first(training_batches(table, large))
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
    pairs = (read(table, settings).take(2) for settings in (plain, scaled))
    for a, b in zip(*pairs, strict=True):
        expected = (a["image"].numpy() - means) / deviations
        np.testing.assert_allclose(b["image"], expected, atol=1e-5)
        assert b["image"].dtype == np.float32
    assert b["image"].numpy().min() < 0


def test_augmentations_receive_the_size_of_the_file(table):
    seen = []

    def brighten(example, seed):
        seen.append(example["file_size"])
        brightness = tf.cast(example["file_size"][0], tf.float32) / 100
        return {**example, "image": tf.zeros((8, 8, 3)) + brightness}

    element = first(training_batches(table, config(augment=brighten)))
    np.testing.assert_allclose(element["image"], 0.2, atol=1e-6)
    assert len(seen) == 1  # traced, not called per image
    assert set(element) == {"image", "index"}


@pytest.mark.parametrize("name", ["xray", "voc"])
def test_named_augmentations_keep_shapes_in_a_pipeline(table, name):
    fields = ("image", "boxes", "mask")
    settings = config(fields=fields, augment=augmentation(name), batch_size=7)
    element = first(training_batches(table, settings))
    shapes = [tuple(element[field].shape) for field in fields]
    assert shapes == [(7, 8, 8, 3), (7, 2, 5), (7, 8, 8)]


def test_interpolations_differ_and_are_cached_apart(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (24, 24, 1), np.uint8)
    Image.fromarray(pixels[..., 0]).save(tmp_path / "x.png")
    noise = Table([str(tmp_path / "x.png")], ("a",), np.ones((1, 1), "float32"))
    images = {}
    for kind in ("bilinear", "bicubic"):
        for cache in (None, str(tmp_path / "cache")):
            settings = config(interpolation=kind, channels=1, cache=cache)
            image = first(batches(noise, settings))["image"][0].numpy()
            np.testing.assert_array_equal(image, images.setdefault(kind, image))
        expected = resize(tf.constant(pixels / 255, tf.float32), (8, 8), kind)
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


def test_bits_are_cached_apart(tmp_path):
    Image.fromarray(np.full((8, 8), 4095, np.uint16)).save(tmp_path / "x.png")
    cached = config(cache=str(tmp_path / "cache"))
    for bits, level in ((None, 4095 / 65535), (12, 1), (14, 4095 / 16383)):
        table = Table([str(tmp_path / "x.png")], ("a",), [[1]], bits=bits)
        image = first(batches(table, cached))["image"]
        np.testing.assert_allclose(image, np.full((1, 8, 8, 3), level), atol=1e-5)


def test_changed_file_is_cached_anew(table, tmp_path):
    cached = config(cache=str(tmp_path / "cache"), batch_size=7)
    first(batches(table, cached))
    Image.fromarray(np.full((20, 10, 3), 255, np.uint8)).save(table.paths[0])
    os.utime(table.paths[0], (1, 1))
    image = first(batches(table, cached))["image"][0]
    np.testing.assert_allclose(image, np.ones((8, 8, 3)), atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"batch_size": 0}, "batch_size of at least 1"),
        ({"fields": ("picture",)}, "fields among image"),
        ({"interpolation": "nearest"}, "interpolation of bilinear, bicubic"),
        ({"mean": (0.5,), "std": (0.2,)}, r"mean and std.*3 number\(s\)"),
        ({"mean": (0.5, 0.5, 0.5)}, "mean and std"),
        ({"std": (0.2, 0.2, 0.2)}, "mean and std"),
        ({"mean": (0.5, 0.5, 0.5), "std": (0.2, 0.0, 0.2)}, "std above 0"),
    ],
)
def test_settings_that_do_not_fit_are_errors(settings, rule):
    received = ", ".join(f"{key}={value!r}" for key, value in settings.items())
    with pytest.raises(ValueError, match=rf"{rule}.*Received.*{re.escape(received)}"):
        config(**settings)


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
def test_class_masks_have_the_size_of_the_images(masked, size):
    element = first(batches(masked, config(size=size, fields=FIELDS)))
    masks = element["class_masks"]
    assert (masks.shape, masks.dtype) == ((2, *size, 2), tf.bool)
    expected = box_masks(element["boxes"], size, 2)
    np.testing.assert_array_equal(masks, expected)  # even numbers: whole pixels
    assert expected.numpy()[0].any(axis=(0, 1)).all()
    assert not expected.numpy()[1].any()


def moved_masks(masked, augment, epochs=8):
    """Masks that were moved, and masks of the moved boxes, by image."""
    settings = config(size=(24, 16), fields=FIELDS, batch_size=2, augment=augment)
    for element in training_batches(masked, settings).take(epochs):
        drawn = box_masks(element["boxes"], (24, 16), 2).numpy()
        moved = element["class_masks"].numpy()
        yield from zip(element["index"].numpy(), moved, drawn, strict=True)


def test_a_mirrored_mask_is_that_of_the_mirrored_boxes(masked):
    flip = EnlargeCropFlip(scale=(1.0, 1.0), flip=1.0)
    plain = next(moved for index, moved, _ in moved_masks(masked, None) if index == 0)
    for index, moved, drawn in moved_masks(masked, flip, 1):
        np.testing.assert_array_equal(moved, drawn)
        np.testing.assert_array_equal(moved, plain[:, ::-1] if index == 0 else False)


def test_a_cropped_mask_is_that_of_the_cropped_boxes_within_a_pixel(masked):
    crop = EnlargeCropFlip(scale=(1.2, 1.6))
    shapes = set()
    for _, moved, drawn in moved_masks(masked, crop):
        wide, narrow = (
            tf.nn.max_pool2d(values[None].astype("float32"), 3, 1, "SAME")[0].numpy()
            for values in (drawn, ~drawn)
        )
        assert (moved <= (wide > 0)).all()
        assert (moved >= ~(narrow > 0)).all()
        shapes.add(int(moved.sum()))
    assert len(shapes) > 4  # it was another crop every time


# Weights


@pytest.mark.parametrize(
    ("last", "shares", "atol"),
    # 840 draws: three standard deviations are 0.031 and 0.051
    [(4.0, [0.1] * 6 + [0.4], [0.031] * 6 + [0.051]), (1e12, [0] * 6 + [1], [0] * 7)],
)
def test_images_are_drawn_by_their_weights(table, last, shares, atol):
    settings = config(size=(2, 2), fields=("index",), batch_size=7)
    data = training_batches(table, settings, weights=[1] * 6 + [last])
    counts = np.bincount(order(data, 7 * 120), minlength=7)
    assert (np.abs(counts / counts.sum() - shares) <= atol).all()


def test_weighted_epochs_are_as_long_and_differ(table):
    settings = config(fields=("index",), seed=2)
    data = training_batches(table, settings, weights=np.ones(7))
    assert [len(e["index"]) for e in data.take(6)] == [3, 3, 1, 3, 3, 1]
    epochs = set(map(tuple, np.reshape(order(data, 21), (3, 7))))
    assert len(epochs) == 3
    assert any(len(set(epoch)) < 7 for epoch in epochs)  # with replacement
