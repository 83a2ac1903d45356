"""Images, maps over them and boxes in a notebook."""

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from kerasloc import plotting

rng = np.random.default_rng(0)
IMAGE = rng.random((12, 16, 3), np.float32)
BATCH = rng.random((3, 12, 16, 3), np.float32)
HEAT = rng.random((6, 8))
CLASS_HEAT = rng.random((6, 8, 2))
NAMES = ("cat", "dog")
SCORED = [[1, 2, 5, 4, 1, 0.5], [8, 6, 4, 4, 0, 0.25]]
TABLE = [[0, 1, 2, 5, 4, 1], [2, 8, 6, 4, 4, 0], [2, 1, 1, 2, 2, 1]]


def titles(figure):
    return [ax.texts[0].get_text() for ax in figure.axes]


def notes(figure):
    return [ax.texts[1].get_text() for ax in figure.axes]


def labels(ax):
    return [text.get_text() for text in ax.texts[2:]]


def frames(ax):
    bounds = [p.get_bbox().bounds for p in ax.patches if isinstance(p, Rectangle)]
    return [(x + 0.5, y + 0.5, w, h) for x, y, w, h in bounds]


def picture(ax):
    return np.asarray(ax.images[0].get_array())


def assert_over(ax, image, heat, alpha=0.5):
    expected = plotting.overlay_image(image, heat, alpha)
    np.testing.assert_allclose(picture(ax), expected, atol=1e-6)


def test_a_map_in_unit_range_is_shown_unscaled_beside_the_image():
    figure = plotting.show(IMAGE, 0.2 + 0.5 * HEAT, alpha=0.4)
    assert titles(figure) == ["image", "map"]
    np.testing.assert_allclose(picture(figure.axes[0]), IMAGE, atol=1e-6)
    assert_over(figure.axes[1], IMAGE, 0.2 + 0.5 * HEAT, 0.4)
    assert notes(figure) == ["", ""]


def test_maps_of_another_range_are_scaled_with_a_note():
    maps = {"raw": 9 * HEAT - 3, "flat": np.full((2, 2), 7.0), "mask": HEAT > 0.5}
    figure = plotting.show(IMAGE, maps)
    assert titles(figure) == ["image", "raw", "flat", "mask"]
    heat = (HEAT - HEAT.min()) / np.ptp(HEAT)
    for ax, shown in zip(figure.axes[1:], (heat, 0 * HEAT, HEAT > 0.5), strict=True):
        assert_over(ax, IMAGE, shown)
    low, high = 9 * HEAT.min() - 3, 9 * HEAT.max() - 3
    assert notes(figure) == ["", f"{low:.3g} to {high:.3g}", "flat: 7", ""]


def test_maps_of_one_array_are_scaled_alike():
    raw = CLASS_HEAT * [0.5, 50]  # the first alone would pass for a heat map
    figure = plotting.show(IMAGE, raw)
    first = raw[..., 0]
    assert_over(figure.axes[1], IMAGE, (first - first.min()) / np.ptp(first))


def test_every_class_has_its_map_and_its_name():
    figure = plotting.show(IMAGE, CLASS_HEAT, classes=NAMES)
    assert titles(figure) == ["image", "cat", "dog"]
    for index, ax in enumerate(figure.axes[1:]):
        assert_over(ax, IMAGE, CLASS_HEAT[..., index])
    assert titles(plotting.show(IMAGE, CLASS_HEAT))[1:] == ["class 0", "class 1"]
    assert titles(plotting.show(IMAGE, HEAT, classes="dog"))[1:] == ["dog"]


@pytest.mark.parametrize(
    ("image", "maps"),
    [
        (IMAGE, HEAT[None]),
        (IMAGE, HEAT[..., None]),
        (IMAGE[None], HEAT),
        (IMAGE[None], HEAT[None, ..., None]),
        (IMAGE[None], {"map": HEAT[None]}),
        ((255 * IMAGE).round().astype("uint8"), HEAT.tolist()),
        (IMAGE[..., 0], HEAT),
        (IMAGE[..., :1], HEAT),
        (IMAGE[None, ..., 0], HEAT),
    ],
)
def test_one_image_and_one_map_may_have_axes_of_length_1(image, maps):
    figure = plotting.show(image, maps)
    assert titles(figure) == ["image", "map"]
    gray = np.shape(image)[-1] != 3
    pixels = np.repeat(IMAGE[..., :1], 3, axis=-1) if gray else IMAGE
    np.testing.assert_allclose(picture(figure.axes[0]), pixels, atol=0.002)
    expected = plotting.overlay_image(pixels, HEAT)
    np.testing.assert_allclose(picture(figure.axes[1]), expected, atol=0.002)


def test_a_batch_has_a_row_of_pictures_for_every_image():
    maps = {"a": rng.random((3, 6, 8)), "b": rng.random((3, 4, 4))}
    figure = plotting.show(BATCH, maps)
    for index in range(3):
        row = titles(figure)[3 * index : 3 * index + 3]
        assert row == [f"image {index}", "a", "b"]
        assert_over(figure.axes[3 * index + 2], BATCH[index], maps["b"][index])
    tops = [round(ax.get_position().y1, 6) for ax in figure.axes]
    assert len(set(tops)) == 3
    assert sorted(tops, reverse=True) == tops


def test_the_axes_of_the_images_decide_between_batches_of_maps_and_classes():
    maps = rng.random((3, 6, 2))
    assert titles(plotting.show(BATCH, maps))[1::2] == ["map"] * 3
    assert titles(plotting.show(IMAGE, maps))[1:] == ["class 0", "class 1"]
    maps = rng.random((3, 6, 8, 2))
    assert titles(plotting.show(BATCH, maps))[1:4] == ["class 0", "class 1", "image 1"]


def test_many_maps_take_several_lines_within_the_figure():
    figure = plotting.show(IMAGE, rng.random((4, 4, 6)))
    boxes = [ax.get_position() for ax in figure.axes]
    assert len({round(box.y1, 6) for box in boxes}) == 2
    assert min(min(box.x0, box.y0) for box in boxes) > 0
    assert max(max(box.x1, box.y1) for box in boxes) < 1
    for box in boxes:  # overlaps with itself alone
        assert sum(box.overlaps(b) for b in boxes) == 1


def test_boxes_frame_the_pixels_they_cover_on_every_picture():
    figure = plotting.show(IMAGE, {"a": HEAT}, [[1, 2, 5, 4], [8, 6, 4, 4]])
    assert [frames(ax) for ax in figure.axes] == [[(1, 2, 5, 4), (8, 6, 4, 4)]] * 2
    assert [labels(ax) for ax in figure.axes] == [[], []]


def test_boxes_have_class_and_score_and_are_on_the_map_of_their_class():
    figure = plotting.show(IMAGE, CLASS_HEAT, SCORED, classes=NAMES)
    assert [labels(ax) for ax in figure.axes] == [["dog 0.50", "cat 0.25"], [], []]
    assert [len(frames(ax)) for ax in figure.axes] == [2, 1, 1]
    assert frames(figure.axes[1]) == [(8, 6, 4, 4)]
    assert labels(plotting.show(IMAGE, boxes=SCORED).axes[0])[0] == "class 1 0.50"


@pytest.mark.parametrize(
    "boxes",
    [
        TABLE,
        np.array(TABLE, np.float32),
        [[[1, 2, 5, 4, 1]], (), np.array([[8, 6, 4, 4, 0], [1, 1, 2, 2, 1]])],
    ],
)
def test_boxes_of_a_batch_are_those_of_its_images(boxes):
    figure = plotting.show(BATCH, None, boxes, classes=NAMES)
    assert [labels(ax) for ax in figure.axes] == [["dog"], [], ["cat", "dog"]]
    assert frames(figure.axes[2])[0] == (8, 6, 4, 4)


def test_one_image_takes_a_list_of_one_array():
    assert len(frames(plotting.show(IMAGE, None, [np.array(SCORED)]).axes[0])) == 2


@pytest.mark.parametrize("boxes", [None, [], np.zeros((0, 6)), [[], [], []]])
def test_no_boxes_draw_no_frame(boxes):
    assert [frames(ax) for ax in plotting.show(BATCH, None, boxes).axes] == [[]] * 3


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ((BATCH[..., 0],), r"shape \(3, 12, 16\).*images\[..., None\]"),
        ((BATCH[:0],), r"shape \(0, 12, 16, 3\)"),
        ((255 * IMAGE,), "Divide by 255"),
        ((BATCH, HEAT), r"\(3, rows, cols.*of 3 images.*shape \(6, 8\)"),
        ((BATCH, np.ones((2, 6, 8))), r"shape \(2, 6, 8\) for images of 12 x 16"),
        ((IMAGE, np.ones((2, 6, 8, 1))), r"\(rows, cols\[, classes.* 1 image\."),
        ((IMAGE, np.ones((3, 12, 16))), r"shape \(3, 12, 16\).*classes last"),
        ((IMAGE, np.ones((0, 5))), r"shape \(0, 5\)"),
        ((IMAGE, 5.0), r"shape \(0,\)"),
        ((IMAGE, [[np.nan, 1]]), "Received: 1 NaN"),
        ((IMAGE, {"a": CLASS_HEAT}), "'a' with maps of 2 classes"),
        ((IMAGE, np.ones((2, 2, 200))), "at most 120.*1 images of 201 pictures"),
        ((IMAGE, None, [[1, 2, 3]]), r"x, y, w, h\[, class.*shape \(1, 3\)"),
        ((IMAGE, None, [[1, 2, 3, np.inf]]), "1 NaN or infinite"),
        ((IMAGE, None, [[1, 2, 3, 4, 0.5]]), "Received: 0.5"),
        ((IMAGE, None, [SCORED, SCORED]), "2 arrays for 1 images"),
        ((BATCH, None, [SCORED, SCORED]), "2 arrays for 3 images"),
        ((BATCH, None, [[1, 2, 5, 4]]), r"image, x, y.*shape \(1, 4\)"),
        ((BATCH, None, [[3, 1, 2, 5, 4, 1]]), "from 0 to 2. Received: 3"),
    ],
)
def test_arrays_that_do_not_fit_are_an_error(arrays, message):
    with pytest.raises(ValueError, match=message):
        plotting.show(*arrays)


@pytest.mark.parametrize(
    ("maps", "boxes", "message"),
    [
        (np.ones((2, 2, 3)), None, r"2 classes for maps of shape \(2, 2, 3\)"),
        (None, [[1, 1, 2, 2, 2]], "number of classes, 2. Received: 2"),
    ],
)
def test_names_are_those_of_the_classes(maps, boxes, message):
    with pytest.raises(ValueError, match=message):
        plotting.show(IMAGE, maps, boxes, classes=NAMES)
