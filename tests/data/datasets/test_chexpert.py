import json

import numpy as np
import pytest

from kerasloc.data.datasets import read_dataset
from kerasloc.data.datasets.chexpert import CHEXPERT_CLASSES, read_chexpert
from kerasloc.data.datasets.files import files_below

RELEASE = "CheXpert-v1.0-small"
ABOUT = "Path,Sex,Age,Frontal/Lateral,AP/PA"
HEADER = ",".join((ABOUT, "No Finding", *CHEXPERT_CLASSES))
EDEMA, MASS = (CHEXPERT_CLASSES.index(n) for n in ("Edema", "Lung Lesion"))
ONE = "train/patient00001/study1/view1_frontal.jpg"
SIDE = "train/patient00001/study1/view2_lateral.jpg"
TWO = "train/patient00002/study3/view1_frontal.jpg"
VALID = "valid/patient64541/study1/view1_frontal.jpg"
ALL = dict.fromkeys(CHEXPERT_CLASSES, "0.0")


def row(path, cells=(), view="Frontal", prefix=f"{RELEASE}/"):
    cells = dict(cells)
    values = [cells.get(name, "") for name in ("No Finding", *CHEXPERT_CLASSES)]
    return ",".join([f"{prefix}{path}", "Male", "50", view, "AP", *values])


def write(path, *rows, header=HEADER):
    path.write_text("\n".join([header, *rows, ""]))


@pytest.fixture
def root(tmp_path, put):
    """Folder of the release: three training images of two patients, one to validate."""
    folder = tmp_path / RELEASE
    for path in (ONE, SIDE, TWO, VALID):
        put(folder / path, size=(100, 80))
    write(
        folder / "train.csv",
        row(ONE, {"Edema": "1.0", "Lung Lesion": "-1.0", "Fracture": "0.0"}),
        row(SIDE, {"Edema": "1.0"}, view="Lateral"),
        row(TWO, {"No Finding": "1.0", "Support Devices": "1.0"}),
    )
    write(folder / "valid.csv", row(VALID, ALL))
    return folder


def one_row(root, cells, **options):
    """Labels of the only row with these cells."""
    write(root / "train.csv", row(ONE, cells))
    (root / "valid.csv").unlink()
    return read_chexpert(root, **options).labels[0]


def test_the_official_files_make_a_table(root, caplog):
    table = read_chexpert(root)
    assert table.class_names == CHEXPERT_CLASSES
    assert len(CHEXPERT_CLASSES) == 13
    assert "No Finding" not in CHEXPERT_CLASSES
    assert table.paths.tolist() == [str(root / path) for path in (ONE, TWO, VALID)]
    assert table.splits.tolist() == ["train", "train", "val"]
    assert table.groups.tolist() == ["patient00001", "patient00002", "patient64541"]
    assert np.flatnonzero(table.labels[0] == 1).tolist() == [EDEMA]
    assert np.flatnonzero(np.isnan(table.labels[0])).tolist() == [MASS]
    assert table.boxes.shape == (0, 6)
    assert caplog.text == ""


@pytest.mark.parametrize("name", ["val.csv", "Validation.csv"])
def test_csv_files_have_synonyms(root, name):
    (root / "valid.csv").rename(root / name)
    assert read_chexpert(root).splits.tolist() == ["train", "train", "val"]
    write(root / "valid.csv", row(VALID, ALL))
    with pytest.raises(ValueError, match=r"(?s)for val\..*valid\.csv"):
        read_chexpert(root)


@pytest.mark.parametrize(
    ("uncertain", "minus"), [("unknown", np.nan), ("ones", 1), ("zeros", 0)]
)
@pytest.mark.parametrize(("blank", "empty"), [("unknown", np.nan), ("zeros", 0)])
def test_every_pair_of_policies(root, uncertain, minus, blank, empty):
    cells = {"Edema": "-1.0", "Lung Lesion": "1", "Fracture": "0"}
    labels = one_row(root, cells, uncertain=uncertain, blank=blank)
    expected = np.full(13, empty, np.float32)
    expected[[EDEMA, MASS, CHEXPERT_CLASSES.index("Fracture")]] = [minus, 1, 0]
    np.testing.assert_array_equal(labels, expected)
    if (uncertain, blank) == ("unknown", "zeros"):  # the default
        np.testing.assert_array_equal(read_chexpert(root).labels[0], expected)


def test_no_finding_makes_blanks_zero(root, caplog):
    table = read_chexpert(root, blank="unknown")
    assert table.labels[1].tolist() == [0] * 12 + [1]  # the device stays
    assert np.isnan(table.labels[0]).sum() == 11
    assert caplog.text == ""


def test_no_finding_beside_a_finding_is_logged_and_the_finding_stays(root, caplog):
    labels = one_row(root, {"No Finding": "1", "Edema": "1"})
    assert labels[EDEMA] == 1
    assert "1 rows have No Finding and findings" in caplog.text
    assert "line 2 of train.csv" in caplog.text


def test_lateral_views_are_read_on_request(root):
    table = read_chexpert(root, frontal_only=False)
    names = [f"view{i}" for i in (1, 2, 1, 1)]
    assert [path.split("/")[-1].split("_")[0] for path in table.paths] == names


def test_without_a_column_the_file_name_is_the_view(root):
    header = ",".join(("Path", *CHEXPERT_CLASSES))
    blank = "," * len(CHEXPERT_CLASSES)
    write(root / "test.csv", f"{SIDE}{blank}", f"{VALID},1{blank[1:]}", header=header)
    (root / "valid.csv").unlink()
    table = read_chexpert(root)
    assert table.splits.tolist() == ["train", "train", "test"]
    assert table.labels[2, 0] == 1


@pytest.mark.parametrize("prefix", ["", f"{RELEASE}/", "CheXpert-v1.0/"])
def test_the_root_is_the_folder_or_the_one_above(root, prefix):
    write(root / "train.csv", row(ONE, prefix=prefix))
    for folder in (root, root.parent):
        assert len(read_chexpert(folder)) == 2


def test_csv_files_may_lie_beside_the_release_that_their_rows_name(root, put):
    for name in ("train.csv", "valid.csv"):
        (root / name).rename(root.parent / name)
    assert len(read_chexpert(root.parent)) == 3
    second = put(root.with_name("CheXpert-v1.0") / ONE)
    (root.parent / "valid.csv").unlink()
    write(root.parent / "train.csv", row(ONE, prefix="CheXpert-v1.0/"))
    assert read_chexpert(root.parent).paths.tolist() == [str(second)]


def test_two_releases_with_labels_are_an_error(root, put):
    put(root.with_name("CheXpert-v1.0") / "train.csv", "")
    with pytest.raises(ValueError, match="Name one of the two"):
        read_chexpert(root.parent)


def test_images_may_lie_elsewhere(root, tmp_path):
    disk = tmp_path / "disk"
    for name in ("train", "valid"):
        disk.mkdir(exist_ok=True)
        (root / name).rename(disk / name)
    with pytest.raises(ValueError, match=r"(?s)all without.*image_dir"):
        read_chexpert(root)
    assert len(read_chexpert(root, disk)) == 3
    disk.rename(tmp_path / "CheXpert-v1.0-small" / "images")
    assert len(read_chexpert(root)) == 3


def test_some_classes_in_another_order(root):
    names = ("Lung Lesion", "Edema")
    boxes(root, {ONE: {"Edema": [[10, 20, 60, 70]], "Fracture": [[10, 20, 60, 70]]}})
    table = read_dataset("chexpert", root, class_names=names, image_dir=None)
    assert table.class_names == names
    assert table.labels[0, 1] == 1
    assert table.boxes.tolist() == [[0, 10, 20, 50, 50, 1]]


def test_rows_without_an_image_are_listed_or_left_out(root, caplog):
    (root / TWO).unlink()
    with pytest.raises(ValueError, match=r"patient00002.*\(line 4 of train\.csv\)"):
        read_chexpert(root)
    assert len(read_chexpert(root, on_error="skip")) == 2
    assert "left out 1" in caplog.text


def test_an_image_has_one_row(root):
    write(root / "valid.csv", row(VALID), row(ONE))
    with pytest.raises(ValueError, match=r"line 2 of train\.csv and line 3 of valid"):
        read_chexpert(root)


DOUBLE = HEADER.replace("Edema", "Fracture").replace("Fracture", "fracture", 1)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (HEADER.replace("Edema", "Oedemma"), r"'Oedemma' \(nearest: Edema\)"),
        (f"{HEADER},Gout", "'Gout' .nearest: "),
        (HEADER.replace(",Edema", ""), "missing: Edema"),
        (DOUBLE, "doub"),
        (HEADER.replace("Path", "File"), "columns Path"),
    ],
)
def test_unknown_or_missing_columns_are_errors(root, header, message):
    blank = "," * (header.count(",") - HEADER.count(","))
    write(root / "train.csv", f"{row(ONE)}{blank}", header=header)
    with pytest.raises(ValueError, match=message):
        read_chexpert(root)


def test_columns_in_another_spelling_are_valid(root, caplog):
    header = HEADER.replace("Edema", "edema").replace("No Finding", "No_Finding")
    write(root / "train.csv", row(TWO, {"No Finding": "1"}), header=header)
    table = read_chexpert(root, blank="unknown")
    assert not table.labels[0].any()
    assert "'edema' is read as 'Edema'" in caplog.text


CELL = r"(?s)1, 0, -1.*or blank.*line 2 of train\.csv: '{}' for Edema"


@pytest.mark.parametrize(
    ("path", "cells", "view", "message"),
    [
        *((ONE, {"Edema": c}, "Frontal", CELL.format(c)) for c in ("2", "-2.0", "nan")),
        (SIDE, {}, "Oblique", r"(?s)frontal or lateral.*line 2 of train"),
        (SIDE, {}, "Lateral", "1 lateral"),
    ],
)
def test_other_cells_and_views_are_errors(root, path, cells, view, message):
    (root / "valid.csv").unlink()
    write(root / "train.csv", row(path, cells, view))
    with pytest.raises(ValueError, match=message):
        read_chexpert(root)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"uncertain": "nan"}, r"uncertain .*'ones', 'zeros'\. Received: 'nan'"),
        ({"blank": "ones"}, "blank .*'unknown', 'zeros'. Received: 'ones'"),
        ({"class_names": ["Edma"]}, r"'Edma' \(nearest: Edema\)"),
        ({"class_names": ["No Finding"]}, "'No Finding'"),
        ({"class_names": []}, "class_names"),
    ],
)
def test_wrong_options_are_errors(root, options, message):
    with pytest.raises(ValueError, match=message):
        read_chexpert(root, **options)


def boxes(root, content):
    (root / "BBoxes.json").write_text(json.dumps(content))


@pytest.mark.parametrize("place", [".", "Annotations", ".."])
def test_boxes_are_corners_in_pixels_of_the_file(root, place):
    (root / place).mkdir(exist_ok=True)
    content = {ONE: {"edema": [[10, 20, 60, 70]]}, f"{RELEASE}/{VALID}": {}}
    boxes(root / place, content)
    assert read_chexpert(root.parent).boxes.tolist() == [[0, 10, 20, 50, 50, EDEMA]]


def test_boxes_of_findings_without_a_label_stay_and_are_logged(root, caplog):
    boxes(root, {ONE: {"Fracture": [[1, 2, 30, 40]], "Edema": [[1, 2, 30, 40]]}})
    table = read_chexpert(root)
    assert len(table.boxes) == 2
    assert table.labels[0, 11] == 0
    assert "1 boxes are of findings that the image is not labeled" in caplog.text
    assert "view1_frontal.jpg: Fracture" in caplog.text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([("Edema", [60, 40, 30, 30])], r"0 of 1 as xyxy.*1 of 1 as xywh.*now they"),
        ([("Oedema", [1, 2, 60, 70])], r"(?s)BBoxes.*'Oedema' \(nearest: Edema\)"),
        (
            [("Edema", [1, 2, 60, 70]), ("Fracture", [30, 30, 30, 40])],
            r"view1_frontal\.jpg \(Fracture 1\).*has no size",
        ),
    ],
)
def test_wrong_boxes_are_errors(root, content, message):
    boxes(root, {ONE: {name: [box] for name, box in content}})
    with pytest.raises(ValueError, match=message):
        read_chexpert(root)


def test_files_are_those_of_the_first_folder_that_has_them(tmp_path, put):
    for name in ("a/x/1.jpg", "b/x/1.jpg", "b/x/2.jpg"):
        put(tmp_path / name)
    (tmp_path / "b/x/3.jpg").mkdir()
    folders = [tmp_path / "none", tmp_path / "a", tmp_path / "b"]
    files = files_below(folders, [f"x/{i}.jpg" for i in range(1, 5)])
    paths = {"x/1.jpg": "a/x/1.jpg", "x/2.jpg": "b/x/2.jpg"}
    assert files == {name: str(tmp_path / path) for name, path in paths.items()}
