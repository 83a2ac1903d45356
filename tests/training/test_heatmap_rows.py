"""Rows of what a model shows and answers."""

import types

import numpy as np
import pytest
from PIL import Image

from kerasloc.data import Table
from kerasloc.metrics import point_localization, resize_maps
from kerasloc.training.heatmap_rows import (
    Choice,
    picked,
    point_and_hit,
    positive_classes,
    rows_of,
)

NAMES = ("cat", "dog", "fox")
PROBABILITIES = (0.1, 0.7, 0.2)


class StandIn:
    """Answers everything alike; the map of class c is highest in its cell (c, c)."""

    def __init__(self, size=(16, 16), channels=3):
        self.config = types.SimpleNamespace(
            im_size=size, channels=channels, class_names=NAMES
        )
        self.asked = []

    def predict_proba(self, x, *, squeeze=True):
        return np.tile(PROBABILITIES, (len(x), 1))

    def maps(self, x, classes=None, *, squeeze=True):
        self.asked.append((len(x), list(classes)))
        every = np.zeros((4, 4, 3), np.float32)
        every[range(3), range(3), range(3)] = 8
        return np.stack([every[..., classes] - 4] * len(x))

    def heatmaps(self, x, classes=None, size=None, *, squeeze=True):
        """All low, as of what is unlikely, and mirrored, to be told from the maps."""
        maps = np.moveaxis(self.maps(x, classes)[:, :, ::-1], -1, 1)
        self.asked.pop()
        return np.moveaxis(resize_maps(maps, self.config.im_size), 1, -1) / 1000 + 0.1


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Five images, 8 x 8 each: boxes, labels only, nothing known, none, boxes."""
    root = tmp_path_factory.mktemp("images")
    paths = [root / folder / f"{i}.png" for i, folder in enumerate("abcdd")]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        Image.new("L", (8, 8), 102).save(path)
    return Table(
        paths=[str(path) for path in paths],
        class_names=NAMES,
        labels=[[1, 1, 1], [1, 0, 1], [np.nan] * 3, [0, 0, 0], [0, 1, np.nan]],
        boxes=[
            (0, 5, 5, 2, 2, 2),  # below the maximum of fox, at 8..11 of 16
            (0, 0, 0, 3, 3, 0),
            (4, 0, 0, 1, 1, 1),
            (4, 2, 2, 2, 2, 1),
        ],
    )


@pytest.fixture(scope="module")
def rows(table):
    """All rows of the table."""
    return list(rows_of(StandIn(), table))


def told(answers):
    """Image and class of every row."""
    return [(answer.shown.note, answer.shown.title) for answer in answers]


# Which rows


def test_an_image_has_rows_of_its_boxes_or_labels_or_its_likeliest_class(rows):
    assert told(rows) == [
        ("0.png", "cat"),
        ("0.png", "fox"),
        ("4.png", "dog"),
        ("1.png", "cat"),
        ("1.png", "fox"),
        ("2.png", "dog"),
        ("3.png", "dog"),
    ]


def test_positive_classes_are_of_boxes_first_and_else_of_labels(table):
    assert positive_classes(table) == [[0, 2], [0, 2], [], [], [1]]


def test_named_classes_are_shown_of_every_image_in_that_order(table):
    rows = told(rows_of(StandIn(), table, Choice(("3", "1"), ("fox", "cat", "fox"))))
    assert rows == [
        ("3.png", "fox"),
        ("3.png", "cat"),
        ("1.png", "fox"),
        ("1.png", "cat"),
    ]


@pytest.mark.parametrize(("limit", "images"), [(1, 1), (2, 1), (3, 2), (5, 3), (99, 5)])
def test_a_limit_reads_no_more_images_than_it_needs(table, limit, images):
    wrapper = StandIn()
    rows = list(rows_of(wrapper, table, Choice(limit=limit)))
    assert len(rows) == min(limit, 7)
    assert [count for count, _ in wrapper.asked] == [images]


def test_maps_are_made_batch_by_batch_and_only_of_classes_that_are_shown(table):
    wrapper = StandIn()
    rows = rows_of(wrapper, table, Choice(batch_size=2))
    assert wrapper.asked == []
    next(rows)
    assert wrapper.asked == [(2, [0, 1, 2])]
    list(rows)
    assert wrapper.asked[1:] == [(2, [0, 1, 2]), (1, [1])]


def test_the_size_of_a_batch_alters_nothing(table, rows):
    small = list(rows_of(StandIn(), table, Choice(batch_size=1)))
    assert told(small) == told(rows)
    for a, b in zip(small, rows, strict=True):
        np.testing.assert_array_equal(a.shown.heat, b.shown.heat)


@pytest.mark.parametrize(
    "name", ["d/4.png", "4.png", "4", "d/4", "./d/4.png", "d\\4.png"]
)
def test_an_image_is_picked_by_its_name_or_the_end_of_its_path(table, name):
    assert picked(table, [name]).paths.tolist() == [table.paths[4]]


def test_a_full_path_and_an_index_pick_an_image(table):
    renamed = Table(
        paths=["x/10.png", "x/1.png", "x/z.png"],
        class_names=NAMES,
        labels=np.zeros((3, 3)),
    )
    rows = picked(renamed, ["x/z.png", 0, "1"])
    # a name comes before an index: 1 is x/1.png, which has the index 1 as well
    assert rows.paths.tolist() == ["x/z.png", "x/10.png", "x/1.png"]
    assert picked(table, [table.paths[3]]).paths.tolist() == [table.paths[3]]


def test_all_images_are_taken_those_with_boxes_first(table):
    rows = picked(table).paths.tolist()
    assert rows == [table.paths[i] for i in (0, 4, 1, 2, 3)]


# What a row says


def test_a_row_has_the_image_its_heat_map_and_the_answers(table):
    row = next(rows_of(StandIn((16, 32), 1), table))
    assert row.shown.image.shape == (16, 32, 1)
    np.testing.assert_allclose(row.shown.image, 0.4, atol=1e-6)
    assert row.shown.heat.shape == (16, 32)
    assert (row.shown.heat.min(), row.shown.heat.max()) == (0, 1)
    assert row.shown.heat[0, 31] == 1  # of the heat map, not of the raw one
    assert row.shown.point == (0, 0)
    assert row.shown.probability == pytest.approx(0.1)
    assert (row.path, row.label) == (table.paths[0], 1)


def test_boxes_are_those_of_the_class_at_the_size_of_the_image(table):
    rows = {
        (row.shown.note, row.shown.title): row.shown.boxes
        for row in rows_of(StandIn((16, 32)), table)
    }
    assert rows["0.png", "fox"].tolist() == [[20, 10, 8, 4]]
    assert rows["4.png", "dog"].tolist() == [[0, 0, 4, 2], [8, 4, 8, 4]]
    assert rows["1.png", "cat"].shape == (0, 4)


def test_hit_says_whether_the_maximum_is_in_a_box_of_the_class(table):
    rows = {(row.shown.note, row.shown.title): row for row in rows_of(StandIn(), table)}
    assert rows["0.png", "cat"].shown.hit is True
    assert rows["0.png", "fox"].shown.hit is False
    assert rows["4.png", "dog"].shown.hit is True  # in the second of its boxes
    assert rows["1.png", "cat"].shown.hit is None
    assert rows["0.png", "cat"].shown.point == (0, 0)  # the first of equal maxima
    assert all(8 <= side < 12 for side in rows["0.png", "fox"].shown.point)


@pytest.mark.parametrize(
    ("box", "hit"),
    [
        ([3, 1, 2, 2], True),  # left and upper border
        ([1, 0, 2, 1], True),  # right and lower border
        ([3.1, 1, 2, 2], False),
        ([3, 1.1, 2, 2], False),
        ([1, 0, 1.9, 1], False),
        ([1, 0, 2, 0.9], False),
    ],
)
def test_borders_of_a_box_are_inside(box, hit):
    peak = np.zeros((4, 5))
    peak[1, 3] = 1
    assert point_and_hit(peak, np.array([box])) == ((3, 1), hit)


def test_hits_are_those_of_the_metric():
    rng = np.random.default_rng(0)
    maps = rng.standard_normal((40, 5, 7, 1))
    corners = rng.integers(0, 10, (40, 2))
    boxes = np.column_stack([corners, rng.integers(1, 10, (40, 2))]).astype(float)
    numbered = np.column_stack([np.arange(40), boxes, np.zeros(40)])
    expected = point_localization(maps, numbered, (20, 20))["hits"]
    resized = resize_maps(maps[..., 0], (20, 20))
    hits = [point_and_hit(*pair)[1] for pair in zip(resized, boxes, strict=True)]
    assert hits == expected.tolist()
    assert 0 < sum(hits) < 40


def test_records_are_lines_of_a_table(table, rows):
    lines = {}
    for row in rows:
        lines.setdefault(row.shown.note, []).append(row.record())
    assert lines["0.png"][0] == {
        "image": table.paths[0],
        "class": "cat",
        "label": 1,
        "probability": pytest.approx(0.1),
        "hit": 1,
        "x": 0,
        "y": 0,
    }
    assert lines["0.png"][1]["hit"] == 0
    assert (lines["2.png"][0]["label"], lines["2.png"][0]["hit"]) == ("", "-")
    assert lines["3.png"][0]["label"] == 0


# How it fails, before anything is read


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"images": ("7.png", "0")}, r"7.png: no image has this name or index"),
        ({"images": ("5",)}, r"from 0 to 4. Received:\n  5: no image"),
        ({"classes": ("cat", "cow")}, "among cat, dog, fox. Received: 'cow'"),
        ({"limit": 0}, "positive number of rows. Received: 0"),
        ({"batch_size": 0}, "batch_size is positive"),
    ],
)
def test_a_wrong_choice_is_an_error_that_says_so(table, choice, message):
    wrapper = StandIn()
    with pytest.raises(ValueError, match=message):
        rows_of(wrapper, table, Choice(**choice))
    assert wrapper.asked == []


def test_a_name_of_several_images_is_refused():
    table = Table(
        paths=["a/1.png", "b/1.png"], class_names=NAMES, labels=np.zeros((2, 3))
    )
    with pytest.raises(ValueError, match="2 images have this name: a/1"):
        picked(table, ["1.png"])
    assert picked(table, ["b/1.png"]).paths.tolist() == ["b/1.png"]
