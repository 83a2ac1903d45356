"""Which images, and which classes of them, are shown."""

import numpy as np
import pytest

from kerasloc.data import Table
from kerasloc.evaluation.choice import (
    Choice,
    class_indices,
    picked,
    positive_classes,
)

NAMES = ("cat", "dog", "fox")


@pytest.fixture
def table():
    """Five images: boxes, labels only, nothing known, none, boxes."""
    return Table(
        paths=[f"/data/{folder}/{i}.png" for i, folder in enumerate("abcdd")],
        class_names=NAMES,
        labels=[[1, 1, 1], [1, 0, 1], [np.nan] * 3, [0, 0, 0], [0, 1, np.nan]],
        boxes=[(0, 5, 5, 2, 2, 2), (0, 0, 0, 3, 3, 0), (4, 2, 2, 2, 2, 1)],
    )


def test_classes_are_found_by_name_in_that_order_and_once(table):
    assert class_indices(("fox", "cat", "fox"), table) == [2, 0]


def test_positive_classes_are_of_boxes_first_and_else_of_labels(table):
    assert positive_classes(table) == [[0, 2], [0, 2], [], [], [1]]


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


def test_a_name_of_several_images_is_refused():
    table = Table(
        paths=["a/1.png", "b/1.png"], class_names=NAMES, labels=np.zeros((2, 3))
    )
    with pytest.raises(ValueError, match="2 images have this name: a/1"):
        picked(table, ["1.png"])
    assert picked(table, ["b/1.png"]).paths.tolist() == ["b/1.png"]


@pytest.mark.parametrize(
    ("name", "message"),
    [("7.png", "7.png: no image"), ("5", r"from 0 to 4. Received:\n  5: no image")],
)
def test_an_image_that_is_not_there_is_named(table, name, message):
    with pytest.raises(ValueError, match=message):
        picked(table, ["1.png", name])


def test_a_class_that_is_not_there_is_named(table):
    with pytest.raises(ValueError, match=r"among cat, dog, fox\. Received: 'cow'"):
        class_indices(("cat", "cow"), table)


@pytest.mark.parametrize("name", ["limit", "batch_size"])
def test_numbers_are_positive(name):
    with pytest.raises(ValueError, match=f"{name} is .*positive.*Received: 0"):
        Choice(**{name: 0})
