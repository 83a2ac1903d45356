"""Properties of all augmentations: seeds, graphs, and what moves together."""

import re
import sys

import numpy as np
import pytest
import tensorflow as tf

from kerasloc.data.augment import (
    RECIPES,
    AffineFlip,
    ColorJitter,
    Distortion,
    EnlargeCropFlip,
    ImgaugAugmentation,
    OneOf,
    RotateCropFlip,
    Strong,
    augmentation,
    voc,
    xray,
)

NATIVE = ("affine", "xray", "voc", "ham")


def make(name, **settings):
    if name in ("imgaug", "strong"):
        pytest.importorskip("imgaug", exc_type=ImportError)
    return RECIPES[name](**settings)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("affine", {"probability": 1}),
        ("strong", {"probability": 0.5}),
        *((name, {}) for name in ("xray", "voc", "ham", "imgaug")),
    ],
)
def test_a_seed_determines_everything_and_others_differ(name, settings, example, seed):
    augment = make(name, **settings)
    first, again = (augment(example(), seed(4)) for _ in range(2))
    for key, value in first.items():
        np.testing.assert_array_equal(value, again[key])
    images = [augment(example(), seed(number))["image"] for number in range(5, 10)]
    assert any(np.abs(image - first["image"]).max() > 0.1 for image in images)


@pytest.mark.parametrize("name", NATIVE)
def test_graphs_and_eager_calls_agree(name, example, seed, run):
    augment = make(name)
    atol = 1e-5 if name == "affine" else 1e-4
    edges = 0.01 if name == "ham" else 0  # a center on the edge goes either way
    for number, graph in enumerate(run(augment, 4)):
        eager = augment(example(), seed(number))
        for key in ("image", "boxes"):
            np.testing.assert_allclose(graph[key], eager[key], atol=atol)
        for key in ("mask", "class_masks"):
            assert (graph[key] != eager[key].numpy()).mean() <= edges


@pytest.mark.parametrize("name", ["affine", "imgaug"])
def test_boxes_contain_masks_and_masks_follow_the_image(name, run, extent):
    checked = 0
    for result in run(make(name), 40):
        bright, mask = result["image"][..., 0] > 0.5, result["mask"]
        if not bright.any():
            continue
        assert (bright & mask).sum() / (bright | mask).sum() > 0.75
        np.testing.assert_array_equal(result["class_masks"][..., 1], mask)
        x, y, w, h = result["boxes"][0, :4]
        left, top, right, bottom = extent(mask)
        assert max(x - left, y - top, right - x - w, bottom - y - h) <= 1
        checked += 1
    assert checked > 30


@pytest.mark.parametrize("name", ["xray", "voc"])
@pytest.mark.parametrize("channels", [1, 3])
def test_boxes_are_around_the_pixels(name, channels, example, run, extent):
    checked = 0
    for result in run(make(name), 25, example(channels, (48, 48))):
        assert result["image"].shape == (48, 48, channels)
        if not len(result["boxes"]):
            continue
        bright = result["image"].max(axis=-1)
        bright = bright > bright.max() * 0.6
        x, y, w, h, label = result["boxes"][0]
        assert label == 2
        assert np.abs(extent(bright) - [x, y, x + w, y + h]).max() < 1.5
        mask = result["mask"]
        assert (mask & bright).sum() / (mask | bright).sum() > 0.75
        checked += 1
    assert checked > 15


@pytest.mark.parametrize(
    "augment",
    [
        RotateCropFlip(rotate=0.0, crop=0.0, flip=0.0),
        ColorJitter(probability=0.0),
        EnlargeCropFlip(scale=(1.0, 1.0), flip=0.0),
        AffineFlip(probability=0.0, flip=0.0),
        Distortion(optical=0.0, grid=0.0, piecewise=0.0),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_probabilities_and_limits_of_0_change_nothing(augment, channels, example, seed):
    before = example(channels)
    for name, value in augment(before, seed(0)).items():
        np.testing.assert_allclose(value, tf.cast(before[name], value.dtype), atol=1e-5)


def flips():
    yield AffineFlip(probability=0, flip=1), 1e-6, 0
    yield RotateCropFlip(rotate=0.0, crop=0.0, flip=1.0), 1e-5, 1e-4
    yield EnlargeCropFlip(scale=(1.0, 1.0), flip=1.0), 1e-5, 1e-4
    try:
        import imgaug.augmenters as iaa
    except ImportError:
        return
    yield augmentation(iaa.Fliplr(1.0)), 0, 0


@pytest.mark.parametrize(("flip", "atol", "box_atol"), flips())
def test_a_flip_mirrors_everything(flip, atol, box_atol, example, seed):
    before, result = example(), flip(example(), seed(1))
    np.testing.assert_allclose(result["image"], before["image"][:, ::-1], atol=atol)
    for name in ("mask", "class_masks"):
        np.testing.assert_array_equal(result[name], before[name][:, ::-1])
    boxes = [[48 - 28, 10, 12, 18, 2]]
    np.testing.assert_allclose(result["boxes"], boxes, atol=box_atol)


def test_names_stand_for_the_published_recipes():
    assert augmentation("none") is augmentation(None) is None
    assert augmentation("affine") == AffineFlip()
    assert augmentation("ham") == EnlargeCropFlip(scale=(1.0, 1.12), flip=0.5)
    assert augmentation("xray") == xray()
    assert augmentation("voc") == voc()
    geometry, jitter = voc().steps
    assert (geometry.rotation, geometry.aspect) == (10.0, (1.0, 1.0))
    assert (jitter.brightness, jitter.saturation) == (0.2, 0.2)
    assert hash(xray()) == hash(xray())


def test_unknown_augmentations_are_errors():
    names = ", ".join(map(repr, (*RECIPES, "none")))
    with pytest.raises(ValueError, match=f"{names}.*Received: 'flip'"):
        augmentation("flip")
    with pytest.raises(TypeError, match="Received: int"):
        augmentation(3)


@pytest.mark.parametrize("name", ["imgaug", "strong"])
def test_missing_imgaug_names_what_to_install(monkeypatch, name):
    monkeypatch.setitem(sys.modules, "imgaug", None)
    with pytest.raises(ImportError, match="libgl1"):
        augmentation(name)


def test_imgaug_takes_its_augmenters_only():
    pytest.importorskip("imgaug", exc_type=ImportError)
    with pytest.raises(TypeError, match=r"augmenter of imgaug.*int"):
        ImgaugAugmentation(3)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (EnlargeCropFlip, {"scale": (0.9, 1.1)}),
        (EnlargeCropFlip, {"scale": (1.2, 1.1)}),
        (EnlargeCropFlip, {"scale": (1.0, float("nan"))}),
        (EnlargeCropFlip, {"flip": -0.1}),
        (EnlargeCropFlip, {"flip": 1.1}),
        (EnlargeCropFlip, {"flip": float("nan")}),
        (RotateCropFlip, {"rotate": 1.5}),
        (RotateCropFlip, {"area": (0.0, 1.0)}),
        (RotateCropFlip, {"area": (0.5, 1.2)}),
        (RotateCropFlip, {"area": (0.9, 0.5)}),
        (RotateCropFlip, {"aspect": (0.0, 1.0)}),
        (RotateCropFlip, {"visible": -1}),
        (ColorJitter, {"contrast": 1.5}),
        (Distortion, {"grid": 0.5}),
        (lambda probability: OneOf((), probability), {"probability": 1.5}),
        (Strong, {"probability": -0.1}),
    ],
)
def test_settings_out_of_range_are_errors(kind, settings):
    if kind is Strong:
        pytest.importorskip("imgaug", exc_type=ImportError)
    ((name, value),) = settings.items()
    value = re.escape(str(value))
    with pytest.raises(ValueError, match=rf"Expected {name} .*Received: .*{value}"):
        kind(**settings)
