"""Pages of heat maps."""

import dataclasses
import warnings

import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.colors import to_hex

from kerasloc.plotting import HeatmapRow, heatmap_page, overlay_image
from kerasloc.plotting.overlays import BOX_COLOR

RNG = np.random.default_rng(0)
ROW = HeatmapRow(
    image=RNG.random((20, 30, 1), np.float32),
    heat=RNG.random((20, 30), np.float32),
    boxes=np.array([[2.0, 3, 10, 5], [20, 10, 4, 4]]),
    title="Pleural_Thickening",
    probability=0.4567,
    hit=True,
    note="00000032_037.png",
)


def changed(**values):
    return dataclasses.replace(ROW, **values)


def pictures(figure):
    return [ax for ax in figure.axes if ax.images]


def texts(figure):
    """Text to color of what is written beside the pictures."""
    found = [text for ax in figure.axes for text in ax.texts]
    return {text.get_text(): to_hex(text.get_color()) for text in found}


def extents(figure):
    """Boxes in pixels of everything that is written on the page."""
    figure.canvas.draw()
    found = [text for ax in figure.axes for text in ax.texts] + figure.texts
    return [text.get_window_extent() for text in found if text.get_text()]


# What a row shows


def test_the_image_stands_beside_its_heat_map():
    plain, hot = (ax.images[0].get_array() for ax in pictures(heatmap_page([ROW])))
    np.testing.assert_allclose(plain, np.repeat(ROW.image, 3, axis=2))
    np.testing.assert_allclose(hot, overlay_image(ROW.image, ROW.heat))


def test_a_heat_map_keeps_its_scale():
    shown = pictures(heatmap_page([changed(heat=ROW.heat / 10)]))[1].images[0]
    expected = overlay_image(ROW.image, ROW.heat / 10)
    np.testing.assert_allclose(shown.get_array(), expected)


def test_boxes_frame_their_pixels_on_both_pictures():
    for ax in pictures(heatmap_page([ROW])):
        frames = [patch.get_bbox().bounds for patch in ax.patches]
        assert frames == [(1.5, 2.5, 10, 5), (19.5, 9.5, 4, 4)]
        assert {to_hex(patch.get_edgecolor()) for patch in ax.patches} == {BOX_COLOR}


@pytest.mark.parametrize("boxes", [[], np.zeros((0, 4))])
def test_a_row_may_have_no_box(boxes):
    axes = pictures(heatmap_page([changed(boxes=boxes)]))
    assert [len(ax.patches) for ax in axes] == [0, 0]


def test_a_cross_is_on_the_maximum_of_the_map():
    heat = np.zeros((2, 3))
    heat[1, 2] = 1  # its pixels are 10 x 10 ones of the image
    plain, hot = pictures(heatmap_page([changed(heat=heat)]))
    assert not plain.lines
    (x,), (y,) = hot.lines[0].get_data()
    assert 24 <= x <= 29
    assert 14 <= y <= 19


def test_a_maximum_that_is_given_is_marked_in_its_place():
    hot = pictures(heatmap_page([changed(point=(7, 0))]))[1]
    assert [float(one[0]) for one in hot.lines[0].get_data()] == [7, 0]
    assert hot.get_xlim() == (-0.5, 29.5)
    assert hot.get_ylim() == (19.5, -0.5)


@pytest.mark.parametrize(
    ("hit", "word", "color"),
    [
        (True, "hit", "#128a3a"),
        (np.bool_(False), "miss", "#c8102e"),
        (None, "-", "#6b6b76"),
    ],
)
def test_hit_is_green_and_miss_is_red(hit, word, color):
    written = texts(heatmap_page([changed(hit=hit)]))
    assert written[word] == color
    assert set(written) >= {"Pleural", "Thickening", "probability 0.457"}
    assert {"hit", "miss", "-"} & set(written) == {word}


def test_a_long_name_is_cut_after_three_lines():
    name = "tench, Tinca tinca, and every other fish that lives in a lake"
    written = list(texts(heatmap_page([changed(title=name)])))
    assert written[:2] == ["tench, Tinca", "tinca, and every"]
    assert written[2].endswith("...")
    assert written[3].startswith("probability")


# The page


@pytest.mark.parametrize("shape", [(20, 30, 1), (30, 10, 3), (10, 40), (24, 24, 1)])
@pytest.mark.parametrize("count", [1, 6, 10])
def test_nothing_overlaps_and_nothing_leaves_the_page(shape, count):
    image = np.zeros(shape, np.float32)
    row = changed(image=image, title="Pleural_Thickening and more words to wrap")
    figure = heatmap_page([row] * count, "A page of ours")
    boxes = extents(figure) + [ax.get_window_extent() for ax in pictures(figure)]
    ends = figure.bbox
    for i, one in enumerate(boxes):
        assert one.x0 >= 0
        assert one.y0 >= 0
        assert one.x1 <= ends.x1
        assert one.y1 <= ends.y1
        for other in boxes[:i]:
            across = min(one.x1, other.x1) - max(one.x0, other.x0)
            down = min(one.y1, other.y1) - max(one.y0, other.y0)
            assert min(across, down) < 2  # a pixel of white around the letters


def test_ten_rows_are_two_columns_read_one_after_the_other():
    rows = [changed(title=f"class {i}") for i in range(10)]
    figure = heatmap_page(rows)
    axes = pictures(figure)[::2]
    left = [round(ax.get_position().x0, 6) for ax in axes]
    top = [ax.get_position().y1 for ax in axes]
    assert left[:5] == [left[0]] * 5
    assert left[5:] == [left[5]] * 5
    assert left[5] > left[0]
    assert top[:5] == sorted(top[:5], reverse=True)
    assert top[0] == top[5]


def test_there_is_one_color_bar():
    axes = heatmap_page([ROW, ROW, ROW]).axes
    assert [ax.get_xlabel() for ax in axes].count("heat") == 1


def test_signs_of_formulas_are_plain_text():
    figure = heatmap_page([changed(title="$a_b", note="c$")], "$page $")
    figure.canvas.draw()
    assert "$a_b" in texts(figure)


def test_a_page_is_a_picture_and_pyplot_keeps_none(tmp_path):
    before = pyplot.get_fignums()
    with warnings.catch_warnings(action="error"):
        heatmap_page([ROW]).savefig(tmp_path / "page.png")
    assert pyplot.get_fignums() == before
    assert (tmp_path / "page.png").read_bytes().startswith(b"\x89PNG")


# How it fails


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "at least one row. Received: none"),
        ([changed(heat=ROW.heat * 3)], r"A heat map lies in \[0, 1\]"),
        ([changed(heat=ROW.heat * np.nan)], "heat map holds finite numbers"),
        ([changed(image=ROW.image * 255)], r"Float images lie in \[0, 1\]"),
        ([changed(image=np.zeros((4, 4, 2)))], r"Received: shape \(4, 4, 2\)"),
    ],
)
def test_a_wrong_row_is_an_error_that_says_so(rows, message):
    with pytest.raises(ValueError, match=message):
        heatmap_page(rows)
