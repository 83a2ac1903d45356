import numpy as np
import pytest

from kerasloc.data.class_names import split_names
from kerasloc.data.datasets.csv_table import read_csv
from kerasloc.io import write_csv


@pytest.fixture
def csv_file(tmp_path):
    """Writes the lines to a csv beside a.png, b.png, c.png."""
    for name in "abc":
        (tmp_path / f"{name}.png").touch()

    def write(*lines):
        path = tmp_path / "table.csv"
        path.write_text("\n".join(lines))
        return path

    return write


BOXES = "image,label,x,y,w,h"
ONE_BOX = [[0, 1, 2, 3, 4, 1]]


@pytest.mark.parametrize(
    ("lines", "names", "labels", "boxes"),
    [
        (
            ["image,label", "a.png,cat|dog", "b.png,", "c.png, dog "],
            ("cat", "dog"),
            [[1, 1], [0, 0], [0, 1]],
            [],
        ),
        (["\ufeffimage,label", "a.png,x"], ("x",), [[1]], []),  # a byte order mark
        (
            ["image,dog,cat", "a.png,1,0", "b.png,,1.0"],
            ("dog", "cat"),
            [[1, 0], [np.nan, 1]],
            [],
        ),
        (
            [BOXES, "a.png,cat,1,2,3,4", "b.png,dog,,,,", "a.png,dog,5,6,7,8.5"],
            ("cat", "dog"),
            [[1, 1], [0, 1]],
            [[0, 1, 2, 3, 4, 0], [0, 5, 6, 7, 8.5, 1]],
        ),
        (
            ["image,label,box_label,x,y,w,h", "a.png,cat|dog,dog,1,2,3,4"],
            ("cat", "dog"),
            [[1, 1]],
            ONE_BOX,
        ),
        (
            ["image,cat,dog,x,y,w,h", "a.png,0,1,1,2,3,4"],  # the only 1
            ("cat", "dog"),
            [[0, 1]],
            ONE_BOX,
        ),
    ],
)
def test_labels_are_names_or_columns_and_rows_are_boxes(
    csv_file, lines, names, labels, boxes
):
    path = csv_file(*lines)
    table = read_csv(path)
    assert table.class_names == names
    np.testing.assert_array_equal(table.labels, labels)
    assert table.boxes.tolist() == boxes
    assert table.paths[0] == str(path.parent / "a.png")


def test_split_group_and_mask_are_read(csv_file):
    path = csv_file(
        "image,label,split,group,mask", "a.png,x,train,p1,m.png", "b.png,y,,,"
    )
    table = read_csv(path)
    assert table.splits.tolist() == ["train", ""]
    assert table.groups.tolist() == ["p1", ""]
    assert table.masks.tolist() == [str(path.parent / "m.png"), ""]


def test_splits_have_synonyms_in_any_case(csv_file):
    rows = ["a.png,x,Training", "b.png,y,VALID", "c.png,y, Test "]
    table = read_csv(csv_file("image,label,split", *rows))
    assert table.splits.tolist() == ["train", "val", "test"]


def test_images_may_lie_elsewhere(csv_file, tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "d.png").touch()
    path = csv_file("image,label", "d.png,x")
    assert read_csv(path, tmp_path / "sub").paths[0].endswith("sub/d.png")


def test_the_order_of_the_classes_is_that_of_the_caller(csv_file):
    path = csv_file("image,label", "a.png,cat")
    table = read_csv(path, class_names=("dog", "cat"))
    assert table.labels.tolist() == [[0, 1]]
    with pytest.raises(ValueError, match=r"class.*'dog', 'cow'.*'cat'"):
        read_csv(path, class_names=("dog", "cow"))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["image,label", "z.png,x"], r"line 2 .*\(z\.png\): there is no such image"),
        (["image,label", ",x"], r"line 2 .*\(\): there is no such image"),
        (["image,label,split", "a.png,x,all"], "line 2.*'all'"),
        (["image,dog", "a.png,2"], r"line 2 .*\(a\.png\): dog is 1, 0 or blank.*'2'"),
        (["image,label", "a.png,x", "a.png,x"], "line 3.*duplicate row"),
        (["image,label", "a.png,x", "a.png,y"], "line 3.*contradictory labels"),
        (
            ["image,label,group", "a.png,x,p", "a.png,x,q"],
            "line 3.*contradictory: an earlier row has another group",
        ),
        (["image,label,x,y,w,h", "a.png,x,1,1,0,5"], "line 2.*no size: w is 0, h is 5"),
        (["image,label,x,y,w,h", "a.png,x,1,1,,5"], "line 2.*four numbers"),
        (["image,label,x,y,w,h", "a.png,x|y,1,1,5,5"], "line 2.*box_label"),
        (
            ["image,label,box_label,x,y,w,h", "a.png,u,v,1,1,5,5", "b.png,v,,,,,"],
            "line 2.*a box of v, which is not there",
        ),
        (["image,label", "a.png,"], "no class"),
        (["picture,label", "a.png,x"], "Received: 1 rows with picture, label"),
        (["image;label", "a.png;x"], "comma-separated"),
        (["image,label"], "0 rows"),
        (["image,label,x,y", "a.png,x,1,1"], "all of x, y, w, h"),
    ],
)
def test_a_wrong_row_is_named(csv_file, lines, message):
    with pytest.raises(ValueError, match=message):
        read_csv(csv_file(*lines))


@pytest.mark.parametrize("lines", ["image,label\n", "picture,class\na.png,x\n"])
def test_without_rows_or_images_the_error_names_the_columns(tmp_path, lines):
    (tmp_path / "a.csv").write_text(lines)
    with pytest.raises(ValueError, match=r"Received: .*`filename`.*`label`"):
        read_csv(tmp_path / "a.csv")


def test_all_wrong_rows_are_counted_and_ten_shown(csv_file):
    path = csv_file("image,label", *(f"z{i}.png,x" for i in range(12)))
    with pytest.raises(ValueError, match=r"(?s)Received: 12 .*and 2 more") as error:
        read_csv(path)
    assert str(error.value).count("no such image") == 10


@pytest.mark.parametrize(
    ("lines", "received"),
    [
        (["image,cat,dog", "a.png,1,0,1", "b.png,0"], "line 2 with 4, line 3 with 2"),
        (["image,cat", "a.png,1", "b.png"], "line 3 with 1"),
        (["image,label", "a.png"], "line 2 with 1"),
        (["image,label", "a.png,cat, dog"], "line 2 with 3"),
    ],
)
def test_rows_with_more_or_fewer_fields_are_errors(csv_file, lines, received):
    with pytest.raises(ValueError, match=rf"table\.csv.*Received: {received}"):
        read_csv(csv_file(*lines))


def test_a_box_that_rows_repeat_counts_once_and_is_logged_once(csv_file, caplog):
    box = "a.png,cat,1,2,3,4"
    path = csv_file(BOXES, box, "a.png,dog,1,2,3,4", box, "a.png, cat,1.0,2,3,4", box)
    for _ in range(2):
        table = read_csv(path)
    assert table.boxes.tolist() == [[0, 1, 2, 3, 4, 0], [0, 1, 2, 3, 4, 1]]
    assert caplog.messages == [f"{path}: 3 rows repeat a box, which counts once."]
    assert caplog.records[0].levelname == "WARNING"


def test_a_repeated_box_of_rows_that_disagree_is_an_error(csv_file):
    header = "image,label,box_label,split,x,y,w,h"
    rows = ("a.png,cat,cat,train,1,2,3,4", "a.png,cat,cat,val,1,2,3,4")
    with pytest.raises(ValueError, match=r"line 3.*another split"):
        read_csv(csv_file(header, *rows))


def test_beside_a_column_label_no_column_is_a_class(csv_file, caplog):
    path = csv_file("image,label,dog,,age", "a.png,cat,1,,3", "b.png,,0,x,4")
    assert read_csv(path).class_names == ("cat",)
    (text,) = caplog.messages
    assert [line.strip() for line in text.splitlines()[1:-1]] == [
        "dog",
        "a column without a name",
        "age",
    ]
    assert "group" in text.splitlines()[-1]


METADATA = split_names(
    "sex, male, Female, AGE, view, patient, Gender, Patient ID, patient_id, PatientID, "
    "patientid, Patient Sex, is_male, sex_M, view_AP, View Position, site, site_2, "
    "Fold, id, image_id, lesion_id, Unnamed: 0, AP/PA, is_test, val, index"
)


@pytest.mark.parametrize("name", METADATA)
def test_usual_metadata_is_no_class_and_listed_with_a_hint(csv_file, caplog, name):
    path = csv_file(f"image,cat,{name}", "a.png,1,0", "b.png,0,1")
    assert read_csv(path).class_names == ("cat",)
    (text,) = caplog.messages
    assert name in text
    assert "group" in text
    assert read_csv(path, class_names=("cat", name)).labels.tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize("name", ["Ageratum", "COVID", "Fibroid", "overview", "train"])
def test_a_class_may_resemble_metadata(csv_file, caplog, name):
    path = csv_file(f"image,{name},group", "a.png,1,p", "b.png,0,q")
    assert read_csv(path).class_names == (name,)
    assert not caplog.messages


def test_a_column_of_a_class_holds_1_0_or_blank(csv_file, caplog):
    path = csv_file(
        "image,cat,notes,grade,m", "a.png,1,,2,x", "b.png,,,1,", "c.png,0,,0,"
    )
    table = read_csv(path)
    assert table.class_names == ("cat",)
    assert "notes, which is blank" in caplog.text
    assert "line 2 of table.csv (a.png): grade is 1, 0 or blank" in caplog.text
    assert "(a.png): m is 1, 0 or blank (unknown), not 'x'" in caplog.text


@pytest.mark.parametrize("cell", ["2", "x", "O"])
def test_few_other_cells_in_the_column_of_a_class_are_errors(csv_file, tmp_path, cell):
    rows = [f"{i}.png,{i % 2 if i else cell},1" for i in range(12)]
    for i in range(12):
        (tmp_path / f"{i}.png").touch()
    with pytest.raises(ValueError, match=rf"line 2.*dog is 1, 0 or blank.*'{cell}'"):
        read_csv(csv_file("image,dog,cat", *rows))


@pytest.mark.parametrize("cell", ["-1", "-1.0", "nan", "NaN"])
def test_unknown_labels_are_blank_and_not_what_else_denotes_them(csv_file, cell):
    with pytest.raises(ValueError, match=rf"line 2.*dog is 1, 0 or blank.*'{cell}'"):
        read_csv(csv_file("image,dog,cat", f"a.png,{cell},0", f"b.png,{cell},1"))


def test_metadata_alone_is_an_error_that_names_it(csv_file):
    with pytest.raises(
        ValueError,
        match=r"(?s)label, or one column per class.*Sex.*age.*in a column `label`",
    ):
        read_csv(csv_file("image,Sex,age", "a.png,1,0", "b.png,0,1"))


@pytest.mark.parametrize(
    "name", ["filename", "path", "image_id", "Filename", "file", "image_path", "IMAGE"]
)
def test_columns_have_usual_names_in_any_case(csv_file, name):
    path = csv_file(f"{name},Label,Split,GROUP", "a.png,x,train,p", "b.png,y,,")
    table = read_csv(path)
    assert table.paths.tolist() == [str(path.parent / f"{n}.png") for n in "ab"]
    assert table.splits.tolist() == ["train", ""]
    assert table.groups.tolist() == ["p", ""]


def test_of_several_names_of_the_image_the_others_are_not_used(csv_file, caplog):
    path = csv_file("image_id,filename,label", "7,a.png,x", "a,b.png,y")
    assert [p[-5:] for p in read_csv(path).paths] == ["a.png", "b.png"]
    assert "not used:\n  image_id\n" in caplog.text
    caplog.clear()
    path = csv_file("path,image,label", "b.png,a.png,x")
    assert read_csv(path).paths[0].endswith("a.png")
    assert "not used:\n  path\n" in caplog.text


def test_an_image_may_lack_its_extension_where_one_file_has_it(csv_file, tmp_path):
    path = csv_file("image_id,label", "a,x")
    assert read_csv(path).paths.tolist() == [str(tmp_path / "a.png")]
    (tmp_path / "a.jpg").touch()
    with pytest.raises(ValueError, match=r"line 2.*several: .*a\.jpg.*a\.png"):
        read_csv(path)
    (tmp_path / "a").touch()
    assert read_csv(path).paths.tolist() == [str(tmp_path / "a")]
    (tmp_path / "d.PNG").touch()
    path = csv_file("image_id,label", "d,x")
    assert read_csv(path).paths[0].lower() == str(tmp_path / "d.png").lower()


@pytest.mark.parametrize("names", ["xmin,ymin,xmax,ymax", "x_min,Y_min,XMax,ymax"])
def test_boxes_may_be_corners(csv_file, names):
    path = csv_file(f"image,label,{names}", "a.png,x,1,2,4,6.5", "b.png,y,,,,")
    assert read_csv(path).boxes.tolist() == [[0, 1, 2, 3, 4.5, 0]]


def test_sides_of_boxes_may_be_capitals_and_one_of_them_a_class(csv_file):
    path = csv_file("image,label,X,Y,W,H", "a.png,x,1,2,3,4.5", "b.png,y,,,,")
    assert read_csv(path).boxes.tolist() == [[0, 1, 2, 3, 4.5, 0]]
    path = csv_file("image,X,Y", "a.png,1,0", "b.png,0,1")
    assert read_csv(path).class_names == ("X", "Y")


def test_corners_and_sizes_agree(csv_file):
    header = "image,label,x,y,w,h,xmin,ymin,xmax,ymax"
    rows = ("a.png,x,1,2,3,4,1,2,4,6", "b.png,x,,,,,1,1,3,3", "c.png,x,1,1,9,9,,,,")
    boxes = [[0, 1, 2, 3, 4, 0], [1, 1, 1, 2, 2, 0], [2, 1, 1, 9, 9, 0]]
    assert read_csv(csv_file(header, *rows)).boxes.tolist() == boxes
    with pytest.raises(ValueError, match=r"line 2.*contradictory.*3\.0.*5\.0"):
        read_csv(csv_file(header, "a.png,x,1,2,3,4,1,2,6,6"))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["image,label,xmin,ymin,xmax", "a.png,x,1,1,2"], "all of xmin.* or none"),
        (["image,label,xmin,ymin,xmax,ymax", "a.png,x,5,1,2,3"], "no size: w is -3"),
        (["image,label,xmin,ymin,xmax,ymax", "a.png,x,5,1,,3"], "xmin.* four numbers"),
        ([BOXES, "a.png,x,0.1,0.2,0.5,0.5"], r"pixels.*0\.\.1"),
    ],
)
def test_boxes_that_would_be_misread_are_errors(csv_file, lines, message):
    with pytest.raises(ValueError, match=message):
        read_csv(csv_file(*lines))


def test_windows_paths_are_read_where_they_exist_and_named_where_not(
    csv_file, tmp_path
):
    (tmp_path / "sub").mkdir()
    for name in ("d.png", "m.png"):
        (tmp_path / "sub" / name).touch()
    path = csv_file("image,label,mask", r"sub\d.png,x,.\sub\m.png", r".\a.png,y,")
    table = read_csv(path)
    assert table.paths.tolist() == [str(tmp_path / n) for n in ("sub/d.png", "a.png")]
    assert table.masks.tolist() == [str(tmp_path / "sub/m.png"), ""]
    for name in (r"C:\data\a.png", "C:/data/a.png", r"\\server\a.png", r"data\z.png"):
        with pytest.raises(
            ValueError, match=r"line 2.*no such image.*Windows"
        ) as error:
            read_csv(csv_file("image,label", f"{name},x"))
        assert name in str(error.value)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "latin-1"])
def test_an_encoding_is_recognized_by_its_mark_or_refused(tmp_path, encoding):
    (tmp_path / "ä.png").touch()
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    path = tmp_path / "table.csv"
    path.write_bytes(f"{mark}image,label\nä.png,Öl\n".encode(encoding))
    if encoding == "latin-1":
        with pytest.raises(ValueError, match=r"UTF-8.*table\.csv.*line 2"):
            read_csv(path)
    else:
        assert read_csv(path).class_names == ("Öl",)


def test_an_empty_file_is_an_error_that_names_it(csv_file):
    for lines in ([], [""], ["", " "]):
        with pytest.raises(
            ValueError, match=r"image in .*table\.csv.*Received: 0 rows"
        ):
            read_csv(csv_file(*lines))


def test_names_that_a_spreadsheet_takes_for_formulas_are_read_as_written(tmp_path):
    names = ["-a.png", "@b.png", "'=c.png"]
    for name in names:
        (tmp_path / name).touch()
    rows = [{"image": name, "-mass": 1, "+cyst": n % 2} for n, name in enumerate(names)]
    write_csv(tmp_path / "table.csv", rows)
    table = read_csv(tmp_path / "table.csv")
    assert list(table.paths) == [str(tmp_path / name) for name in names]
    assert table.class_names == ("-mass", "+cyst")
    assert table.labels.tolist() == [[1, 0], [1, 1], [1, 0]]
