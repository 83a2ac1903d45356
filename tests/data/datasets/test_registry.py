from inspect import signature

import pytest

from kerasloc.data.datasets import READERS, read_dataset
from kerasloc.data.synthetic import SyntheticConfig, write


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
        ("mnist", {}, "dataset .*'nih14', 'ham', .*, 'folders'. Received: 'mnist'"),
        ("voc", {"image_dir": "x"}, "options of voc among year.*Received: image_dir"),
        ("folders", {"labels": "x"}, "Received: labels besides"),
    ],
)
def test_unknown_names_and_options_are_errors(tmp_path, name, options, message):
    with pytest.raises(ValueError, match=message):
        read_dataset(name, tmp_path, **options)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nih14", r"Data_Entry_2017\.csv.*folder of the csv"),
        ("ham", r'Annotations/Tags\.json.*"chexpert"'),
        ("chexpert", r"train\.csv, valid\.csv.*Name their folder"),
        ("vindr", r"train\.csv or annotations_train\.csv"),
        ("voc", "VOC2012.*root or year"),
        ("nih-nci", "no folder with a csv file"),
        ("folders", r"(?s)an empty folder.*train/CLASS_A"),
    ],
)
def test_a_folder_without_the_dataset_is_an_error(tmp_path, name, message):
    with pytest.raises(ValueError, match=message):
        read_dataset(name, tmp_path)


@pytest.mark.parametrize(
    "name", [n for n, f in READERS.items() if "on_error" in signature(f).parameters]
)
def test_on_error_is_raise_or_skip(tmp_path, name):
    with pytest.raises(ValueError, match=r"on_error.*'raise', 'skip'.*'hide'"):
        read_dataset(name, tmp_path, on_error="hide")
