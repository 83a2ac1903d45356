"""Pages of heat maps, of explanations and of compared methods."""

import dataclasses
import itertools

import numpy as np
import pytest
from matplotlib.colors import to_hex

from kerasloc.plotting import (
    ExplanationRow,
    HeatmapRow,
    explanation_page,
    heatmap_page,
    method_page,
    overlay_image,
)
from kerasloc.plotting.pages import METHOD_LETTERS
from kerasloc.plotting.style import BOX_COLOR, GREEN, INK, RED, SOFT

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
EXPLANATION = ExplanationRow(
    image=RNG.random((20, 30, 1), np.float32),
    explanation=RNG.random((20, 30), np.float32) / 2,
    probabilities={"absent": 0.25, "present": 0.75},
    label="present",
)


def heatmaps(**changes):
    return heatmap_page([dataclasses.replace(ROW, **changes)])


def explanations(**changes):
    return explanation_page([dataclasses.replace(EXPLANATION, **changes)])


def pictures(figure):
    return [ax for ax in figure.axes if ax.images]


def texts(figure):
    """Text to color of everything that is written on a page."""
    artists = [text for ax in figure.axes for text in ax.texts] + figure.texts
    return {text.get_text(): to_hex(text.get_color()) for text in artists}


def assert_nothing_overlaps(figure):
    """Texts and pictures lie on the page and apart, but for white around letters."""
    figure.canvas.draw()
    artists = [text for ax in figure.axes for text in ax.texts] + figure.texts
    boxes = [text.get_window_extent() for text in artists if text.get_text()]
    boxes += [ax.get_window_extent() for ax in pictures(figure)]
    for box in boxes:
        assert min(box.x0, box.y0) >= 0
        assert box.x1 <= figure.bbox.x1
        assert box.y1 <= figure.bbox.y1
    for a, b in itertools.combinations(boxes, 2):
        across = min(a.x1, b.x1) - max(a.x0, b.x0)
        down = min(a.y1, b.y1) - max(a.y0, b.y0)
        assert min(across, down) < 2


# A row of a heat-map page


@pytest.mark.parametrize("scale", [1, 0.1])
def test_the_image_is_beside_its_heat_map_at_its_scale(scale):
    axes = pictures(heatmaps(heat=scale * ROW.heat))
    plain, hot = (ax.images[0].get_array() for ax in axes)
    np.testing.assert_allclose(plain, np.repeat(ROW.image, 3, axis=2))
    np.testing.assert_allclose(hot, overlay_image(ROW.image, scale * ROW.heat))


def test_boxes_frame_their_pixels_on_both_pictures():
    for ax in pictures(heatmaps()):
        frames = [patch.get_bbox().bounds for patch in ax.patches]
        assert frames == [(1.5, 2.5, 10, 5), (19.5, 9.5, 4, 4)]
        assert {to_hex(patch.get_edgecolor()) for patch in ax.patches} == {BOX_COLOR}


@pytest.mark.parametrize("boxes", [[], np.zeros((0, 4))])
def test_a_row_may_have_no_box(boxes):
    assert [len(ax.patches) for ax in pictures(heatmaps(boxes=boxes))] == [0, 0]


def test_a_cross_is_on_the_maximum_of_the_map():
    heat = np.zeros((2, 3))
    heat[1, 2] = 1  # its pixels are 10 x 10 pixels of the image
    plain, hot = pictures(heatmaps(heat=heat))
    assert not plain.lines
    (x,), (y,) = hot.lines[0].get_data()
    assert 24 <= x <= 29
    assert 14 <= y <= 19


def test_a_point_is_marked_instead_of_the_maximum():
    hot = pictures(heatmaps(point=(7, 0)))[1]
    assert [float(values[0]) for values in hot.lines[0].get_data()] == [7, 0]
    assert hot.get_xlim() == (-0.5, 29.5)
    assert hot.get_ylim() == (19.5, -0.5)


@pytest.mark.parametrize(
    ("hit", "word", "color"),
    [(True, "hit", GREEN), (np.bool_(False), "miss", RED), (None, "-", SOFT)],
)
def test_hit_is_green_and_miss_is_red(hit, word, color):
    written = texts(heatmaps(hit=hit))
    assert written[word] == color
    assert set(written) >= {"Pleural", "Thickening", "probability 0.457"}
    assert {"hit", "miss", "-"} & set(written) == {word}


def test_a_long_name_is_cut_after_three_lines():
    name = "tench, Tinca tinca, and every other fish that lives in a lake"
    written = list(texts(heatmaps(title=name)))
    assert written[:2] == ["tench, Tinca", "tinca, and every"]
    assert written[2].endswith("...")
    assert written[3].startswith("probability")


# The heat-map page


@pytest.mark.parametrize("shape", [(20, 30, 1), (30, 10, 3), (10, 40), (24, 24, 1)])
@pytest.mark.parametrize("count", [1, 6, 10])
def test_nothing_overlaps_and_nothing_leaves_the_page(shape, count):
    title = "Pleural_Thickening and more words to wrap"
    row = dataclasses.replace(ROW, image=np.zeros(shape, np.float32), title=title)
    assert_nothing_overlaps(heatmap_page([row] * count, "A page with a title"))


def test_ten_rows_are_two_columns_read_in_turn_with_a_single_color_bar():
    page = heatmap_page([ROW] * 10)
    axes = pictures(page)[::2]
    left = [round(ax.get_position().x0, 6) for ax in axes]
    top = [ax.get_position().y1 for ax in axes]
    assert left == 5 * [left[0]] + 5 * [left[5]]
    assert left[5] > left[0]
    assert top[:5] == sorted(top[:5], reverse=True)
    assert top[0] == top[5]
    assert [ax.get_xlabel() for ax in page.axes].count("heat") == 1


def test_signs_of_formulas_are_plain_text(tmp_path):
    row = dataclasses.replace(ROW, title="$a_b", note="c$")
    figure = heatmap_page([row], "$page $")
    figure.savefig(tmp_path / "page.png")
    assert {"$a_b", "$page $"} <= set(texts(figure))
    assert (tmp_path / "page.png").read_bytes().startswith(b"\x89PNG")


# Explanations


def test_a_row_is_image_explanation_and_overlay_without_scaling():
    images = [ax.images[0] for ax in pictures(explanations())]
    expected = (
        np.repeat(EXPLANATION.image, 3, axis=2),
        EXPLANATION.explanation,
        overlay_image(EXPLANATION.image, EXPLANATION.explanation),
    )
    for image, values in zip(images, expected, strict=True):
        np.testing.assert_allclose(image.get_array(), values)
    assert images[1].get_clim() == (0, 1)


@pytest.mark.parametrize(
    ("label", "words", "color"),
    [
        ("present", "label present", GREEN),
        ("absent", "label absent", RED),
        (None, "label unknown", SOFT),
    ],
)
def test_label_and_prediction_are_over_a_row(label, words, color):
    rows = [dataclasses.replace(EXPLANATION, label=label)]
    written = texts(explanation_page(rows, "$A$ page"))
    prediction = "predicted present 0.75, absent 0.25"
    assert written == {"$A$ page": INK, words: INK, prediction: color}


def test_of_many_classes_the_most_probable_are_named_and_long_names_are_cut():
    values = {f"class {i} {'of a long name' * i}": i / 10 for i in range(5)}
    page = explanations(probabilities=values)
    (prediction,) = (text for text in texts(page) if text.startswith("predicted"))
    assert prediction.startswith("predicted class 4 of a long name")
    assert "class 1" not in prediction
    assert_nothing_overlaps(page)


def test_seven_explanations_are_in_two_columns_and_nothing_overlaps():
    title = "A title that is as long as some runs' names"
    page = explanation_page([EXPLANATION] * 7, title)
    assert_nothing_overlaps(page)
    boxes = [ax.get_window_extent() for ax in pictures(page)]
    assert len(boxes) == 21
    assert len({round(box.x0) for box in boxes}) == 6


@pytest.mark.parametrize(
    ("page", "changes", "message"),
    [
        (heatmaps, {"heat": ROW.heat * 3}, r"\[0, 1\]. Received: .* to 2.9"),
        (heatmaps, {"heat": ROW.heat * np.nan}, "600 NaN"),
        (heatmaps, {"image": ROW.image * 255}, "Divide by 255"),
        (heatmaps, {"image": np.zeros((4, 4, 2))}, r"shape \(4, 4, 2\)"),
        (explanations, {"explanation": 2 * np.ones((4, 4))}, "values from 2 to 2"),
        (explanations, {"image": np.zeros((4, 4, 2))}, r"shape \(4, 4, 2\)"),
    ],
)
def test_a_wrong_row_is_an_error(page, changes, message):
    with pytest.raises(ValueError, match=message):
        page(**changes)


@pytest.mark.parametrize("page", [heatmap_page, explanation_page])
def test_a_page_without_rows_is_an_error(page):
    with pytest.raises(ValueError, match=r"rows=\[\]"):
        page([])


# Compared methods


def test_a_page_names_methods_and_rows_and_frames_the_boxes():
    images = RNG.random((2, 8, 8, 3))
    name = "a-long-name-of-a-run/of-a-network: own"
    maps = {name: images[..., 0], "b": images[..., 1]}
    boxes = [np.array([[1, 2, 3, 4]]), np.empty((0, 4))]
    figure = method_page(images, boxes, maps, ["cat", "dog"])
    grid = np.array(figure.axes).reshape(2, 3)
    titles = [ax.get_title() for ax in grid[0]]
    assert [titles[0], titles[2]] == ["image", "b"]
    assert titles[1].replace("\n", "") == "a-long-name-of-a-run/of-a-networkown"
    assert max(map(len, titles[1].split("\n"))) <= METHOD_LETTERS
    frames = [[patch.get_bbox().bounds for patch in ax.patches] for ax in grid.flat]
    assert frames == 3 * [[(0.5, 1.5, 3, 4)]] + 3 * [[]]
    written = [[text.get_text() for text in ax.texts] for ax in grid.flat]
    assert written == [["cat"], [], [], ["dog"], [], []]
    assert not any(ax.texts for ax in method_page(images, boxes, maps).axes)
