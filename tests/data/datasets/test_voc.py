import numpy as np
import pytest
from PIL import Image

from kerasloc.data.datasets.voc import VOC_CLASSES, read_objects, read_voc


def thing(name, box=(1, 1, 10, 20), difficult=0, more=""):
    corners = zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    inner = "".join(f"<{key}>{value}</{key}>" for key, value in corners)
    return (
        f"<object><name>{name}</name><difficult>{difficult}</difficult>{more}"
        f"<bndbox>{inner}</bndbox></object>"
    )


def add(folder, name, *things, split="train"):
    """Add an image of 60 x 40 pixels with its annotation."""
    for place in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (folder / place).mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (60, 40)).save(folder / "JPEGImages" / f"{name}.jpg")
    text = f"<annotation>{''.join(things)}</annotation>"
    (folder / "Annotations" / f"{name}.xml").write_text(text)
    if split:
        with (folder / "ImageSets/Main" / f"{split}.txt").open("a") as file:
            file.write(f"{name}\n")


@pytest.fixture
def folder(tmp_path):
    """Folder of VOC 2012 with two training images and one of the val list."""
    folder = tmp_path / "VOCdevkit" / "VOC2012"
    add(
        folder, "2008_1", thing("dog", (11, 6, 20, 15)), thing("person", (1, 1, 60, 40))
    )
    add(folder, "2008_2", thing("cat"), thing("cat", (5, 5, 9, 9)))
    add(folder, "2008_3", thing("aeroplane"), split="val")
    return folder


def positive(row):
    return [VOC_CLASSES[i] for i in np.flatnonzero(row == 1)]


def test_labels_splits_and_boxes_that_count_from_0_and_hold_their_last_pixel(folder):
    table = read_voc(folder)
    assert table.class_names == VOC_CLASSES
    assert list(VOC_CLASSES) == sorted(VOC_CLASSES)
    names = [positive(row) for row in table.labels]
    assert names == [["dog", "person"], ["cat"], ["aeroplane"]]
    assert table.splits.tolist() == ["train", "train", "test"]
    assert table.paths[0] == str(folder / "JPEGImages" / "2008_1.jpg")
    dog, person = 11, 14
    boxes = [[0, 10, 5, 10, 10, dog], [0, 0, 0, 60, 40, person]]
    assert table.boxes[:2].tolist() == boxes
    assert table.boxes[2:4, 0].tolist() == [1, 1]


def test_boxes_of_resized_images_are_scaled(folder, caplog):
    before = read_voc(folder).boxes
    path = folder / "Annotations" / "2008_1.xml"
    size = "<size><width>{}</width><height>{}</height></size></annotation>"
    cases = ((120, 40, 0.5, 1), (60, 80, 1, 0.5), (0, 0, 1, 1), (40, 60, 1, 1))
    for width, height, x, y in cases:
        assert "turned" not in caplog.text
        text = path.read_text().partition("<size>")[0].removesuffix("</annotation>")
        path.write_text(text + size.format(width, height))
        boxes = read_voc(folder).boxes
        np.testing.assert_allclose(boxes[:2, 1:5], before[:2, 1:5] * [x, y, x, y])
        np.testing.assert_array_equal(boxes[2:], before[2:])
    assert "1 images have the size of their annotation turned" in caplog.text


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_the_root_may_be_a_folder_above(folder, depth):
    root = [folder, folder.parent, folder.parent.parent][depth]
    assert len(read_voc(root)) == 3


def test_images_on_no_list_and_test_images_without_annotations_are_left_out(folder):
    add(folder, "2008_4", split="test")
    add(folder, "2008_5", thing("bus"), split="")
    (folder / "Annotations/2008_4.xml").unlink()
    assert read_voc(folder).splits.tolist() == ["train", "train", "test"]
    add(folder, "2008_6", thing("bus"), split="test")  # now val is val
    (folder / "ImageSets/Main/test.txt").write_text("2008_6\n")
    assert read_voc(folder).splits.tolist() == ["train", "train", "val", "test"]


def test_lists_have_synonyms(folder):
    lists = folder / "ImageSets/Main"
    (lists / "train_val.txt").write_text("2008_9 1\n")  # of the class train
    (lists / "train.txt").rename(lists / "Training.txt")
    (lists / "val.txt").rename(lists / "valid.txt")
    assert read_voc(folder).splits.tolist() == ["train", "train", "test"]
    (lists / "val.txt").write_text("2008_2\n")
    with pytest.raises(ValueError, match=r"for val\.(?s:.*)valid\.txt"):
        read_voc(folder)


def test_difficult_objects_leave_a_label_unknown(folder):
    hard = thing("sofa", difficult=1), thing("chair", difficult=1), thing("chair")
    add(folder, "2008_6", *hard)
    table = read_voc(folder)
    row = table.labels[table.paths == str(folder / "JPEGImages/2008_6.jpg")][0]
    assert positive(row) == ["chair"]
    assert [VOC_CLASSES[i] for i in np.flatnonzero(np.isnan(row))] == ["sofa"]
    assert len(table.boxes) == len(read_voc(folder, difficult=True).boxes) - 2
    row = read_voc(folder, difficult=True).labels[2]
    assert positive(row) == ["chair", "sofa"]
    assert not np.isnan(row).any()


def test_background_is_an_image_without_objects(folder, caplog):
    add(folder, "2008_7")
    assert read_voc(folder).labels[2].tolist() == [0] * 20
    assert (
        "1 images have no object; all of their labels are 0:\n  2008_7" in caplog.text
    )
    add(folder, "2008_8", thing("sofa", difficult=1))
    add(folder, "2008_9", thing("sofa", difficult=1), thing("cat"))
    table = read_voc(folder, background=True)
    assert table.class_names[-1] == "background"
    assert table.splits.tolist() == ["train"] * 5 + ["test"]
    np.testing.assert_array_equal(table.labels[:, -1], [0, 0, 1, np.nan, 0, 0])
    assert table.boxes[:, 5].max() < 20
    table = read_voc(folder, background=True, difficult=True)
    assert table.labels[:, -1].tolist() == [0, 0, 1, 0, 0, 0]


def test_parts_of_an_object_are_no_objects(folder):
    part = "<part><name>head</name><bndbox><xmin>2</xmin></bndbox></part>"
    add(folder, "2008_7", thing("person", (3, 3, 4, 4), more=part))
    assert read_voc(folder).boxes[-2].tolist() == [2, 2, 2, 2, 2, 14]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<annotation>", "no xml"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><annotation>&b;</annotation>', "DOCTYPE"),
        (f"<annotation>{thing('unicorn')}</annotation>", "aeroplane.*not unicorn"),
        ("<annotation><object/></annotation>", "not nameless"),
        (f"<annotation>{thing('cat', (1, 1, 'x', 2))}</annotation>", "cat: bndbox"),
        (
            "<annotation><object><name>cat</name></object></annotation>",
            "cat: bndbox has xmin",
        ),
    ],
)
def test_wrong_annotations_are_named_or_left_out(folder, caplog, text, message):
    path = folder / "Annotations" / "2008_2.xml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_objects(path)
    with pytest.raises(ValueError, match=rf"(?s)2008_2\.xml: .*{message}"):
        read_voc(folder)
    assert read_voc(folder, on_error="skip").splits.tolist() == ["train", "test"]
    assert "left out 1" in caplog.text


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("Annotations/2008_2.xml", r"2008_2\.xml: .*No such file"),
        ("JPEGImages/2008_2.jpg", r"2008_2 \(2008_2\.xml\)"),
    ],
)
def test_missing_files_are_named_or_left_out(folder, file, message):
    (folder / file).unlink()
    with pytest.raises(ValueError, match=message):
        read_voc(folder)
    assert len(read_voc(folder, on_error="skip")) == 2


def test_boxes_that_cover_nothing_are_listed_or_left_out(folder):
    add(folder, "2008_7", thing("cat", (9, 9, 8, 12)))
    with pytest.raises(ValueError, match=r"2008_7 \(2008_7\.xml\): .*no size"):
        read_voc(folder)
    table = read_voc(folder, on_error="skip")
    assert (len(table), len(table.boxes)) == (4, 5)


def test_a_folder_that_is_no_voc_or_an_image_on_two_lists_is_an_error(folder):
    (folder / "ImageSets/Main/val.txt").write_text("2008_1\n")
    with pytest.raises(ValueError, match="2008_1: train and test"):
        read_voc(folder)
    with pytest.raises(ValueError, match=r"VOC2007.*another root or year"):
        read_voc(folder.parent, year=2007)
    for path in (folder / "ImageSets/Main").iterdir():
        path.unlink()
    with pytest.raises(ValueError, match=r"train\.txt and val\.txt"):
        read_voc(folder)
