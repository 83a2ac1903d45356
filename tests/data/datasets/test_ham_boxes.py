import pandas as pd
import pytest

from kerasloc.data.datasets.ham_boxes import RAW, check_convention, read_boxes


def test_boxes_are_read_with_their_locations(tmp_path, put):
    content = {"a.png": {"Mass": [[1, 2, 3, 4], [5, 6.5, 7, 8]]}, "b.png": {}}
    boxes = read_boxes(put(tmp_path / "BBoxes.json", content))
    assert boxes.to_numpy().tolist() == [
        ["a.png", "Mass 1", "Mass", 1, 2, 3, 4],
        ["a.png", "Mass 2", "Mass", 5, 6.5, 7, 8],
    ]


@pytest.mark.parametrize(
    ("content", "location"),
    [
        ({"a.png": [[1, 2, 3, 4]]}, r"a\.png: \[\[1, 2"),
        ({"a.png": {"Mass": [1, 2, 3, 4]}}, r"a\.png, Mass 1: 1"),
        ({"a.png": {"Mass": [[1, 2, 3]]}}, r"a\.png, Mass 1: \[1, 2, 3\]"),
        ({"a.png": {"Mass": [[1, 2, 3, "4"]]}}, "Mass 1: .*4"),
        ({"a.png": {"Mass": None}}, "Mass 1: null"),
    ],
)
def test_boxes_of_another_structure_are_listed(tmp_path, put, content, location):
    with pytest.raises(ValueError, match=rf"(?s)\{{image: \{{class: .*{location}"):
        read_boxes(put(tmp_path / "BBoxes.json", content))


def frame(*boxes, image="a.png", label="Mass"):
    return pd.DataFrame([(image, "Mass 1", label, *box) for box in boxes], columns=RAW)


@pytest.fixture
def picture(tmp_path, put):
    """Files of one image of 100 columns and 80 rows."""
    return {"a.png": str(put(tmp_path / "a.png", size=(100, 80)))}


CORNERS, OUTSIDE = (60, 40, 90, 70), (600, 400, 700, 500)


def test_boxes_of_other_pictures_fit_neither_convention(picture):
    with pytest.raises(ValueError, match="Neither fits") as caught:
        check_convention(frame(OUTSIDE), picture, "xyxy", "here", "Take {}.")
    assert "Take" not in str(caught.value)


@pytest.mark.parametrize(
    ("fit", "misfit", "received"),
    [
        ([CORNERS, OUTSIDE], [CORNERS, OUTSIDE, OUTSIDE], "1 of 3"),
        ([(-1, -1, 101.5, 81)], [(-1, -1, 103, 81)], "0 of 1"),  # 2 % may stick out
    ],
)
def test_half_of_the_boxes_must_be_nearly_inside(picture, fit, misfit, received):
    assert check_convention(frame(*fit), picture, "xyxy", "here", "") is None
    with pytest.raises(ValueError, match=f"Received: {received}"):
        check_convention(frame(*misfit), picture, "xyxy", "here", "")


def test_boxes_of_images_without_a_file_do_not_count(picture):
    raw = pd.concat([frame(OUTSIDE, OUTSIDE, image="b.png"), frame(CORNERS)])
    for files in (picture, {}):
        assert check_convention(raw, files, "xyxy", "here", "") is None
