import logging

import numpy as np
import pytest
from PIL import Image

from kerasloc.data import check_disjoint
from kerasloc.data.datasets.nih14 import NIH_CLASSES, box_lines, read_nih

HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],\n"
)
BOX_HEADER = "Image Index,Finding Label,Bbox [x,y,w,h],,,\n"
ONE_HOT = ",".join(("Image Index", *NIH_CLASSES))
ENTRIES = {
    "00000001_000.png": "Cardiomegaly|Effusion",
    "00000001_001.png": "No Finding",
    "00000002_000.png": "Infiltration",
    "00000003_000.png": "Hernia",
}


def image(path, size=(512, 256)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size).save(path)


def entry(name, labels):
    return f"{name},{labels},0,{int(name.split('_')[0])},50,9,9,0.1,0.1,\n"


def write_entries(root, entries, name="Data_Entry_2017.csv"):
    rows = [entry(*pair) for pair in entries.items()]
    (root / name).write_text(HEADER + "".join(rows))


def write_boxes(root, *rows):
    text = "".join(f"{row},,,\n" for row in rows)
    (root / "BBox_List_2017.csv").write_text(BOX_HEADER + text)


def names(table):
    return [path.split("/")[-1] for path in table.paths]


@pytest.fixture
def root(tmp_path):
    """The official files for four images of three patients."""
    write_entries(tmp_path, ENTRIES)
    (tmp_path / "train_val_list.txt").write_text("00000001_000.png\n00000001_001.png")
    (tmp_path / "test_list.txt").write_text("00000002_000.png\n")
    for name in ENTRIES:
        image(tmp_path / "images" / name)
    return tmp_path


def test_the_official_files_make_a_table(root):
    table = read_nih(root)
    assert table.class_names == NIH_CLASSES
    assert names(table) == list(ENTRIES)
    found = [[NIH_CLASSES[i] for i in np.flatnonzero(row)] for row in table.labels]
    assert found == [["Cardiomegaly", "Effusion"], [], ["Infiltration"], ["Hernia"]]
    assert table.splits.tolist() == ["train", "train", "test", ""]
    assert table.groups.tolist() == ["00000001", "00000001", "00000002", "00000003"]
    assert table.boxes.shape == (0, 6)
    assert np.isfinite(table.labels).all()


def test_a_blank_finding_is_unknown(root):
    write_entries(root, {**ENTRIES, "00000003_000.png": ""})
    table = read_nih(root)
    assert np.isnan(table.labels[3]).all()
    assert np.isfinite(table.labels[:3]).all()


def test_the_later_release_is_read_too(root):
    (root / "Data_Entry_2017.csv").rename(root / "Data_Entry_2017_v2020.csv")
    assert len(read_nih(root)) == 4


@pytest.mark.parametrize(
    "folders",
    [
        [".", ".", ".", "."],
        ["images_001/images", "images_001/images", "images_012/images", "images_002"],
        ["images/images_001", "images/images_002", "images/images_003", "images"],
    ],
)
def test_images_lie_in_one_folder_or_in_several(root, folders):
    for name, folder in zip(ENTRIES, folders, strict=True):
        image(root / "moved" / folder / name)
        (root / "images" / name).unlink()
    (root / "images").rmdir()
    for path in list((root / "moved").iterdir()):
        path.rename(root / path.name)
    table = read_nih(root)
    assert names(table) == list(ENTRIES)
    assert all(
        (root / f / n).samefile(p)
        for f, n, p in zip(folders, ENTRIES, table.paths, strict=True)
    )


def test_images_may_lie_elsewhere(root, tmp_path_factory):
    other = tmp_path_factory.mktemp("disk")
    (root / "images").rename(other / "images_001")
    assert all(str(other) in path for path in read_nih(root, other).paths)
    assert len(read_nih(root, other / "images_001")) == 4


def test_boxes_are_scaled_to_each_file(root):
    write_boxes(
        root,
        "00000001_000.png,Cardiomegaly,100,200,300,400",
        "00000002_000.png,Infiltrate,512,0,512,1024",
        "00000001_000.png,Effusion,0,0,8,8",
    )
    assert read_nih(root).boxes.tolist() == [
        [0, 50, 50, 150, 100, 1],
        [0, 0, 0, 4, 2, 2],
        [2, 256, 0, 256, 256, 3],
    ]


def test_several_boxes_of_one_finding_all_count(root):
    rows = ["00000003_000.png,Hernia,0,0,8,8", "00000003_000.png,Hernia,80,80,8,8"]
    write_boxes(root, *rows)
    assert read_nih(root).boxes[:, [0, 1, 5]].tolist() == [[3, 0, 13], [3, 40, 13]]


def test_a_box_of_another_finding_stays_and_is_told(root, caplog):
    write_boxes(root, "00000001_001.png,Mass,0,0,8,8")
    table = read_nih(root)
    assert table.boxes[:, [0, 5]].tolist() == [[1, 4]]
    assert not table.labels[1].any()
    assert "1 boxes are of findings that the image is not labeled" in caplog.text
    assert "00000001_001.png: Mass" in caplog.text


def test_boxes_of_images_without_a_row_are_told(root, caplog):
    write_boxes(root, "00000009_000.png,Mass,0,0,8,8")
    assert len(read_nih(root).boxes) == 0
    assert "1 boxes of images without a row" in caplog.text


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ("0,0,0,8", "has no size"),
        ("0,0,8,-1", "has no size"),
        ("0,0,8,nan", "has no size"),
        ("1024,0,8,8", "lies outside the image"),
        ("0,-9,8,8", "lies outside the image"),
    ],
)
def test_boxes_that_mark_nothing_are_listed_or_left_out(root, caplog, box, message):
    good = "00000003_000.png,Hernia,0,0,8,8"
    write_boxes(root, good, f"00000002_000.png,Infiltrate,{box}")
    with pytest.raises(ValueError, match=rf"00000002_000.png \(line 3\).*{message}"):
        read_nih(root)
    table = read_nih(root, on_error="skip")
    assert table.boxes[:, 0].tolist() == [3]
    assert len(table) == 4
    assert "left out 1: Boxes" in caplog.text


def test_a_box_that_sticks_out_stays(root):
    write_boxes(root, "00000003_000.png,Hernia,1000,1000,80,80")
    assert len(read_nih(root).boxes) == 1


def test_rows_without_an_image_are_listed_or_left_out(root, caplog):
    write_boxes(
        root, "00000002_000.png,Infiltrate,0,0,8,8", "00000003_000.png,Hernia,0,0,8,8"
    )
    (root / "images/00000002_000.png").unlink()
    with pytest.raises(
        ValueError, match=r"(?s)1 that break.*00000002_000.png \(line 4"
    ):
        read_nih(root)
    table = read_nih(root, on_error="skip")
    assert names(table) == [n for n in ENTRIES if n != "00000002_000.png"]
    assert table.boxes[:, [0, 5]].tolist() == [[2, 13]]
    assert "left out 1" in caplog.text


def test_a_broken_image_with_boxes_is_listed_or_left_out(root, caplog):
    write_boxes(root, "00000002_000.png,Infiltrate,0,0,8,8")
    (root / "images/00000002_000.png").write_text("no image")
    with pytest.raises(ValueError, match=r"(?s)can be opened.*00000002_000.png"):
        read_nih(root)
    assert len(read_nih(root, on_error="skip")) == 3
    assert "left out 1: Images with boxes" in caplog.text


def test_images_that_no_row_has_are_counted(root, caplog):
    image(root / "images/00000077_000.png")
    assert len(read_nih(root)) == 4
    assert "no row has 1 of the images" in caplog.text
    assert "00000077_000.png" in caplog.text


def test_images_on_no_list_are_counted(root, caplog):
    (root / "test_list.txt").write_text("00000002_000.png\n00000099_000.png\n")
    read_nih(root)
    assert "1 images are on no list; 1 on the lists have no row" in caplog.text


def test_without_lists_there_are_no_splits(root):
    for name in ("train_val_list.txt", "test_list.txt"):
        (root / name).unlink()
    assert set(read_nih(root).splits) == {""}


def test_a_patient_in_two_splits_is_found(root):
    check_disjoint(read_nih(root))
    (root / "train_val_list.txt").write_text("00000001_000.png\n")
    (root / "test_list.txt").write_text("00000001_001.png\n")
    with pytest.raises(ValueError, match="00000001: test, train"):
        check_disjoint(read_nih(root))


def test_an_image_on_both_lists_is_an_error(root):
    (root / "test_list.txt").write_text("00000001_000.png\n")
    with pytest.raises(ValueError, match=r"(?s)one of the lists.*00000001_000.png"):
        read_nih(root)


def test_unknown_findings_are_listed_with_the_known_ones(root):
    write_entries(root, {**ENTRIES, "00000003_000.png": "Hernia|Flu|Gout"})
    with pytest.raises(ValueError, match=r"(?s)Atelectasis.*No Finding.*Flu\n  Gout"):
        read_nih(root)


def test_unknown_findings_of_boxes_are_listed(root):
    write_boxes(root, "00000003_000.png,Flu,0,0,8,8")
    with pytest.raises(ValueError, match=r"(?s)BBox_List_2017.csv.*Flu"):
        read_nih(root)


def test_infiltrate_is_infiltration(root):
    write_entries(root, {**ENTRIES, "00000003_000.png": "Infiltrate"})
    assert read_nih(root).labels[3, NIH_CLASSES.index("Infiltration")] == 1


def test_two_rows_of_an_image_are_an_error(root):
    path = root / "Data_Entry_2017.csv"
    path.write_text(path.read_text() + entry("00000001_000.png", "Mass"))
    with pytest.raises(ValueError, match=r"00000001_000\.png: line 2 and line 6"):
        read_nih(root)


def one_hot_row(name, **cells):
    return ",".join([name, *(cells.get(finding, "0") for finding in NIH_CLASSES)])


@pytest.fixture
def one_hot(root):
    """Besides the official files, one-hot ones of two splits with unknown cells."""
    rows = [
        one_hot_row("00000001_000.png", Mass="1", Edema="1.0"),
        one_hot_row("00000001_001.png", Mass="", Hernia="-1"),
    ]
    (root / "train.csv").write_text("\n".join([ONE_HOT, *rows]))
    (root / "valid.csv").write_text(f"{ONE_HOT}\n{one_hot_row('00000002_000.png')}\n")
    (root / "test.csv").write_text(f"{ONE_HOT}\n{one_hot_row('00000003_000.png')}\n")
    return root


def test_one_hot_files_are_read_if_asked_for(one_hot):
    table = read_nih(one_hot, labels="onehot")
    assert table.splits.tolist() == ["train", "train", "val", "test"]
    assert table.groups.tolist() == ["00000001", "00000001", "00000002", "00000003"]
    assert np.flatnonzero(table.labels[0] == 1).tolist() == [4, 9]
    assert np.flatnonzero(np.isnan(table.labels[1])).tolist() == [4, 13]
    assert not table.labels[2:].any()
    entries = read_nih(one_hot)
    assert entries.labels[0, 1] == 1


def test_one_hot_files_are_read_if_there_are_no_entries(one_hot):
    (one_hot / "Data_Entry_2017.csv").unlink()
    write_boxes(one_hot, "00000001_000.png,Mass,0,0,8,8")
    table = read_nih(one_hot)
    assert table.splits[2] == "val"
    assert table.boxes.tolist() == [[0, 0, 0, 4, 2, 4]]
    with pytest.raises(ValueError, match=r"one of Data_Entry_2017\.csv"):
        read_nih(one_hot, labels="entry")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{ONE_HOT}\n{one_hot_row('00000001_000.png', Mass='2')}", "line 2 of.*'2'"),
        ("Image Index,Mass\n00000001_000.png,1", "none for Atelectasis"),
        (f"{ONE_HOT},Flu\n{one_hot_row('00000001_000.png')},1", r"(?s)unknown.*Flu"),
        (f"{ONE_HOT}\n", "0 rows"),
        (
            "file\nx.png",
            "rows with the columns Image Index. Received: 1 rows with file",
        ),
    ],
)
def test_wrong_one_hot_files_are_errors(one_hot, text, message):
    (one_hot / "train.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_nih(one_hot, labels="onehot")


def test_an_image_of_two_one_hot_files_is_an_error(one_hot):
    (one_hot / "test.csv").write_text(f"{ONE_HOT}\n{one_hot_row('00000001_000.png')}\n")
    with pytest.raises(
        ValueError, match=r"line 2 of train\.csv and line 2 of test\.csv"
    ):
        read_nih(one_hot, labels="onehot")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": "both"}, '"onehot".*both'),
        ({"on_error": "hide"}, '"raise" or "skip".*hide'),
        ({"image_dir": "/nowhere"}, "no image there"),
    ],
)
def test_wrong_options_are_errors(root, options, message):
    with pytest.raises(ValueError, match=message):
        read_nih(root, **options)


def test_a_folder_without_labels_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="Name the folder"):
        read_nih(tmp_path)


def test_images_that_are_all_elsewhere_are_an_error_even_if_skipped(root):
    for path in (root / "images").iterdir():
        path.rename(path.with_name(f"x{path.name}"))
    with pytest.raises(ValueError, match=r"(?s)all without.*image_dir"):
        read_nih(root, on_error="skip")


def test_a_box_row_that_is_none_is_named(tmp_path):
    write_boxes(tmp_path, "a.png,Mass,1,2,3,4", "a.png,Mass,1,2,?,4")
    with pytest.raises(ValueError, match="line 3"):
        box_lines(tmp_path / "BBox_List_2017.csv")


def test_a_log_without_oddities_is_silent(root, caplog):
    (root / "train_val_list.txt").write_text(
        "\n".join([*list(ENTRIES)[:2], "00000003_000.png"])
    )
    with caplog.at_level(logging.WARNING):
        read_nih(root)
    assert caplog.text == ""
