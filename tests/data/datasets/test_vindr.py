import functools

import numpy as np
import pytest
from PIL import Image

from kerasloc.data.datasets.vindr import VINDR_CLASSES, read_vindr

HEADER = "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max\n"
ROWS = """\
a1,Cardiomegaly,3,R1,100,120,300,160
a1,Cardiomegaly,3,R2,110,120,300,160
a1,No finding,14,R3,,,,
b2,No finding,14,R1,,,,
b2,No finding,14,R2,,,,
c3,Nodule/Mass,8,R1,0,0,40,40
"""
RATIOS = "image_id,ratio,rows,cols\na1,0.5,200,300\nb2,0.25,400,600\nc3,0.25,400,600\n"


@pytest.fixture
def picture(put):
    """Function that writes a resized image."""
    return functools.partial(put, size=(150, 100))


@pytest.fixture
def root(tmp_path, picture):
    """Kaggle's csv of three images, and resized images of them."""
    (tmp_path / "train.csv").write_text(HEADER + ROWS)
    for name in ("a1", "b2", "c3"):
        picture(tmp_path / "images" / f"{name}.png")
    (tmp_path / "images" / "resize.csv").write_text(RATIOS)
    return tmp_path


def findings(table):
    return [[VINDR_CLASSES[i] for i in np.flatnonzero(row)] for row in table.labels]


def test_labels_and_scaled_boxes_are_those_of_all_radiologists(root):
    table = read_vindr(root, test_share=None)
    assert table.class_names == VINDR_CLASSES
    names = [path.split("/")[-1] for path in table.paths]
    assert names == ["a1.png", "b2.png", "c3.png"]
    assert findings(table) == [["Cardiomegaly"], [], ["Nodule/Mass"]]
    assert set(table.splits) == {"train"}
    assert table.boxes.tolist() == [
        [0, 50, 60, 100, 20, 3],
        [0, 55, 60, 95, 20, 3],
        [2, 0, 0, 10, 10, 8],
    ]


def test_a_ratio_alone_scales_too_and_images_may_be_resized_again(root, picture):
    boxes = read_vindr(root, test_share=None).boxes
    for path in (root / "images").glob("*.png"):
        Image.new("L", (30, 20)).save(path)
    again = read_vindr(root, test_share=None).boxes
    np.testing.assert_allclose(again[:, 1:5], boxes[:, 1:5] / 5)
    lines = [line.rsplit(",", 2)[0] for line in RATIOS.splitlines()]
    (root / "images" / "resize.csv").write_text("\n".join(lines))
    for path in (root / "images").glob("*.png"):
        picture(path)
    np.testing.assert_array_equal(read_vindr(root, test_share=None).boxes, boxes)


def test_images_with_boxes_need_a_ratio_or_a_size(root):
    resize = root / "images" / "resize.csv"
    resize.write_text("".join(RATIOS.splitlines(keepends=True)[:3]))
    with pytest.raises(ValueError, match=r"(?s): 1 .*c3 \(line 7 of train\.csv"):
        read_vindr(root)
    resize.unlink()
    with pytest.raises(ValueError, match=r"(?s)a1 \(line 2 .*c3.*dicom_to_png"):
        read_vindr(root)
    rows = [line for line in ROWS.splitlines() if "No finding" in line]
    (root / "train.csv").write_text(HEADER + "\n".join(rows))
    assert len(read_vindr(root, test_share=None)) == 2
    lines = (HEADER + ROWS).splitlines()  # the size of the DICOM image
    more = [f"{lines[0]},width,height", *(f"{line},300,400" for line in lines[1:])]
    (root / "train.csv").write_text("\n".join(more))
    boxes = read_vindr(root, test_share=None).boxes
    assert boxes[0].tolist() == [0, 50, 30, 100, 10, 3]


@pytest.fixture
def squashed(tmp_path, put):
    """An image of 1000 rows and 800 columns, squashed to a square, with a box."""
    (tmp_path / "train.csv").write_text(f"{HEADER}a1,ILD,5,R1,100,250,200,500\n")
    put(tmp_path / "png" / "a1.png", size=(128, 128))
    return tmp_path


SIZES = {
    "resize.csv": "image_id,rows,cols\na1,1000,800\n",
    "png/resize.csv": "image_id,ratio,rows,cols\na1,0.128,1000,800\n",
    "train_meta.csv": "image_id,dim0,dim1\na1,1000,800\n",
    "png/train_meta.csv": "image_id,dim0,dim1\nb2,9,9\na1,1000,800\n",
    "png/test_meta.csv": "image_id,dim0,dim1\na1,1000,800\n",
}


@pytest.mark.parametrize("name", SIZES)
def test_boxes_of_squashed_images_are_scaled_in_each_direction(squashed, name):
    (squashed / name).write_text(SIZES[name])
    boxes = read_vindr(squashed, test_share=None).boxes
    assert boxes.tolist() == [[0, 16, 32, 16, 32, 5]]


def test_tables_of_sizes_may_lie_with_images_elsewhere(squashed, tmp_path_factory):
    other = tmp_path_factory.mktemp("disk")
    (squashed / "png").rename(other / "train")
    (other / "train_meta.csv").write_text(SIZES["train_meta.csv"])
    for image_dir in (other, other / "train"):
        boxes = read_vindr(squashed, image_dir, test_share=None).boxes
        assert boxes[0, 1:3].tolist() == [16, 32]


def test_a_ratio_beside_a_size_does_not_matter(squashed):
    (squashed / "train_meta.csv").write_text(SIZES["train_meta.csv"])
    (squashed / "png/resize.csv").write_text("image_id,ratio\na1,0.128\n")
    assert read_vindr(squashed, test_share=None).boxes[0, 1:3].tolist() == [16, 32]


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({}, r"rows, cols.*train_meta\.csv"),
        (
            {"resize.csv": "image_id,ratio\na1,0.128\n"},
            r"(?s)square.*ratio alone.*a1: 128 x 128.*rows, cols.*train_meta\.csv",
        ),
        (
            {"train_meta.csv": "image_id,dim0,dim1\na1,800,1000\n"}
            | {"resize.csv": SIZES["resize.csv"]},
            r"a1: 1000 x 800 \(.*resize\.csv\), 800 x 1000 \(.*train_meta\.csv\)",
        ),
        (
            {"resize.csv": "image_id,ratio\na1,0.128\na1,0.5\n"},
            r"same ratio.*\n.*a1: 0\.128 \(.*resize\.csv\), 0\.5 \(",
        ),
        (
            {"resize.csv": "image_id,ratio,rows,cols\na1,0.5,1000,800\n"},
            r"shape.*\n.*a1: 1000 x 800, its file 128 x 128",
        ),
        (
            {"train_meta.csv": "image_id,dim0,dim1\na1,400,300\n"},
            r"a1 \(line 2 of train\.csv\): up to 200, 500 in 300 x 400",
        ),
        (
            {"train_meta.csv": "image_id,dim0,dim1\na1,1000,800\n", "size": (96, 128)},
            r"shape.*\n.*a1: 1000 x 800, its file 128 x 96",
        ),
        ({"resize.csv": "image_id,side\na1,1\n"}, "rows and cols in .*resize"),
        ({"resize.csv": "image_id,rows,cols\na1,0,800\n"}, r"a1 \(line 2 of train"),
    ],
)
def test_sizes_that_are_missing_or_contradictory_are_errors(
    squashed, put, tables, message
):
    tables = dict(tables)
    put(squashed / "png" / "a1.png", size=tables.pop("size", (128, 128)))
    for name, text in tables.items():
        (squashed / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        read_vindr(squashed, test_share=None)


def test_images_squashed_to_a_shape_are_scaled_in_each_direction(squashed, put):
    row = "b2,ILD,5,R1,100,250,200,500\n"
    text = (squashed / "train.csv").read_text()
    (squashed / "train.csv").write_text(text + row)
    (squashed / "train_meta.csv").write_text(
        "image_id,dim0,dim1\na1,1000,800\nb2,500,400\n"
    )
    for name in ("a1", "b2"):
        put(squashed / "png" / f"{name}.png", size=(80, 50))
    boxes = read_vindr(squashed, test_share=None).boxes
    assert boxes[:, 1:5].tolist() == [[10, 12.5, 10, 12.5], [20, 25, 20, 25]]
    put(squashed / "png" / "b2.png", size=(80, 100))  # of the original's shape
    with pytest.raises(
        ValueError, match=r"shape(?s:.*)a1: 1000 x 800, its file 50 x 80\n"
    ):
        read_vindr(squashed)


def test_rows_and_columns_of_a_table_that_are_exchanged_are_an_error(root):
    (root / "images" / "resize.csv").unlink()
    lines = ["a1,300,200", "c3,600,400"]
    text = "\n".join(["image_id,dim0,dim1", *lines])
    (root / "train_meta.csv").write_text(text)
    with pytest.raises(
        ValueError, match=r"shape.*\n.*a1: 300 x 200, its file 100 x 150"
    ):
        read_vindr(root)
    (root / "train_meta.csv").write_text(text.replace("dim0,dim1", "dim1,dim0"))
    assert read_vindr(root, test_share=None).boxes[0].tolist() == [
        0,
        50,
        60,
        100,
        20,
        3,
    ]


def test_a_broken_image_with_a_ratio_is_left_out(root):
    text = "image_id,ratio\na1,0.5\nb2,0.25\nc3,0.25\n"
    (root / "images" / "resize.csv").write_text(text)
    (root / "images" / "c3.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"readable images.*\n.*c3\.png"):
        read_vindr(root, test_share=None)
    assert len(read_vindr(root, test_share=None, on_error="skip")) == 2


def test_images_that_differ_in_their_suffix_are_an_error_but_dicom_files(root, picture):
    (root / "images" / "a1.dicom").write_bytes(b"")
    assert read_vindr(root, test_share=None).paths[0].endswith("a1.png")
    picture(root / "images" / "a1.tif")
    with pytest.raises(ValueError, match=r"suffix.*\n.*a1\.png\n.*a1\.tif"):
        read_vindr(root)


def test_boxes_of_dicom_files_are_in_their_pixels(squashed, dataset):
    (squashed / "png" / "a1.png").unlink()
    data = dataset(np.arange(800000, dtype=np.uint16).reshape(1000, 800))
    data.save_as(squashed / "png" / "a1.dicom", enforce_file_format=True)
    boxes = [[0, 100, 250, 100, 250, 5]]
    assert read_vindr(squashed, test_share=None).boxes.tolist() == boxes
    (squashed / "train_meta.csv").write_text(SIZES["train_meta.csv"])
    assert read_vindr(squashed, test_share=None).boxes.tolist() == boxes
    (squashed / "train_meta.csv").write_text("image_id,dim0,dim1\na1,2000,1600\n")
    with pytest.raises(ValueError, match=r"a1: 2000 x 1600, its file 1000 x 800"):
        read_vindr(squashed)


def test_a_test_share_is_cut_off_with_a_seed(root, picture, caplog):
    rows = "".join(f"i{n},No finding,14,R1,,,,\n" for n in range(20))
    (root / "train.csv").write_text(HEADER + rows)
    for n in range(20):
        picture(root / "images" / f"i{n}.png")
    cuts = [read_vindr(root, test_share=0.3, seed=s).splits.tolist() for s in (0, 0, 1)]
    assert cuts[0].count("test") == 6
    assert cuts[0].count("train") == 14
    assert cuts[0] == cuts[1] != cuts[2]
    assert "6 of 20 images are kept for testing" in caplog.text


def test_a_test_file_is_the_test_split(root, picture):
    (root / "test.csv").write_text(HEADER + "d4,ILD,5,R1,0,0,10,10\n")
    picture(root / "images" / "d4.png")
    (root / "images" / "resize.csv").write_text(RATIOS + "d4,0.5,200,300\n")
    table = read_vindr(root)
    assert table.splits.tolist() == ["train"] * 3 + ["test"]
    assert table.boxes[-1].tolist() == [3, 0, 0, 5, 5, 5]


def test_a_validation_file_is_the_validation_split(root, picture, caplog):
    rows = ROWS + "".join(f"i{n},No finding,14,R1,,,,\n" for n in range(9))
    (root / "train.csv").write_text(HEADER + rows)
    (root / "Valid.csv").write_text(HEADER + "d4,ILD,5,R1,,,,\n")
    for name in ("d4", *(f"i{n}" for n in range(9))):
        picture(root / "images" / f"{name}.png")
    splits = read_vindr(root, test_share=0.3).splits.tolist()
    assert [splits.count(name) for name in ("val", "test")] == [1, splits.count("test")]
    assert splits[-1] == "val"
    assert 2 <= splits.count("test") <= 5
    (root / "annotations_train.csv").write_text(HEADER + rows)
    with pytest.raises(ValueError, match=r"for train\.(?s:.*)annotations_train\.csv"):
        read_vindr(root)


def test_a_test_file_has_labels_of_other_images(root):
    (root / "test.csv").write_text("image_id,width,height\nd4,5,5\n")
    assert len(read_vindr(root, test_share=None)) == 3  # without labels it is not used
    (root / "test.csv").write_text(f"{HEADER}a1,No finding,14,R1,,,,\n")
    with pytest.raises(ValueError, match=r"(?s)one of the files of splits.*a1"):
        read_vindr(root)


def test_the_physionet_layout_is_read(tmp_path, picture, caplog):
    folder = tmp_path / "annotations"
    folder.mkdir()
    columns = "image_id,rad_id,class_name,x_min,y_min,x_max,y_max"
    (folder / "annotations_train.csv").write_text(
        f"{columns}\na1,R1,ILD,0,0,10,10\na1,R2,Rib fracture,5,5,9,9\n"
    )
    (folder / "annotations_test.csv").write_text(f"{columns}\nb2,,No finding,,,,\n")
    labels = [
        ["image_id", "rad_id", *VINDR_CLASSES, "COPD"],
        ["a1", "R1", "1.0", *["0"] * 14],
        ["c3", "R1", "0", "1", *["0"] * 13],
    ]
    text = "\n".join(",".join(cells) for cells in labels)
    (folder / "image_labels_train.csv").write_text(text)
    for split, name in (("train", "a1"), ("train", "c3"), ("test", "b2")):
        picture(tmp_path / split / f"{name}.png")
    for split in ("train", "test"):
        (tmp_path / split / "resize.csv").write_text("image_id,ratio\na1,0.5\n")
    table = read_vindr(tmp_path)
    assert findings(table) == [["Aortic enlargement", "ILD"], ["Atelectasis"], []]
    assert table.splits.tolist() == ["train", "train", "test"]
    assert table.boxes.tolist() == [[0, 0, 0, 5, 5, 5]]
    assert "{'Rib fracture': 1}" in caplog.text


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("c3,Flu,1,R1,1,1,9,9", r"(?s)Aortic enlargement.*\n  Flu"),
        ("c3,ILD,4,R1,1,1,9,9", "class_id.*\n.*line 8 .*: 4 for ILD"),
        ("c3,ILD,x,R1,1,1,9,9", "class_id.*\n.*line 8 .*: x for ILD"),
        ("c3,ILD,5,R1,1,1,9,", "four numbers.*\n.*line 8 .*: 1, 1, 9"),
        ("c3,ILD,5,R1,1,1,9,top", "four numbers.*\n.*line 8 .*: 1, 1, 9, top"),
    ],
)
def test_wrong_rows_are_named(root, row, message):
    (root / "train.csv").write_text(f"{HEADER}{ROWS}{row}\n")
    with pytest.raises(ValueError, match=message):
        read_vindr(root)


@pytest.mark.parametrize(
    ("box", "message"), [("9,9,9,20", "no size"), ("9000,9,9001,20", "lies outside")]
)
def test_boxes_that_mark_nothing_are_listed_or_left_out(root, caplog, box, message):
    (root / "train.csv").write_text(f"{HEADER}{ROWS}c3,ILD,5,R1,{box}\n")
    with pytest.raises(ValueError, match=rf"c3 \(line 8 of train.csv\).*{message}"):
        read_vindr(root)
    assert len(read_vindr(root, test_share=None, on_error="skip").boxes) == 3
    assert "left out 1" in caplog.text


def test_rows_without_an_image_are_listed_or_left_out(root, picture, caplog):
    (root / "images" / "c3.png").unlink()
    picture(root / "images" / "z9.png")
    with pytest.raises(ValueError, match=r"(?s)Received: 1 .*c3 \(line 7"):
        read_vindr(root)
    assert len(read_vindr(root, test_share=None, on_error="skip")) == 2
    assert "no row has 1 of the images" in caplog.text


def test_images_may_lie_elsewhere(root, tmp_path_factory):
    other = tmp_path_factory.mktemp("disk")
    (root / "images").rename(other / "png")
    assert len(read_vindr(root, other / "png", test_share=None).boxes) == 3
