import numpy as np
import pytest

from kerasloc.data.datasets import read_dataset
from kerasloc.data.datasets.ham import read_ham
from kerasloc.data.datasets.nih14 import NIH_CLASSES

A, B, C, D = (f"0000000{n}.png" for n in ("1_000", "1_001", "2_000", "3_000"))
NEW = "00000009_000.png"
TAGS = {A: ["Effusion", "Cardiomegaly"], B: [], C: ["Mass"], D: ["No Finding"]}
NAMES = ("Cardiomegaly", "Effusion", "Mass")
BOXES = {A: {"Effusion": [[100, 200, 300, 400]]}, C: {"Mass": [[512, 0, 512, 1024]]}}
FRONT = "train/patient{:05d}/study4/view1_frontal.jpg"
ONE, TWO = FRONT.format(1), FRONT.format(2)


@pytest.fixture
def layout(tmp_path, put):
    """Function that writes tags, boxes and images in the published layout."""

    def write(tags, boxes):
        put(tmp_path / "Annotations/Tags.json", tags)
        put(tmp_path / "Annotations/BBoxes.json", boxes)
        for name in tags:
            put(tmp_path / "images" / name)
        return tmp_path

    return write


@pytest.fixture
def root(layout, put):
    """ChestX-ray14: four images of three patients."""
    folder = layout(TAGS, BOXES)
    put(folder / "ImageSets/Main/train.txt", f"{A}\n{B}\n")
    put(folder / "ImageSets/Main/test.txt", f"{C}\n")
    return folder


@pytest.fixture
def chexpert(layout):
    """CheXpert: two images of two patients, boxes by corners."""
    boxes = {TWO: {"edema": [[10, 20, 60, 70], [200, 100, 300, 250]]}}
    return layout({ONE: ["Edema"], TWO: ["Lung Opacity", "Edema"]}, boxes)


@pytest.fixture
def zoo(layout):
    """Another dataset."""
    tags = {"a.png": ["zebra"], "b.png": ["ape", "zebra"]}
    return layout(tags, {"b.png": {"ape": [[10, 20, 60, 70]]}})


@pytest.fixture
def put_tags(put, tmp_path):
    return lambda content: put(tmp_path / "Annotations/Tags.json", content)


@pytest.fixture
def put_boxes(put, tmp_path):
    return lambda content: put(tmp_path / "Annotations/BBoxes.json", content)


def names_of(table):
    return [path.split("/")[-1] for path in table.paths]


def test_the_published_layout_makes_a_table(root, caplog):
    (root / "images_002/images").mkdir(parents=True)  # images may lie in several
    (root / "images" / A).rename(root / "images_002/images" / A)
    table = read_ham(root)
    assert caplog.text == ""
    assert names_of(table) == [A, B, C, D]
    assert table.class_names == NAMES  # those that occur, in the order of NIH
    assert table.labels.tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 1], [0, 0, 0]]
    assert table.splits.tolist() == ["train", "train", "test", ""]
    assert table.groups.tolist() == ["00000001", "00000001", "00000002", "00000003"]
    assert table.boxes.tolist() == [[0, 50, 50, 150, 100, 1], [2, 256, 0, 256, 256, 2]]


def test_files_may_lie_in_the_root_and_lists_flat_or_be_absent(root):
    for name in ("Annotations/Tags", "Annotations/BBoxes"):
        (root / f"{name}.json").rename(root / f"{name.split('/')[-1]}.json")
    for name in ("train.txt", "test.txt"):
        (root / "ImageSets/Main" / name).rename(root / "ImageSets" / name)
    table = read_ham(root)
    assert len(table.boxes) == 2
    assert table.splits.tolist() == ["train", "train", "test", ""]
    (root / "BBoxes.json").unlink()  # the tags are enough
    (root / "ImageSets").rename(root / "other")
    table = read_ham(root)
    assert set(table.splits) == {""}
    assert table.boxes.shape == (0, 6)


def test_other_lists_replace_those_in_the_root(root, put):
    put(root / "fold1/train.txt", f"{D}\n{C}\n")
    put(root / "fold1/val.txt", f"{A}\n")
    table = read_ham(root, image_sets=root / "fold1")
    assert table.splits.tolist() == ["val", "", "train", "train"]
    with pytest.raises(ValueError, match="nowhere, without"):
        read_ham(root, image_sets=root / "nowhere")


def test_training_images_that_are_not_annotated_lose_their_boxes(root, put):
    put(root / "ImageSets/bbox/train.txt", f"{B}\n")
    assert read_ham(root).boxes[:, 0].tolist() == [2]
    put(root / "ImageSets/bbox/train.txt", "\n")
    with pytest.raises(ValueError, match='the list "annotated"'):
        read_ham(root)


def test_keys_may_be_paths(chexpert):
    table = read_ham(chexpert)
    assert table.paths.tolist() == [str(chexpert / "images" / n) for n in (ONE, TWO)]
    assert table.class_names == ("Lung Opacity", "Edema")  # the order of CheXpert
    assert table.groups.tolist() == ["patient00001", "patient00002"]
    assert table.boxes.tolist() == [[1, 10, 20, 50, 50, 1], [1, 200, 100, 100, 150, 1]]


def test_images_may_lie_elsewhere(chexpert, tmp_path):
    (tmp_path / "images").rename(tmp_path / "disk")
    assert len(read_ham(tmp_path, tmp_path / "disk")) == 2
    with pytest.raises(ValueError, match=r"(?s)all without.*image_dir"):
        read_ham(tmp_path)
    (tmp_path / "disk/train").rename(tmp_path / "train")
    assert len(read_ham(tmp_path)) == 2


def test_names_in_another_spelling_are_valid(root, put_tags, put_boxes, caplog):
    put_tags({**TAGS, D: ["Pleural Thickening"], B: ["infiltration", "edema"]})
    put_boxes({B: {"Infiltrate": [[100, 100, 200, 200]]}})
    table = read_ham(root)
    expected = {*NAMES, "Infiltration", "Edema", "Pleural_Thickening"}
    assert table.class_names == tuple(n for n in NIH_CLASSES if n in expected)
    assert table.class_names[int(table.boxes[0, 5])] == "Infiltration"
    assert "'Infiltrate' is read as 'Infiltration', 1 times" in caplog.text
    assert caplog.text.count("'edema' is read as 'Edema'") == 1


def test_the_names_of_another_dataset_stay_and_are_sorted(zoo):
    table = read_ham(zoo, convention="xywh")
    assert table.class_names == ("ape", "zebra")
    assert table.labels.tolist() == [[0, 1], [1, 1]]
    assert table.boxes.tolist() == [[1, 10, 20, 60, 70, 0]]
    assert table.groups.tolist() == ["", ""]


@pytest.mark.parametrize(
    ("first", "second", "names"),
    [
        (["Nodule"], ["Hernia", "Mass"], ("Mass", "Nodule", "Hernia")),  # as NIH
        (["lion"], ["Lion"], ("Lion",)),
    ],
)
def test_classes_of_another_dataset(zoo, put_tags, put_boxes, first, second, names):
    put_tags({"a.png": first, "b.png": second})
    put_boxes({})
    table = read_ham(zoo)
    assert table.class_names == names
    assert table.labels.any(axis=1).all()


def test_some_classes_in_another_order(root):
    names = ("Hernia", "Effusion")  # the first does not occur
    table = read_dataset("ham", root, class_names=names, image_dir=None)
    assert table.class_names == names
    assert table.labels.tolist() == [[0, 1], [0, 0], [0, 0], [0, 0]]
    assert table.boxes.tolist() == [[0, 50, 50, 150, 100, 1]]
    with pytest.raises(ValueError, match=r"'Efusion' \(nearest: Effusion\)"):
        read_ham(root, class_names=["Efusion"])


def test_normal_images_alone_have_all_classes_of_their_dataset(
    root, put_tags, put_boxes
):
    put_tags({name: [] for name in TAGS})
    put_boxes({})
    table = read_ham(root)
    assert table.class_names == NIH_CLASSES
    assert np.array_equal(table.labels, np.zeros((4, 14)))


def test_boxes_of_classes_without_a_tag_are_listed_or_left_out(root, put_boxes, caplog):
    put_boxes({**BOXES, B: {"Mass": [[1, 2, 30, 40]]}, C: {"Hernia": [[1, 2, 3, 4]]}})
    message = (
        rf"(?s)Tags\.json\. Received: 2.*{C} \(Hernia 1\), tags: Mass.*"
        rf"{B} \(Mass 1\), tags: No Finding.*on_error="
    )
    with pytest.raises(ValueError, match=message):
        read_ham(root)
    table = read_ham(root, on_error="skip")
    assert table.boxes[:, [0, 5]].tolist() == [[0, 1]]
    assert len(table) == 4
    assert "left out 2" in caplog.text


SIZE, CORNER = [500, 500, 300, 400], [500, 500, 800, 900]
SMALL_SIZE, SMALL_CORNER = [300, 150, 200, 50], [300, 150, 400, 250]


@pytest.mark.parametrize(
    ("dataset", "image", "box", "wrong", "right", "expected"),
    [
        ("root", A, SIZE, "xyxy", "auto", [250, 125, 150, 100]),
        ("root", A, CORNER, "auto", "xyxy", [250, 125, 150, 100]),
        ("chexpert", TWO, SMALL_CORNER, "xywh", "auto", [300, 150, 100, 100]),
        ("chexpert", TWO, SMALL_SIZE, "auto", "xywh", [300, 150, 200, 50]),
    ],
)
def test_the_error_of_the_wrong_convention_names_the_right_one(
    request, put_boxes, dataset, image, box, wrong, right, expected
):
    folder = request.getfixturevalue(dataset)
    put_boxes({image: {"Edema" if image == TWO else "Effusion": [box] * 2}})
    name = {"auto": "xywh" if image == A else "xyxy"}.get(right, right)
    message = f'0 of 2 as .*2 of 2 as {name}.*convention="{name}"'
    with pytest.raises(ValueError, match=message):
        read_ham(folder, convention=wrong)
    boxes = read_ham(folder, convention=right).boxes
    assert boxes[:, 1:5].tolist() == [expected] * 2


def test_other_data_with_boxes_need_a_convention(zoo, put_boxes):
    message = r"(?s)Received: 'b\.png'.*Use convention=\"xywh\" .*or \"xyxy\""
    with pytest.raises(ValueError, match=message):
        read_ham(zoo)
    assert read_ham(zoo, convention="xyxy").boxes[0, 1:5].tolist() == [10, 20, 50, 50]
    put_boxes({})
    assert len(read_ham(zoo)) == 2


def test_images_without_a_file_are_listed_or_left_out(root, put, caplog):
    (root / "images" / C).unlink()
    with pytest.raises(ValueError, match=rf"(?s)Received: 1 .*{C} \(Tags\.json\)"):
        read_ham(root)
    put(root / "ImageSets/Main/train.txt", f"{A}\n{B}\n{C}\n")
    (root / "ImageSets/Main/test.txt").unlink()
    table = read_ham(root, on_error="skip")
    assert names_of(table) == [A, B, D]
    assert table.boxes[:, 0].tolist() == [0]
    assert "image for every row" in caplog.text


@pytest.mark.parametrize("on_disk", [True, False])
def test_listed_images_without_tags_or_file_are_listed_or_left_out(
    root, put, caplog, on_disk
):
    if on_disk:
        put(root / "images" / NEW)
    put(root / "ImageSets/Main/test.txt", f"{C}\n{NEW}\n")
    with pytest.raises(ValueError, match=NEW):
        read_ham(root)
    table = read_ham(root, on_error="skip")
    assert table.splits.tolist() == ["train", "train", "test", ""]
    assert NEW in caplog.text


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        *(
            ({**TAGS, D: tags}, rf"(?s)image: \[class names\].*{D}")
            for tags in ("Mass", {"Mass": 1}, [1], None)
        ),
        ({**TAGS, D: ["Mass", "no finding"]}, rf"(?s)classes or No Finding.*{D}"),
        ({**TAGS, D: ["Atelectesis", "Mass"]}, r"Tags.*\n.*\(nearest: Atelectasis\)"),
        ({}, "no class for any of its images"),
        ({"a.png": [], "b.png": []}, "no class for any of its images"),
        ({"a.png": ["Nodule"], "b.png": ["Atelectesis", "Mass"]}, "nearest: Atelectas"),
        ('{"a.png": ', r"Tags\.json.*broken.*line 1"),
    ],
)
def test_wrong_tags_are_errors(root, put_tags, put_boxes, tags, message):
    put_tags(tags)
    put_boxes({})
    with pytest.raises(ValueError, match=message):
        read_ham(root)


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ({A: {"Atelectesis": [[1, 2, 3, 4]]}}, r"BBoxes.*\n.*\(nearest: Atelectasis\)"),
        ({A: {"Effusion": [[1, 2, 3, 4], [9, 9, 9, 0]]}}, rf"{A} \(Effusion 2\)"),
        ('{"a.png": ', r"BBoxes\.json.*broken.*line 1"),
    ],
)
def test_wrong_boxes_are_errors(root, put_boxes, boxes, message):
    put_boxes(boxes)
    with pytest.raises(ValueError, match=message):
        read_ham(root)


@pytest.mark.parametrize("longer", ["boxes", "tags"])
def test_tags_and_boxes_name_images_alike(root, put_tags, put_boxes, longer):
    folder = {"boxes": "", "tags": "", longer: "images/"}
    put_boxes({f"{folder['boxes']}{A}": BOXES[A]})
    put_tags({f"{folder['tags']}{A}": TAGS[A]})
    with pytest.raises(ValueError, match=f"no common name, but '{A}' in one"):
        read_ham(root)


def test_boxes_of_images_without_tags_are_logged(root, put_boxes, caplog):
    put_boxes({**BOXES, NEW: {"Mass": [[1, 2, 30, 40]]}})
    assert len(read_ham(root).boxes) == 2
    assert "1 boxes of images without a row" in caplog.text


def test_wrong_options_are_errors(root):
    with pytest.raises(ValueError, match=r"convention .*'xyxy'\. Received: 'yxyx'"):
        read_ham(root, convention="yxyx")
    with pytest.raises(ValueError, match=r"/nowhere.*image_dir"):
        read_ham(root, image_dir="/nowhere")
