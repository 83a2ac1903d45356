"""Rows and images of a gallery, of a model of constant outputs."""

import dataclasses
import types

import numpy as np
import pytest
from PIL import Image

from kerasloc.data import Table
from kerasloc.evaluation.configs import GalleryConfig
from kerasloc.evaluation.gallery import images_of, rows_of
from kerasloc.metrics import resize_maps

NAMES = ("cat", "dog", "fox")
PROBABILITIES = (0.1, 0.7, 0.2)


class StandIn:
    """Model of constant outputs; the map of class c is highest in its cell (c, c)."""

    probabilities = PROBABILITIES

    def __init__(self, size=(16, 16), channels=3, **config):
        self.config = types.SimpleNamespace(
            im_size=size,
            channels=channels,
            **{"class_names": NAMES, "multi_label": True, "thresholds": 0.5, **config},
        )
        self.calls = []

    def forward(self, x):
        maps = np.zeros((4, 4, 3), np.float32)
        maps[range(3), range(3), range(3)] = 8
        return {
            "probabilities": np.tile(self.probabilities, (len(x), 1)),
            "maps": np.stack([maps - 4] * len(x)),
        }

    def maps_of(self, outputs, classes):
        self.calls.append((len(outputs["maps"]), list(classes)))
        return outputs["maps"][..., classes]

    def heatmaps_of(self, outputs, classes):
        """All low, as of what is unlikely, and mirrored, to differ from the maps."""
        maps = np.moveaxis(outputs["maps"][..., classes][:, :, ::-1], -1, 1)
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


def names_of(rows):
    """Image and class of every row."""
    return [f"{row.shown.note[:-4]} {row.shown.title}" for row in rows]


# Which rows


def test_an_image_has_rows_of_its_boxes_or_labels_or_its_likeliest_class(rows):
    expected = "0 cat, 0 fox, 4 dog, 1 cat, 1 fox, 2 dog, 3 dog"
    assert names_of(rows) == expected.split(", ")


def test_named_classes_are_shown_of_every_image_in_that_order(table):
    config = GalleryConfig(("3", "1"), ("fox", "cat", "fox"))
    rows = names_of(rows_of(StandIn(), table, config))
    assert rows == ["3 fox", "3 cat", "1 fox", "1 cat"]


@pytest.mark.parametrize(("limit", "images"), [(1, 1), (2, 1), (3, 2), (5, 3), (99, 5)])
def test_a_limit_reads_no_more_images_than_it_needs(table, limit, images):
    wrapper = StandIn()
    rows = list(rows_of(wrapper, table, GalleryConfig(limit=limit)))
    assert len(rows) == min(limit, 7)
    assert [count for count, _ in wrapper.calls] == [images]


def test_maps_are_made_batch_by_batch_and_only_of_classes_that_are_shown(table):
    wrapper = StandIn()
    rows = rows_of(wrapper, table, GalleryConfig(batch_size=2))
    assert wrapper.calls == []
    next(rows)
    assert wrapper.calls == [(2, [0, 1, 2])]
    list(rows)
    assert wrapper.calls[1:] == [(2, [0, 1, 2]), (1, [1])]


def test_the_size_of_a_batch_alters_nothing(table, rows):
    small = list(rows_of(StandIn(), table, GalleryConfig(batch_size=1)))
    assert names_of(small) == names_of(rows)
    for a, b in zip(small, rows, strict=True):
        np.testing.assert_array_equal(a.shown.heat, b.shown.heat)


# Rows


def test_a_row_has_the_image_its_heat_map_and_the_outputs(table):
    row = next(rows_of(StandIn((16, 32), 1), table))
    assert row.shown.image.shape == (16, 32, 1)
    np.testing.assert_allclose(row.shown.image, 0.4, atol=1e-6)
    assert row.shown.heat.shape == (16, 32)
    assert (row.shown.heat.min(), row.shown.heat.max()) == (0, 1)
    assert row.shown.heat[0, 31] == 1  # of the heat map, not of the raw one
    assert row.shown.point == (0, 0)
    assert row.shown.probability == pytest.approx(0.1)
    assert (row.path, row.label) == (table.paths[0], 1)


def test_boxes_and_hits_are_those_of_the_class_at_the_size_of_the_image(table):
    wide, square = (
        {(row.shown.note, row.shown.title): row.shown for row in rows_of(model, table)}
        for model in (StandIn((16, 32)), StandIn())
    )
    assert wide["0.png", "fox"].boxes.tolist() == [[20, 10, 8, 4]]
    assert wide["4.png", "dog"].boxes.tolist() == [[0, 0, 4, 2], [8, 4, 8, 4]]
    assert wide["1.png", "cat"].boxes.shape == (0, 4)
    assert square["0.png", "cat"].hit is True
    assert square["0.png", "fox"].hit is False
    assert square["4.png", "dog"].hit is True  # in the second of its boxes
    assert square["1.png", "cat"].hit is None
    assert square["0.png", "cat"].point == (0, 0)  # the first of equal maxima
    assert all(8 <= side < 12 for side in square["0.png", "fox"].point)


def test_records_are_lines_of_a_table(table, rows):
    lines = {}
    for row in rows:
        lines.setdefault(row.shown.note, []).append(row.record())
    names = ("image", "class", "label", "probability", "hit", "x", "y")
    values = (table.paths[0], "cat", 1, pytest.approx(0.1), 1, 0, 0)
    assert lines["0.png"][0] == dict(zip(names, values, strict=True))
    assert lines["0.png"][1]["hit"] == 0
    assert (lines["2.png"][0]["label"], lines["2.png"][0]["hit"]) == ("", "-")
    assert lines["3.png"][0]["label"] == 0


# Whole images


class Attentive(StandIn):
    """Model with maps and probabilities of "any class", too."""

    def forward(self, x):
        maps = np.linspace(0, 1, len(x) * 256).reshape(len(x), 16, 16, 1)
        logits = np.full((len(x), 1), np.log(1 / 3))
        more = {"abnormality_refined_maps": maps, "abnormality_logits": logits}
        return {**super().forward(x), **more}


@pytest.fixture(scope="module")
def images(table):
    """All images of the table."""
    return list(images_of(StandIn(), table))


def seen(images):
    """Name and classes of every image."""
    return [(one.name, [each.index for each in one.classes]) for one in images]


def test_an_image_has_its_classes_and_then_the_likeliest(images):
    assert seen(images) == [
        ("a/0.png", [0, 2, 1]),
        ("d/4.png", [1, 2, 0]),
        ("b/1.png", [0, 2, 1]),
        ("c/2.png", [1, 2, 0]),
        ("d/3.png", [1, 2, 0]),
    ]


def test_named_classes_are_the_only_ones_and_one_image_has_the_name_of_its_file(table):
    choice = GalleryConfig(("3",), ("fox", "cat"))
    assert seen(images_of(StandIn(), table, choice)) == [("3.png", [2, 0])]


def test_a_limit_counts_images(table):
    wrapper = StandIn()
    images = list(images_of(wrapper, table, GalleryConfig(limit=3, batch_size=2)))
    assert [one.name for one in images] == ["a/0.png", "d/4.png", "b/1.png"]
    assert [count for count, _ in wrapper.calls] == [2, 1]


def test_of_many_classes_an_image_has_five_more(table):
    class Many(StandIn):
        probabilities = np.arange(40) / 40

        def forward(self, x):
            maps = np.random.default_rng(0).random((len(x), 4, 4, 40))
            return {**super().forward(x), "maps": maps}

    names = tuple(f"class{i}" for i in range(40))
    labels = np.zeros((5, 40))
    labels[0, [3, 38]] = 1
    many = Table(paths=table.paths, class_names=names, labels=labels)
    images = seen(images_of(Many(class_names=names), many))
    assert images[0] == ("a/0.png", [3, 38, 39, 37, 36, 35])
    assert images[1] == ("b/1.png", [39, 38, 37, 36, 35])


def test_hits_points_and_boxes_are_those_of_the_rows(images, rows):
    images = {one.name: one for one in images}
    for row in rows:
        image = images[row.path.split("/")[-2] + "/" + row.shown.note]
        index = NAMES.index(row.shown.title)
        (one,) = (shown for shown in image.classes if shown.index == index)
        assert (one.hit, one.point) == (row.shown.hit, row.shown.point)
        assert one.probability == row.shown.probability
        np.testing.assert_equal(one.label, row.label)
        own = image.boxes[image.boxes[:, 4] == one.index, :4]
        np.testing.assert_array_equal(own, row.shown.boxes)
    assert images["c/2.png"].boxes.shape == (0, 5)


def test_heat_of_an_image_is_not_scaled(images):
    heat = images[0].classes[0].heat
    # the stand-in's maps from -4 to 4, divided by 1000, from 0.1
    assert (heat.min(), heat.max()) == pytest.approx((0.096, 0.104), abs=1e-6)


def test_predicted_is_what_lies_above_its_threshold(table):
    image = next(images_of(StandIn(thresholds=(0.05, 0.8, 0.2)), table))
    # a probability of 0.2 is not above 0.2
    said = [(one.index, one.predicted) for one in image.classes]
    assert said == [(0, True), (2, False), (1, False)]


def test_predicted_is_the_likeliest_where_an_image_has_one_class(table):
    image = next(images_of(StandIn(multi_label=False), table))
    assert [one.index for one in image.classes if one.predicted] == [1]


def test_only_some_models_have_maps_of_any_class(table, images):
    plain = images[0]
    assert (plain.abnormality, plain.abnormality_probability) == (None, None)
    first, *_, last = images_of(Attentive(), table, GalleryConfig(batch_size=2))
    expected = np.linspace(0, 1, 512)[:256].reshape(16, 16)
    np.testing.assert_allclose(first.abnormality, expected)
    np.testing.assert_allclose(last.abnormality.max(), 1)
    chances = first.abnormality_probability, last.abnormality_probability
    assert chances == pytest.approx((0.25, 0.25))
    assert len(list(rows_of(Attentive(), table))) == 7


def test_pixel_masks_are_read_where_there_are_some(table, images, tmp_path):
    assert images[0].mask is None
    mask = np.zeros((8, 8), np.uint8)
    mask[:, 4:] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    masks = [str(tmp_path / "mask.png"), "", "", "", ""]
    masked = dataclasses.replace(table, masks=masks)
    first, second, *_ = images_of(StandIn(), masked)
    np.testing.assert_array_equal(first.mask, np.tile(np.arange(16) >= 8, (16, 1)))
    assert not second.mask.any()


# Errors, before anything is read


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"images": ("7.png", "0")}, r"7.png: no image has this name or index"),
        ({"images": ("5",)}, r"from 0 to 4.*\n  5: no image"),
        ({"classes": ("cat", "cow")}, "'cow'"),
    ],
)
def test_a_wrong_choice_is_named(table, choice, message):
    wrapper = StandIn()
    for function in (rows_of, images_of):
        with pytest.raises(ValueError, match=message):
            function(wrapper, table, GalleryConfig(**choice))
    assert wrapper.calls == []
