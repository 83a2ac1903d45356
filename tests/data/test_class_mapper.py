import pytest

from kerasloc.data.class_names import ClassMapper

SYNSETS = "n01440764 tench, Tinca tinca\nn02012849 crane\n\nn03126707 crane, hoist\n"


@pytest.fixture
def synsets(tmp_path):
    path = tmp_path / "synsets.txt"
    path.write_text(SYNSETS)
    return ClassMapper(path)


def test_a_synset_file_gives_names(synsets):
    assert len(synsets) == 3
    assert [synsets.name(i) for i in range(3)] == ["tench", "crane", "crane"]


@pytest.mark.parametrize("name", ["n01440764", "tench", "Tinca tinca"])
def test_an_id_and_every_name_give_the_index(synsets, name):
    assert synsets.index(name) == 0


def test_a_list_of_names_works_both_ways():
    mapper = ClassMapper(["cat, wild", "dog"])
    assert mapper.name(0) == "cat, wild"
    assert mapper.index("dog") == 1


def test_a_name_of_two_classes_is_an_error(synsets):
    with pytest.raises(ValueError, match="n02012849, n03126707"):
        synsets.index("crane")


def test_an_unknown_name_is_an_error_with_names_like_it(synsets):
    with pytest.raises(ValueError, match=r"no class 'tensh'.*tench"):
        synsets.index("tensh")


@pytest.mark.parametrize("index", [3, -1])
def test_an_unknown_index_is_an_error(synsets, index):
    with pytest.raises(ValueError, match=rf"0\.\.2\. Received: {index}"):
        synsets.name(index)


def test_no_class_is_an_error():
    with pytest.raises(ValueError, match="one class or more"):
        ClassMapper([])
