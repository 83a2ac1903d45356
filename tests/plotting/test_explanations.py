"""Pages of explanations."""

import dataclasses

import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.colors import to_hex

from kerasloc.plotting import ExplanationRow, explanation_page, overlay_image
from kerasloc.plotting.explanations import INK, RIGHT, SOFT, WRONG

RNG = np.random.default_rng(0)
ROW = ExplanationRow(
    image=RNG.random((20, 30, 1), np.float32),
    explanation=RNG.random((20, 30), np.float32) / 2,
    probabilities={"absent": 0.25, "present": 0.75},
    label="present",
)


def changed(**values):
    return dataclasses.replace(ROW, **values)


def pictures(figure):
    return [ax.images[0] for ax in figure.axes if ax.images]


def written(figure):
    return {text.get_text(): to_hex(text.get_color()) for text in figure.texts}


def test_a_row_is_image_explanation_and_overlay_at_their_own_scale():
    plain, explanation, over = pictures(explanation_page([ROW]))
    np.testing.assert_allclose(plain.get_array(), np.repeat(ROW.image, 3, axis=2))
    np.testing.assert_allclose(explanation.get_array(), ROW.explanation)
    assert explanation.get_clim() == (0, 1)
    expected = overlay_image(ROW.image, ROW.explanation)
    np.testing.assert_allclose(over.get_array(), expected)


@pytest.mark.parametrize(
    ("label", "words", "color"),
    [
        ("present", "label present", RIGHT),
        ("absent", "label absent", WRONG),
        (None, "label unknown", SOFT),
    ],
)
def test_label_and_prediction_stand_over_a_row(label, words, color):
    found = written(explanation_page([changed(label=label)], "$A$ page"))
    said = "predicted present 0.75, absent 0.25"
    assert found == {"$A$ page": INK, words: INK, said: color}


def test_of_many_classes_the_likeliest_are_named_and_long_names_are_cut():
    chances = {f"class {i} {'of a long name' * i}": i / 10 for i in range(5)}
    page = explanation_page([changed(probabilities=chances)])
    (said,) = (one for one in written(page) if one.startswith("predicted"))
    assert said.startswith("predicted class 4 of a long name")
    assert "class 1" not in said
    page.canvas.draw()
    ends = [text.get_window_extent().x1 for text in page.texts if text.get_text()]
    assert max(ends) < page.bbox.x1


def test_many_rows_stand_in_two_columns_and_nothing_overlaps():
    page = explanation_page([ROW] * 7, "A title that is as long as some runs' names")
    page.canvas.draw()
    boxes = [one.axes.get_window_extent() for one in pictures(page)]
    assert len(boxes) == 21
    assert len({round(box.x0) for box in boxes}) == 6
    things = [*boxes, *(text.get_window_extent() for text in page.texts)]
    for number, one in enumerate(things):
        assert not any(one.overlaps(other) for other in things[:number])
    assert pyplot.get_fignums() == []


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "at least one explanation. Received: none"),
        ([changed(explanation=2 * np.ones((4, 4)))], r"lies in \[0, 1\]"),
        ([changed(image=np.zeros((4, 4, 2)))], "An image to draw"),
    ],
)
def test_what_cannot_be_drawn_is_an_error_that_says_so(rows, message):
    with pytest.raises(ValueError, match=message):
        explanation_page(rows)
