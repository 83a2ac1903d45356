import numpy as np
import pytest

from kerasloc.data.datasets import READERS, read_dataset
from kerasloc.data.synthetic import SyntheticConfig, write
from kerasloc.data.table import Table, select_classes


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    """Folder with data.csv and images of several objects."""
    config = SyntheticConfig(classes=3, size=24, train=9, test=3, most_objects=3)
    return write(tmp_path_factory.mktemp("data") / "several", config)


def test_every_reader_has_a_name():
    names = "nih14 ham chexpert vindr voc imagenet-hvz nih-nci csv folders"
    assert list(READERS) == names.split()


def test_a_csv_is_read_by_its_path_or_its_folder(several):
    for root in (several, several / "data.csv"):
        assert len(read_dataset("csv", root, image_dir=None, on_error="skip")) == 12
    with pytest.raises(ValueError, match=r"no such image in .*nowhere"):
        read_dataset("csv", several, image_dir="nowhere")


def test_folders_are_read_with_the_classes_of_a_run(shapes):
    names = read_dataset("folders", shapes).class_names
    table = read_dataset("folders", shapes, class_names=names[::-1])
    assert table.class_names == names[::-1]


def test_options_go_to_the_reader(tmp_path):
    with pytest.raises(ValueError, match=r"one of train\.csv, val\.csv"):
        read_dataset("nih14", tmp_path, labels="onehot")
    with pytest.raises(ValueError, match=r"VOC2007"):
        read_dataset("voc", tmp_path, year="2007", image_dir=None)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "mnist",
            {},
            "nih14, ham, .*, imagenet-hvz, nih-nci, csv, folders. Received: 'mnist'",
        ),
        ("voc", {"image_dir": "x"}, "options of voc are year.*Received: image_dir"),
        ("folders", {"labels": "x"}, "Received: labels besides"),
    ],
)
def test_unknown_names_and_options_are_errors(tmp_path, name, options, message):
    with pytest.raises(ValueError, match=message):
        read_dataset(name, tmp_path, **options)


def test_classes_are_chosen_and_ordered():
    table = Table(
        paths=["a", "b"],
        class_names=("u", "v", "w"),
        labels=[[1, 0, np.nan], [0, 1, 1]],
        boxes=[[0, 1, 1, 1, 1, 0], [1, 2, 2, 2, 2, 1], [1, 3, 3, 3, 3, 2]],
    )
    part = select_classes(table, ["w", "u"])
    assert part.class_names == ("w", "u")
    np.testing.assert_array_equal(part.labels, [[np.nan, 1], [1, 0]])
    assert part.boxes[:, [0, 1, 5]].tolist() == [[0, 1, 1], [1, 3, 0]]
    assert table.boxes[:, 5].tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match=r"classes are u, v, w\. Received: x besides"):
        select_classes(table, ["u", "x"])
