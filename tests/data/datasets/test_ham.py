import json

import pytest
from PIL import Image

from kerasloc.data.datasets import read_dataset
from kerasloc.data.datasets.ham import read_ham
from kerasloc.data.datasets.nih14 import NIH_CLASSES

A, B, C, D = (
    "00000001_000.png",
    "00000001_001.png",
    "00000002_000.png",
    "00000003_000.png",
)
TAGS = {A: ["Effusion", "Cardiomegaly"], B: [], C: ["Mass"], D: ["No Finding"]}
NAMES = ("Cardiomegaly", "Effusion", "Mass")
BOXES = {A: {"Effusion": [[100, 200, 300, 400]]}, C: {"Mass": [[512, 0, 512, 1024]]}}
FRONT = "train/patient{:05d}/study4/view1_frontal.jpg"
ONE, TWO = FRONT.format(1), FRONT.format(2)


def image(path, size=(512, 256)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size).save(path)


def put(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def put_tags(root, content):
    put(root / "Annotations/Tags.json", content)


def put_boxes(root, content):
    put(root / "Annotations/BBoxes.json", content)


@pytest.fixture
def root(tmp_path):
    """ChestX-ray14 in the published layout: four images of three patients."""
    put_tags(tmp_path, TAGS)
    put_boxes(tmp_path, BOXES)
    for name in TAGS:
        image(tmp_path / "images" / name)
    put(tmp_path / "ImageSets/Main/train.txt", f"{A}\n{B}\n")
    put(tmp_path / "ImageSets/Main/test.txt", f"{C}\n")
    return tmp_path


@pytest.fixture
def chexpert(tmp_path):
    """CheXpert in the same layout: two images of two patients, boxes by corners."""
    put_tags(tmp_path, {ONE: ["Edema"], TWO: ["Lung Opacity", "Edema"]})
    put_boxes(tmp_path, {TWO: {"edema": [[10, 20, 60, 70], [200, 100, 300, 250]]}})
    for name in (ONE, TWO):
        image(tmp_path / "images" / name)
    return tmp_path


@pytest.fixture
def own(tmp_path):
    """Another data set in the same layout."""
    put_tags(tmp_path, {"a.png": ["zebra"], "b.png": ["ape", "zebra"]})
    put_boxes(tmp_path, {"b.png": {"ape": [[10, 20, 60, 70]]}})
    for name in ("a.png", "b.png"):
        image(tmp_path / "images" / name)
    return tmp_path


def names_of(table):
    return [path.split("/")[-1] for path in table.paths]


def test_the_published_layout_makes_a_table(root, caplog):
    table = read_ham(root)
    assert caplog.text == ""
    assert names_of(table) == [A, B, C, D]
    assert table.class_names == NAMES  # those that occur, in the order of NIH
    assert table.labels.tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 1], [0, 0, 0]]
    assert table.splits.tolist() == ["train", "train", "test", ""]
    assert table.groups.tolist() == ["00000001", "00000001", "00000002", "00000003"]
    assert table.boxes.tolist() == [[0, 50, 50, 150, 100, 1], [2, 256, 0, 256, 256, 2]]


def test_files_may_lie_in_the_root_and_lists_flat(root):
    for name in ("Tags.json", "BBoxes.json"):
        (root / "Annotations" / name).rename(root / name)
    for name in ("train.txt", "test.txt"):
        (root / "ImageSets/Main" / name).rename(root / "ImageSets" / name)
    table = read_ham(root)
    assert len(table.boxes) == 2
    assert table.splits.tolist() == ["train", "train", "test", ""]


def test_without_lists_there_are_no_splits(chexpert):
    assert set(read_ham(chexpert).splits) == {""}


def test_other_lists_take_the_place_of_those_in_the_root(root):
    put(root / "fold1/train.txt", f"{D}\n{C}\n")
    put(root / "fold1/val.txt", f"{A}\n")
    table = read_ham(root, image_sets=root / "fold1")
    assert table.splits.tolist() == ["val", "", "train", "train"]
    with pytest.raises(ValueError, match="nowhere, without"):
        read_ham(root, image_sets=root / "nowhere")


def test_training_images_that_are_not_annotated_lose_their_boxes(root):
    put(root / "ImageSets/bbox/train.txt", f"{B}\n")
    assert read_ham(root).boxes[:, 0].tolist() == [2]


def test_an_empty_list_of_annotated_images_is_an_error(root):
    put(root / "ImageSets/bbox/train.txt", "\n")
    with pytest.raises(ValueError, match='the list "annotated"'):
        read_ham(root)


def test_without_boxes_the_tags_are_enough(root):
    (root / "Annotations/BBoxes.json").unlink()
    assert read_ham(root).boxes.shape == (0, 6)


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


def test_bare_names_are_found_in_several_folders(root):
    (root / "images_002/images").mkdir(parents=True)
    (root / "images" / A).rename(root / "images_002/images" / A)
    assert names_of(read_ham(root)) == [A, B, C, D]


def test_names_in_another_spelling_are_known(root, caplog):
    put_tags(root, {**TAGS, D: ["Pleural Thickening"], B: ["infiltration", "edema"]})
    put_boxes(root, {B: {"Infiltrate": [[100, 100, 200, 200]]}})
    table = read_ham(root)
    wanted = {*NAMES, "Infiltration", "Edema", "Pleural_Thickening"}
    assert table.class_names == tuple(n for n in NIH_CLASSES if n in wanted)
    assert table.class_names[int(table.boxes[0, 5])] == "Infiltration"
    assert "'Infiltrate' is read as 'Infiltration', 1 times" in caplog.text
    assert caplog.text.count("'edema' is read as 'Edema'") == 1


@pytest.mark.parametrize("file", ["Tags", "BBoxes"])
def test_names_of_no_class_are_errors_with_the_nearest_known_one(root, file):
    if file == "Tags":
        put_tags(root, {**TAGS, D: ["Atelectesis", "Mass"]})
    else:
        put_boxes(root, {A: {"Atelectesis": [[100, 200, 300, 400]]}})
    message = rf"(?s){file}\.json.*'Atelectesis' \(nearest: Atelectasis\)"
    with pytest.raises(ValueError, match=message):
        read_ham(root)


def test_the_names_of_another_data_set_stay_and_are_sorted(own):
    table = read_ham(own, convention="xywh")
    assert table.class_names == ("ape", "zebra")
    assert table.labels.tolist() == [[0, 1], [1, 1]]
    assert table.boxes.tolist() == [[1, 10, 20, 60, 70, 0]]
    assert table.groups.tolist() == ["", ""]


def test_other_data_with_known_names_has_their_order(own):
    put_tags(own, {"a.png": ["Nodule"], "b.png": ["Hernia", "Mass"]})
    put_boxes(own, {})
    assert read_ham(own).class_names == ("Mass", "Nodule", "Hernia")


def test_a_slip_among_known_names_is_an_error_in_other_data_too(own):
    put_tags(own, {"a.png": ["Nodule"], "b.png": ["Atelectesis", "Mass"]})
    with pytest.raises(ValueError, match=r"'Atelectesis' \(nearest: Atelectasis\)"):
        read_ham(own)


def test_one_name_in_several_spellings_is_one_class(own, caplog):
    put_tags(own, {"a.png": ["ape"], "b.png": ["Ape"]})
    table = read_ham(own, convention="xyxy")
    assert len(table.class_names) == 1
    assert table.labels.tolist() == [[1], [1]]
    assert "is read as" in caplog.text


def test_some_classes_in_another_order(root):
    names = ("Hernia", "Effusion")  # one of them does not occur
    table = read_dataset("ham", root, class_names=names, image_dir=None)
    assert table.class_names == names
    assert table.labels.tolist() == [[0, 1], [0, 0], [0, 0], [0, 0]]
    assert table.boxes.tolist() == [[0, 50, 50, 150, 100, 1]]
    with pytest.raises(ValueError, match=r"'Efusion' \(nearest: Effusion\)"):
        read_ham(root, class_names=["Efusion"])


def test_normal_images_alone_have_all_classes_of_their_data_set(root):
    put_tags(root, {name: [] for name in TAGS})
    put_boxes(root, {})
    table = read_ham(root)
    assert table.class_names == NIH_CLASSES
    assert not table.labels.any()


def test_boxes_of_classes_without_a_tag_are_listed_or_left_out(root, caplog):
    put_boxes(
        root, {**BOXES, B: {"Mass": [[1, 2, 30, 40]]}, C: {"Hernia": [[1, 2, 3, 4]]}}
    )
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


def test_sizes_read_as_corners_are_an_error_that_says_so(root):
    put_boxes(root, {**BOXES, A: {"Effusion": [[500, 500, 300, 400]] * 2}})
    with pytest.raises(ValueError, match=r'0 of 3.*3 of 3.*convention="xywh"'):
        read_ham(root, convention="xyxy")


def test_corners_read_as_sizes_are_an_error_that_says_so(root):
    corners = {A: {"Effusion": [[500, 500, 800, 900], [600, 100, 700, 300]]}}
    put_boxes(root, corners)
    with pytest.raises(ValueError, match=r'0 of 2.*2 of 2.*convention="xyxy"'):
        read_ham(root)
    table = read_ham(root, convention="xyxy")
    assert table.boxes[:, 1:5].tolist() == [[250, 125, 150, 100], [300, 25, 50, 50]]


def test_each_convention_is_told_apart_for_chexpert_too(chexpert):
    put_boxes(chexpert, {TWO: {"Edema": [[300, 150, 400, 250]] * 2}})
    with pytest.raises(ValueError, match=r'0 of 2.*2 of 2.*convention="xyxy"'):
        read_ham(chexpert, convention="xywh")
    put_boxes(chexpert, {TWO: {"Edema": [[300, 150, 200, 50]]}})
    with pytest.raises(ValueError, match=r'0 of 1.*1 of 1.*convention="xywh"'):
        read_ham(chexpert)
    table = read_ham(chexpert, convention="xywh")  # still in pixels of the file
    assert table.boxes.tolist() == [[1, 300, 150, 200, 50, 1]]


def test_other_data_with_boxes_need_a_convention(own):
    message = r"(?s)Received: 'b\.png'.*Use convention=\"xywh\" .*or \"xyxy\""
    with pytest.raises(ValueError, match=message):
        read_ham(own)
    assert read_ham(own, convention="xyxy").boxes[0, 1:5].tolist() == [10, 20, 50, 50]
    put_boxes(own, {})
    assert len(read_ham(own)) == 2


def test_images_without_a_file_are_listed_or_left_out(root, caplog):
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
def test_images_on_a_list_without_tags_or_file_are_listed_or_left_out(
    root, caplog, on_disk
):
    if on_disk:
        image(root / "images/00000009_000.png")
    put(root / "ImageSets/Main/test.txt", f"{C}\n00000009_000.png\n")
    with pytest.raises(ValueError, match=r"00000009_000\.png"):
        read_ham(root)
    table = read_ham(root, on_error="skip")
    assert table.splits.tolist() == ["train", "train", "test", ""]
    assert "00000009_000.png" in caplog.text


def test_boxes_outside_their_image_are_listed_or_left_out(root):
    put_boxes(root, {A: {"Effusion": [[1, 2, 30, 40], [9, 9, 9, 0], [1, 2, 300, 4]]}})
    with pytest.raises(ValueError, match=rf"{A} \(Effusion 2\).*has no size"):
        read_ham(root)
    assert len(read_ham(root, on_error="skip").boxes) == 2


@pytest.mark.parametrize("name", ["Tags", "BBoxes"])
def test_broken_json_is_an_error_that_names_the_file(root, name):
    put(root / f"Annotations/{name}.json", '{"00000001_000.png": ')
    with pytest.raises(ValueError, match=rf"{name}\.json.*broken.*line 1"):
        read_ham(root)


@pytest.mark.parametrize("tags", ["Mass", {"Mass": 1}, [1], None])
def test_tags_are_lists_of_names(root, tags):
    put_tags(root, {**TAGS, D: tags})
    with pytest.raises(ValueError, match=rf"(?s)image: \[class names\].*{D}"):
        read_ham(root)


def test_no_finding_stands_alone(root):
    put_tags(root, {**TAGS, D: ["Mass", "no finding"]})
    with pytest.raises(ValueError, match=rf"(?s)classes or No Finding.*{D}"):
        read_ham(root)


@pytest.mark.parametrize("longer", ["boxes", "tags"])
def test_tags_and_boxes_name_images_alike(root, longer):
    folder = {"boxes": "", "tags": "", longer: "images/"}
    put_boxes(root, {f"{folder['boxes']}{A}": BOXES[A]})
    put_tags(root, {f"{folder['tags']}{A}": TAGS[A]})
    with pytest.raises(ValueError, match=f"no common name, but '{A}' in one"):
        read_ham(root)


def test_boxes_of_images_without_tags_are_told(root, caplog):
    put_boxes(root, {**BOXES, "00000009_000.png": {"Mass": [[1, 2, 30, 40]]}})
    assert len(read_ham(root).boxes) == 2
    assert "1 boxes of images without a row" in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"convention": "yxyx"},
            r"convention .*'xywh', 'xyxy'\. Received: 'yxyx'",
        ),
        ({"image_dir": "/nowhere"}, "/nowhere.*image_dir"),
    ],
)
def test_wrong_options_are_errors(root, options, message):
    with pytest.raises(ValueError, match=message):
        read_ham(root, **options)


def test_tags_are_needed(root, own):
    put_tags(own, {"a.png": [], "b.png": []})
    with pytest.raises(ValueError, match="no class for any of its images"):
        read_ham(own)
    (root / "Annotations/Tags.json").unlink()
    with pytest.raises(ValueError, match=r'Annotations/Tags\.json.*"chexpert"'):
        read_ham(root)


def test_empty_tags_are_an_error(root):
    put_tags(root, {})
    put_boxes(root, {})
    with pytest.raises(ValueError, match="Received: no class"):
        read_ham(root)
