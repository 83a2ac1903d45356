import json
import re

import numpy as np
import pytest
from PIL import Image

from kerasloc.data import (
    PolygonConfig,
    default_polygons,
    other_masks,
    read_folders,
    write_polygons,
)
from kerasloc.data.synthetic import render_polygons
from kerasloc.data.synthetic.flat import scene
from kerasloc.data.synthetic.folder import box_around

SMALL = {"size": 32, "train": (3, 2), "val": 2, "test": (1, 2)}
CONFIG = PolygonConfig(**SMALL)
CROWD = {"size": 32, "shapes": (4, 6), "overlap": True}
NESTED = {"outer": -1, "size": 64, "radius": (0.2, 0.24), "noise": 0}
SPLITS = ("train", "val", "test")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_polygons(tmp_path_factory.mktemp("data") / "polygons", CONFIG)


def pixels(path):
    return np.asarray(Image.open(path))


def render(label, number, **settings):
    return render_polygons(PolygonConfig(**settings), "train", label, number)


def one_shape(star, **settings):
    """Full mask of the target, alone in an image."""
    config = PolygonConfig(star, others=("4/1",), shapes=(1, 1), **settings)
    return scene(np.random.default_rng(0), config, present=True)[0][0].mask(64)


def test_the_folder_reads_as_a_table_with_boxes_and_masks_of_targets(folder):
    table = read_folders(folder)
    assert table.class_names == ("absent", "present")
    counts = [np.bincount(table.split(name).class_index).tolist() for name in SPLITS]
    assert counts == [[3, 2], [1, 1], [1, 2]]
    present = table.class_index == 1
    assert table.boxes[:, 0].tolist() == np.flatnonzero(present).tolist()
    assert (table.boxes[:, 5] == 1).all()
    assert (table.masks != "").tolist() == present.tolist()
    for box in table.boxes.astype(int):
        assert box[1:5].tolist() == box_around(pixels(table.masks[box[0]]) > 0)
    settings = json.loads((folder / "annotations.json").read_text())["settings"]
    assert (settings.pop("format"), settings.pop("kind")) == (1, "polygons")
    assert PolygonConfig(**settings) == CONFIG
    masks = other_masks(folder)  # of every image, apart from the target's
    assert set(masks) == set(table.paths)
    for path, mask in zip(table.paths, table.masks, strict=True):
        rest = pixels(masks[path]) > 0
        assert rest.any()
        assert not mask or not (rest & (pixels(mask) > 0)).any()


def test_an_image_depends_on_seed_split_class_and_number_only(folder):
    more = PolygonConfig(size=32, train=50, val=40, test=30)
    picture, mask, _ = render_polygons(more, "train", 1, 1)
    name = "train/present/0001.png"
    np.testing.assert_array_equal(picture, pixels(folder / name))
    np.testing.assert_array_equal(mask * 255, pixels(folder / "masks" / name))
    for key in (("val", 1, 1), ("train", 0, 1), ("train", 1, 2)):
        assert (picture != render_polygons(more, *key)[0]).any()
    assert (picture != render(1, 1, size=32, seed=1)[0]).any()


@pytest.mark.parametrize(
    ("count", "radius"),
    [(4, (0.1, 0.24)), (9, (0.14, 0.15))],  # the latter fit in a grid only
)
def test_without_overlap_no_two_shapes_share_a_pixel(count, radius):
    config = PolygonConfig(size=48, shapes=(count, count), radius=radius)
    for number in range(20):
        polygons, _ = scene(np.random.default_rng(number), config, present=True)
        masks = np.array([polygon.mask(48) for polygon in polygons])
        assert len(masks) == count
        assert masks.any(axis=(1, 2)).all()
        assert masks.sum(axis=0).max() == 1


def visible_and_full_masks(config, number):
    """Visible masks of the target and all others, and full masks of all shapes."""
    polygons, _ = scene(np.random.default_rng((0, 0, 1, number)), config, present=True)
    _, target, rest = render_polygons(config, "train", 1, number)
    return target, rest, np.array([polygon.mask(32) for polygon in polygons])


def test_overlapping_shapes_hide_the_target_up_to_the_occlusion():
    shared = 0
    for number in range(8):
        target, rest, full = visible_and_full_masks(PolygonConfig(**CROWD), number)
        np.testing.assert_array_equal(target, full[0])
        np.testing.assert_array_equal(target | rest, full.any(axis=0))
        shared += (full.sum(axis=0) > 1).sum()
    assert shared > 0
    config, hidden = PolygonConfig(**CROWD, occlusion=0.4), []
    for number in range(20):
        target, _, full = visible_and_full_masks(config, number)
        assert not (target & ~full[0]).any()
        hidden.append(1 - target.sum() / full[0].sum())
    assert min(hidden) == 0 < max(hidden) <= 0.4


def test_noise_changes_pixels_but_not_masks():
    clean, noisy = (render(1, 0, size=32, noise=noise) for noise in (0, 0.2))
    assert np.std(noisy[0].astype(int) - clean[0]) > 10
    for before, after in zip(clean[1:], noisy[1:], strict=True):
        np.testing.assert_array_equal(before, after)


def test_soft_outlines_change_colors_at_the_outlines_but_not_masks():
    common = {"size": 32, "noise": 0, "color": (0, 0, 0), "background": (255,) * 3}
    hard, soft = (render(1, 0, antialias=on, **common) for on in (False, True))
    assert set(np.unique(hard[0])) == {0, 255} < set(np.unique(soft[0]))
    np.testing.assert_array_equal(hard[0][..., 0] == 0, hard[1] | hard[2])
    np.testing.assert_array_equal(hard[1], soft[1])
    np.testing.assert_array_equal(soft[0][..., 0] < 128, soft[1] | soft[2])


def test_a_pentagram_has_its_core_and_fewer_pixels_than_its_convex_hull():
    from skimage.morphology import convex_hull_image

    mask = one_shape("5/2", radius=(24, 24))
    rows, cols = np.nonzero(mask)
    share = mask.sum() / convex_hull_image(mask).sum()
    np.testing.assert_allclose(share, 0.472, atol=0.03)  # 1.123 R^2 of 2.378 R^2
    assert mask[round(rows.mean()), round(cols.mean())]


def test_without_rotation_a_corner_is_on_top():
    masks = [one_shape("3/1", rotation=turn, radius=(20, 20)) for turn in (False, True)]
    upright, turned = (np.sort(mask.sum(axis=1))[::-1] for mask in masks)
    widths = masks[0].sum(axis=1)[masks[0].any(axis=1)]
    assert (np.diff(widths) >= 0).all()
    assert widths[0] <= 2
    assert widths[-1] > 30
    assert (upright != turned).any()


def test_the_target_lies_in_its_outer_shape_and_both_are_its_mask():
    settings = {"outer": "4/1", "other_outers": (None, "circle"), "size": 64}
    config = PolygonConfig(**settings, radius=(0.2, 0.24), noise=0)
    for number in range(5):
        rng = np.random.default_rng((0, 0, 1, number))
        polygon = scene(rng, config, present=True)[0][0]
        (outer, _), (inner, _) = polygon.layers(64)
        assert (polygon.star, polygon.outer) == ((5, 2), (4, 1))
        assert not ((inner > 0) & (outer <= 1)).any()
        _, target, _ = render_polygons(config, "train", 1, number)
        np.testing.assert_array_equal(target, outer > 0)


def test_with_an_outer_shape_the_target_outside_it_is_another_shape():
    config = PolygonConfig(target=3, others=(4,), outer=-1, other_outers=(None, 5))
    circle, pentagon, triangle, square = (-1, 1), (5, 1), (3, 1), (4, 1)
    inside = {(square, circle), (square, pentagon), (triangle, pentagon)}
    kinds = {*inside, (square, None), (triangle, None)}
    assert set(config.kinds) == kinds
    for number in range(5):
        polygons, _ = scene(np.random.default_rng(number), config, present=False)
        assert {(polygon.star, polygon.outer) for polygon in polygons} <= kinds


def test_both_classes_have_the_same_number_of_shapes_and_absent_ones_have_some():
    config = PolygonConfig(size=48, shapes=(1, 4), radius=(0.1, 0.2))
    counts = [
        [len(scene(np.random.default_rng(n), config, label)[0]) for n in range(30)]
        for label in (False, True)
    ]
    assert counts[0] == counts[1]
    assert set(counts[0]) == {1, 2, 3, 4}


def test_radii_may_be_shares_or_pixels():
    assert PolygonConfig(size=100, radius=(0.1, 0.2)).pixels == (10, 20)
    assert PolygonConfig(size=100, radius=(10, 20)).pixels == (10, 20)
    same = [render(1, 0, size=50, radius=radius)[0] for radius in ((0.1, 0.2), (5, 10))]
    np.testing.assert_array_equal(*same)


def test_fixed_colors_are_used_and_random_ones_differ_from_those_beneath_in_gray():
    fixed = {"color": (255, 0, 0), "outer_color": (0, 0, 255), "background": (90,) * 3}
    picture, _, _ = render(1, 0, **NESTED, **fixed, antialias=False)
    assert {tuple(rgb) for rgb in picture.reshape(-1, 3)} == set(fixed.values())
    config = PolygonConfig(**NESTED)
    for number in range(10):
        polygons, ground = scene(np.random.default_rng(number), config, present=True)
        for polygon in polygons:
            grays = [color.mean() for color in (ground, *polygon.colors)]
            assert np.diff(np.sort(grays)).min() > 0.15


@pytest.mark.parametrize(("same_color", "count"), [(True, 2), (False, 5)])
def test_shapes_of_an_image_may_have_the_same_color(same_color, count):
    settings = {"size": 48, "noise": 0, "antialias": False, "shapes": (4, 4)}
    picture = render(0, 0, **settings, color=None, same_color=same_color)[0]
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) == count


@pytest.mark.parametrize(("present", "star"), [(False, (-1, 1)), (True, (5, 2))])
def test_simplified_is_a_circle_and_the_target_or_a_circle_on_white(present, star):
    config = PolygonConfig.simplified(size=32, antialias=False)
    picture = render_polygons(config, "train", int(present), 0)[0]
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) == 2
    polygons, _ = scene(np.random.default_rng(0), config, present)
    assert [polygon.star for polygon in polygons] == [star, (-1, 1)]


def test_the_name_tells_settings_apart(tmp_path):
    assert PolygonConfig().name == "polygons-64px-seed0"
    assert PolygonConfig.simplified(size=96).name == "polygons-simplified-96px-seed0"
    with pytest.raises(ValueError, match=f"synthetic polygons.*Received: {tmp_path}"):
        other_masks(tmp_path)
    names = {PolygonConfig(train=train, target="7/2").name for train in (20, 21, 22)}
    assert len(names) == 3
    assert all(name.startswith("polygons-7_2-64px-seed0-") for name in names)
    config = PolygonConfig.simplified(size=16, train=2, val=0, test=0)
    assert default_polygons(tmp_path, config) == tmp_path / config.name
    assert set(read_folders(tmp_path / config.name).splits) == {"train"}


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"size": 8}, "size as integer of 16"),
        ({"size": 32.5}, "size as integer of 16"),
        ({"train": (0, 3)}, "train of one image per class"),
        ({"train": "many"}, "train to be a number of images"),
        ({"val": (3, 0)}, "val of one image per class or more, or 0"),
        ({"val": (0, -1)}, "val of one image per class or more, or 0"),
        ({"test": 1}, "test of one image per class"),
        ({"seed": -1}, "seed as integer of 0"),
        ({"target": "4/2"}, "a shape p/q"),
        ({"others": ()}, "other shapes"),
        ({"others": ((5, 2),)}, "others without the target"),
        ({"shapes": (0, 2)}, "shapes as integers of 1"),
        ({"shapes": (4, 2)}, "shapes.*ascending"),
        ({"radius": (0.2, 0.6)}, "radius in"),
        ({"radius": (0, 0.2)}, "radius in"),
        ({"radius": (10, 40)}, "radius in"),
        ({"occlusion": 0.3}, "overlap for an occlusion"),
        ({"occlusion": 1, "overlap": True}, r"occlusion in 0\.\.0\.9"),
        ({"noise": 2}, "noise in"),
        ({"noise": "much"}, "noise in"),
        ({"color": (0, 300, 0)}, "red, green and blue"),
        ({"color": 9}, "red, green and blue"),
        ({"color": (9, 9, None)}, "red, green and blue"),
        ({"color": (9, 9, 9), "background": [9, 9, 9]}, "fixed colors that differ"),
        ({"radius": (2.2, 4)}, "5/2 needs a radius of 2.4 pixels, the smallest is 2.2"),
        ({"outer": (7, 3), "size": 32}, "covers a pixel: 5/2 in 7/3 needs a radius"),
        ({"shapes": (5, 17)}, "17 shapes of the smallest radius.*may be 5.9 at most"),
    ],
)
def test_settings_out_of_their_range_are_errors(settings, rule):
    value = re.escape(str(next(iter(settings.values()))))
    with pytest.raises(ValueError, match=rf"Expected.*{rule}.*Received: .*{value}"):
        PolygonConfig(**settings)
