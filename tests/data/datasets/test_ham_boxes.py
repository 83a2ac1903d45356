import json

import pytest

from kerasloc.data.datasets.ham_boxes import (
    RawBox,
    check_convention,
    chosen_names,
    known_names,
    nearest,
    place_boxes,
    read_boxes,
    read_json,
    spelling,
)
from kerasloc.data.datasets.reading import OWN

KNOWN = ("Mass", "Enlarged Cardiomediastinum", "Pleural_Thickening", "Infiltration")


@pytest.fixture
def file(tmp_path):
    """Function that writes a file and returns its path."""

    def write(content):
        text = content if isinstance(content, str) else json.dumps(content)
        (tmp_path / "BBoxes.json").write_text(text)
        return tmp_path / "BBoxes.json"

    return write


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a.png": [1, 2', r"BBoxes\.json is JSON\. Received: broken.*line 1"),
        ("", "broken JSON"),
        ("[1, 2]", "one JSON object.*Received: list"),
        ('{"a.png": {}, "a.png": {}}', r"(?s)stands once.*'a\.png', 2 times"),
    ],
)
def test_files_that_are_no_json_object_are_errors(file, text, message):
    with pytest.raises(ValueError, match=message):
        read_json(file(text))


def test_a_file_that_is_no_text_is_an_error(tmp_path):
    (tmp_path / "x.json").write_bytes(b"\x89PNG\xff\xfe{")
    with pytest.raises(ValueError, match="broken JSON"):
        read_json(tmp_path / "x.json")


def test_boxes_are_read_with_their_places(file):
    path = file({"a.png": {"Mass": [[1, 2, 3, 4], [5, 6.5, 7, 8]]}, "b.png": {}})
    assert read_boxes(path) == [
        RawBox("a.png", "Mass 1", "Mass", (1, 2, 3, 4)),
        RawBox("a.png", "Mass 2", "Mass", (5, 6.5, 7, 8)),
    ]


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ({"a.png": [[1, 2, 3, 4]]}, r"a\.png: \[\[1, 2"),
        ({"a.png": {"Mass": [1, 2, 3, 4]}}, r"a\.png, Mass 1: 1"),
        ({"a.png": {"Mass": [[1, 2, 3]]}}, r"a\.png, Mass 1: \[1, 2, 3\]"),
        ({"a.png": {"Mass": [[1, 2, 3, "4"]]}}, "Mass 1: .*4"),
        ({"a.png": {"Mass": None}}, "Mass 1: null"),
    ],
)
def test_boxes_built_in_another_way_are_listed(file, content, place):
    with pytest.raises(ValueError, match=rf"(?s)\{{image: \{{class: .*{place}"):
        read_boxes(file(content))


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("mass", "Mass"),
        ("Enlarg_Cardiomediastinum", "Enlarged Cardiomediastinum"),
        ("enlarged_cardiomediastinum", "Enlarged Cardiomediastinum"),
        ("Pleural Thickening", "Pleural_Thickening"),
        ("Infiltrate", "Infiltration"),
        ("INFILTRATION", "Infiltration"),
    ],
)
def test_spellings_of_a_class_are_one(written, meant):
    assert spelling(written) == spelling(meant)
    assert known_names({written: 1}, KNOWN, "here") == {written: meant}


def test_a_renaming_is_logged_once_with_its_count(caplog):
    known_names({"mass": 7, "Infiltration": 3}, KNOWN, "here")
    assert [r.getMessage() for r in caplog.records] == [
        "here: 'mass' is read as 'Mass', 7 times"
    ]


def test_unknown_names_are_listed_with_the_nearest_known_one():
    with pytest.raises(ValueError, match=r"(?s)Received: 2.*'Masss' \(nearest: Mass\)"):
        known_names({"Masss": 1, "Mass": 1, "Gout": 1}, KNOWN, "here")
    assert nearest("Pleural Thickning", KNOWN) == "Pleural_Thickening"


def test_names_that_a_caller_picks_are_those_known():
    assert chosen_names(["Infiltration", "Mass"], KNOWN) == ("Infiltration", "Mass")
    with pytest.raises(ValueError, match=r"'Infiltrate' \(nearest: Infiltration\)"):
        chosen_names(["Mass", "Infiltrate"], KNOWN)


def box(values, image="a.png", label="Mass"):
    return RawBox(image, f"{label} 1", label, values)


def test_either_convention_gives_x_y_w_h():
    raw = [box((10, 20, 30, 50)), box((0, 0, 1, 1), label="Hernia")]
    (corner,) = place_boxes(raw, {"Mass": 4}, "xyxy")
    (size,) = place_boxes(raw, {"Mass": 4}, "xywh")
    assert corner[:7] == ("a.png", "Mass 1", 10, 20, 20, 30, 4)
    assert size[:7] == ("a.png", "Mass 1", 10, 20, 30, 50, 4)
    assert corner.size is size.size is OWN  # the file's


def test_boxes_of_nih_images_are_measured_in_the_original():
    for convention in ("xywh", "xyxy"):
        raw = [box((1, 2, 3, 4), "images/00000001_000.png")]
        assert place_boxes(raw, {"Mass": 0}, convention)[0].size == (1024, 1024)


@pytest.fixture
def picture(tmp_path):
    """Files of one image of 100 columns and 80 rows."""
    from PIL import Image

    Image.new("L", (100, 80)).save(tmp_path / "a.png")
    return {"a.png": str(tmp_path / "a.png")}


SIZES = [(60, 40, 30, 30), (50, 50, 20, 20), (70, 10, 20, 60)]
CORNERS = [(60, 40, 90, 70), (50, 50, 70, 70), (70, 10, 90, 70)]


@pytest.mark.parametrize(
    ("values", "wrong", "right"), [(CORNERS, "xywh", "xyxy"), (SIZES, "xyxy", "xywh")]
)
def test_the_wrong_convention_is_an_error_that_says_the_right_one(
    picture, values, wrong, right
):
    raw = [box(four) for four in values]
    check_convention(raw, picture, right, "here", "Take {}.")
    message = (
        rf"read as {wrong} .*Received: 0 of 3.*as {right}.*3 of 3\. Take {right}\."
    )
    with pytest.raises(ValueError, match=message):
        check_convention(raw, picture, wrong, "here", "Take {}.")


def test_boxes_of_other_pictures_fit_neither_convention(picture):
    raw = [box((600, 400, 700, 500))]
    with pytest.raises(ValueError, match="Neither fits") as caught:
        check_convention(raw, picture, "xyxy", "here", "Take {}.")
    assert "Take" not in str(caught.value)


def test_half_of_the_boxes_may_leave_their_image(picture):
    raw = [box(CORNERS[0]), box((600, 400, 700, 500))]
    check_convention(raw, picture, "xyxy", "here", "")
    with pytest.raises(ValueError, match="Received: 1 of 3"):
        check_convention([*raw, raw[1]], picture, "xyxy", "here", "")


def test_a_little_may_stick_out(picture):
    check_convention([box((-1, -1, 101.5, 81))], picture, "xyxy", "here", "")
    with pytest.raises(ValueError, match="Received: 0 of 1"):
        check_convention([box((-1, -1, 103, 81))], picture, "xyxy", "here", "")


def test_boxes_of_images_without_a_file_do_not_count(picture):
    raw = [box((600, 400, 700, 500), "b.png"), box(CORNERS[0])]
    check_convention(raw, picture, "xyxy", "here", "")
    check_convention(raw, {}, "xyxy", "here", "")
