import numpy as np
import pytest

from kerasloc.data import check_disjoint
from kerasloc.data.datasets.nih14 import NIH_CLASSES, read_box_list, read_nih

HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],\n"
)
BOX_HEADER = "Image Index,Finding Label,Bbox [x,y,w,h],,,\n"
ONE_HOT = ",".join(("Image Index", *NIH_CLASSES))
A, B, C, D = (f"0000000{n}.png" for n in ("1_000", "1_001", "2_000", "3_000"))
ENTRIES = {A: "Cardiomegaly|Effusion", B: "No Finding", C: "Infiltration", D: "Hernia"}


def entry(name, labels):
    return f"{name},{labels},0,{int(name.split('_')[0])},50,9,9,0.1,0.1,\n"


def write_entries(root, **changes):
    entries = ENTRIES | {f"{n}.png": labels for n, labels in changes.items()}
    text = HEADER + "".join(entry(*pair) for pair in entries.items())
    (root / "Data_Entry_2017.csv").write_text(text)


def write_boxes(root, *rows):
    text = "".join(f"{row},,,\n" for row in rows)
    (root / "BBox_List_2017.csv").write_text(BOX_HEADER + text)


def write_lists(root, train, test):
    (root / "train_val_list.txt").write_text("\n".join(train))
    (root / "test_list.txt").write_text("\n".join(test) + "\n")


def names(table):
    return [path.split("/")[-1] for path in table.paths]


@pytest.fixture
def root(tmp_path, put):
    """The official files for four images of three patients."""
    write_entries(tmp_path)
    write_lists(tmp_path, [A, B], [C])
    for name in ENTRIES:
        put(tmp_path / "images" / name)
    return tmp_path


def test_the_official_files_make_a_table(root):
    table = read_nih(root)
    assert table.class_names == NIH_CLASSES
    assert names(table) == list(ENTRIES)
    positive = [[NIH_CLASSES[i] for i in np.flatnonzero(row)] for row in table.labels]
    assert positive == [["Cardiomegaly", "Effusion"], [], ["Infiltration"], ["Hernia"]]
    assert table.splits.tolist() == ["train", "train", "test", ""]
    assert table.groups.tolist() == ["00000001", "00000001", "00000002", "00000003"]
    assert table.boxes.shape == (0, 6)
    assert np.isfinite(table.labels).all()


@pytest.mark.parametrize(
    ("cell", "value"), [("", [np.nan] * 14), ("Infiltrate", np.arange(14) == 3)]
)
def test_a_blank_finding_is_unknown_and_infiltrate_is_infiltration(root, cell, value):
    write_entries(root, **{"00000003_000": cell})
    np.testing.assert_array_equal(read_nih(root).labels[3], value)


@pytest.mark.parametrize(
    "folders",
    [
        [".", ".", ".", "."],
        ["images_001/images", "images_001/images", "images_012/images", "images_002"],
        ["images/images_001", "images/images_002", "images/images_003", "images"],
    ],
)
def test_images_lie_in_one_folder_or_in_several(root, put, folders):
    (root / "images").rename(root / "old")
    paths = [root / f / name for f, name in zip(folders, ENTRIES, strict=True)]
    for path in paths:
        put(path)
    assert read_nih(root).paths.tolist() == [str(path) for path in paths]


def test_images_may_lie_elsewhere_and_entries_be_of_the_later_release(
    root, tmp_path_factory
):
    other = tmp_path_factory.mktemp("disk")
    (root / "Data_Entry_2017.csv").rename(root / "Data_Entry_2017_v2020.csv")
    (root / "images").rename(other / "images_001")
    assert all(str(other) in path for path in read_nih(root, other).paths)
    assert len(read_nih(root, other / "images_001")) == 4


def test_boxes_are_scaled_to_each_file_and_all_count(root):
    write_boxes(
        root,
        f"{A},Cardiomegaly,100,200,300,400",
        f"{C},Infiltrate,512,0,512,1024",
        f"{A},Effusion,0,0,8,8",
        f"{A},Effusion,80,80,8,8",
    )
    assert read_nih(root).boxes.tolist() == [
        [0, 50, 50, 150, 100, 1],
        [0, 0, 0, 4, 2, 2],
        [0, 40, 20, 4, 2, 2],
        [2, 256, 0, 256, 256, 3],
    ]


def test_a_file_with_the_shape_of_the_turned_original_is_an_error(root):
    write_boxes(root, f"{A},Cardiomegaly,100,200,300,400")
    path = root / "Data_Entry_2017.csv"
    text = path.read_text()
    path.write_text(text.replace(",9,9,", ",2000,1000,"))
    assert read_nih(root).boxes[0].tolist() == [0, 50, 50, 150, 100, 1]
    path.write_text(text.replace(",9,9,", ",1000,2000,"))
    with pytest.raises(ValueError, match=rf"width and height.*\n  {A}\n"):
        read_nih(root)


def test_a_box_without_its_label_stays_and_is_logged(root, caplog):
    write_boxes(root, f"{B},Mass,0,0,8,8")
    table = read_nih(root)
    assert table.boxes[:, [0, 5]].tolist() == [[1, 4]]
    assert not table.labels[1].any()
    assert "1 boxes are of findings that the image is not labeled" in caplog.text
    assert f"{B}: Mass" in caplog.text


@pytest.mark.parametrize("box", ["0,0,0,8", "0,0,8,nan", "1024,0,8,8"])
def test_boxes_that_cover_nothing_are_listed_or_left_out(root, box):
    write_boxes(root, f"{D},Hernia,1000,1000,80,80", f"{C},Infiltrate,{box}")
    with pytest.raises(ValueError, match=rf"{C} \(line 3 of BBox"):
        read_nih(root)
    assert read_nih(root, on_error="skip").boxes[:, 0].tolist() == [3]


def test_rows_without_an_image_are_listed_or_left_out(root, caplog):
    write_boxes(root, f"{C},Infiltrate,0,0,8,8", f"{D},Hernia,0,0,8,8")
    (root / "images" / C).unlink()
    with pytest.raises(ValueError, match=rf"(?s)Received: 1 .*{C} \(line 4"):
        read_nih(root)
    table = read_nih(root, on_error="skip")
    assert names(table) == [A, B, D]
    assert table.boxes[:, [0, 5]].tolist() == [[2, 13]]
    assert "left out 1" in caplog.text


def test_images_on_no_list_are_counted(root, caplog):
    write_lists(root, [A, B], [C, D])
    read_nih(root)
    assert caplog.text == ""
    write_lists(root, [A, B], [C, "00000099_000.png"])
    read_nih(root)
    assert "1 images are on no list; 1 on the lists" in caplog.text
    for name in ("train_val_list", "test_list"):
        (root / f"{name}.txt").rename(root / f"{name}_NIH.txt")
    assert read_nih(root).splits.tolist() == ["train", "train", "test", ""]
    (root / "test_list.txt").write_text(C)
    with pytest.raises(ValueError, match=r"test_list\.txt\n.*test_list_NIH\.txt"):
        read_nih(root)
    for path in root.glob("*_list*.txt"):
        path.unlink()
    caplog.clear()
    assert set(read_nih(root).splits) == {""}
    assert "no train_val_list.txt and no test_list.txt" in caplog.text


def test_a_patient_on_two_sides_or_an_image_on_two_lists_is_an_error(root):
    check_disjoint(read_nih(root))
    write_lists(root, [A], [B])
    with pytest.raises(ValueError, match="00000001: test, train"):
        check_disjoint(read_nih(root))
    write_lists(root, [A, B], [A])
    with pytest.raises(ValueError, match=rf"(?s)one of the lists.*{A}"):
        read_nih(root)


def test_unknown_findings_are_listed_with_the_valid_ones(root):
    write_boxes(root, f"{D},Flu,0,0,8,8")
    with pytest.raises(ValueError, match=r"(?s)BBox_List_2017.csv.*Flu"):
        read_nih(root)
    write_entries(root, **{"00000003_000": "Hernia|Flu|Gout"})
    with pytest.raises(ValueError, match=r"(?s)Atelectasis.*No Finding.*Flu\n  Gout"):
        read_nih(root)


def one_hot_row(name, **cells):
    return ",".join([name, *(cells.get(finding, "0") for finding in NIH_CLASSES)])


@pytest.fixture
def one_hot(root):
    """Besides the official files, one-hot ones of three splits with unknown cells."""
    first, second = (
        one_hot_row(A, Mass="1", Edema="1.0"),
        one_hot_row(B, Mass="", Hernia="-1"),
    )
    rest = {"valid": [one_hot_row(C)], "test": [one_hot_row(D)]}
    for name, lines in ({"train": [first, second]} | rest).items():
        (root / f"{name}.csv").write_text("\n".join([ONE_HOT, *lines]))
    return root


def test_one_hot_files_are_read_on_request(one_hot):
    table = read_nih(one_hot, labels="onehot")
    assert table.splits.tolist() == ["train", "train", "val", "test"]
    assert table.groups.tolist() == ["00000001", "00000001", "00000002", "00000003"]
    assert np.flatnonzero(table.labels[0] == 1).tolist() == [4, 9]
    assert np.flatnonzero(np.isnan(table.labels[1])).tolist() == [4, 13]
    assert not table.labels[2:].any()
    assert read_nih(one_hot).labels[0, 1] == 1


def test_one_hot_files_have_synonyms_and_two_of_a_split_are_an_error(one_hot):
    (one_hot / "train.csv").rename(one_hot / "Training.csv")
    (one_hot / "valid.csv").rename(one_hot / "Validation.CSV")
    splits = ["train", "train", "val", "test"]
    assert read_nih(one_hot, labels="onehot").splits.tolist() == splits
    (one_hot / "val.csv").write_text(f"{ONE_HOT}\n{one_hot_row(B)}")
    with pytest.raises(ValueError, match=r"(?s)for val\..*Validation\.CSV\n.*val\.csv"):
        read_nih(one_hot, labels="onehot")


def test_one_hot_files_are_read_without_entries(one_hot):
    (one_hot / "Data_Entry_2017.csv").unlink()
    write_boxes(one_hot, f"{A},Mass,0,0,8,8")
    table = read_nih(one_hot)
    assert table.splits[2] == "val"
    assert table.boxes.tolist() == [[0, 0, 0, 4, 2, 4]]
    with pytest.raises(ValueError, match=r"one of Data_Entry_2017\.csv"):
        read_nih(one_hot, labels="entry")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{ONE_HOT}\n{one_hot_row(A, Mass='2')}", "line 2 of.*'2' for Mass"),
        (f"Image Index,Mass\n{A},1", "none for Atelectasis"),
        (f"{ONE_HOT},Flu\n{one_hot_row(A)},1", r"(?s)train\.csv.*Flu"),
        (f"{ONE_HOT}\n", "0 rows"),
        ("file\nx.png", "columns Image Index.*Received: 1 rows with file"),
        (f"{ONE_HOT}\n{one_hot_row(D)}", r"line 2 of train\.csv and line 2 of test"),
    ],
)
def test_wrong_one_hot_files_are_errors(one_hot, text, message):
    (one_hot / "train.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_nih(one_hot, labels="onehot")


def test_wrong_options_are_errors(root):
    with pytest.raises(ValueError, match=r"labels .*'onehot'.*'both'"):
        read_nih(root, labels="both")
    with pytest.raises(ValueError, match=r"/nowhere.*image_dir"):
        read_nih(root, image_dir="/nowhere")


@pytest.mark.parametrize("row", [f"{A},Mass,1,2,?,4", f"{A},Mass,1,2"])
def test_an_invalid_box_row_is_named(tmp_path, row):
    write_boxes(tmp_path, f"{A},Mass,1,2,3,4", row)
    with pytest.raises(ValueError, match="line 3"):
        read_box_list(tmp_path / "BBox_List_2017.csv")
