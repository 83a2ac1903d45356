import pytest

from kerasloc.data.class_names import (
    ClassMapper,
    choose_names,
    match_names,
    spelling,
    with_nearest,
)

VALID = ("Mass", "Enlarged Cardiomediastinum", "Pleural_Thickening", "Infiltration")
SYNSETS = "n01440764 tench, Tinca tinca\nn02012849 crane\n\nn03126707 crane, hoist\n"


@pytest.fixture
def synsets(tmp_path):
    path = tmp_path / "synsets.txt"
    path.write_text(SYNSETS)
    return ClassMapper(path)


def test_a_synset_file_gives_names(synsets):
    assert len(synsets) == 3
    assert [synsets.name(i) for i in range(3)] == ["tench", "crane", "crane"]
    for name in ("n01440764", "tench", "Tinca tinca"):
        assert synsets.index(name) == 0


def test_a_list_of_names_works_both_ways():
    mapper = ClassMapper(["cat, wild", "dog"])
    assert mapper.name(0) == "cat, wild"
    assert mapper.index("dog") == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [("crane", "n02012849, n03126707"), ("tensh", r"Received: 'tensh'.*tench")],
)
def test_names_of_two_classes_or_none_are_errors(synsets, name, message):
    with pytest.raises(ValueError, match=message):
        synsets.index(name)
    for index in (3, -1):
        with pytest.raises(ValueError, match=rf"0\.\.2\. Received: {index}"):
            synsets.name(index)
    with pytest.raises(ValueError, match="one class or more"):
        ClassMapper([])


@pytest.mark.parametrize(
    ("written", "valid"),
    [
        ("mass", "Mass"),
        ("Enlarg_Cardiomediastinum", "Enlarged Cardiomediastinum"),
        ("enlarged_cardiomediastinum", "Enlarged Cardiomediastinum"),
        ("Pleural Thickening", "Pleural_Thickening"),
        ("Infiltrate", "Infiltration"),
        ("INFILTRATION", "Infiltration"),
    ],
)
def test_all_spellings_of_a_class_match(written, valid):
    assert spelling(written) == spelling(valid)
    assert match_names({written: 1}, VALID, "here") == {written: valid}


def test_a_renaming_is_logged_once_with_its_count(caplog):
    match_names({"mass": 7, "Infiltration": 3}, VALID, "here")
    assert caplog.messages == ["here: 'mass' is read as 'Mass', 7 times"]


def test_invalid_names_are_listed_with_the_nearest_valid_one():
    with pytest.raises(ValueError, match=r"(?s)Received: 2.*'Masss' \(nearest: Mass\)"):
        match_names({"Masss": 1, "Mass": 1, "Gout": 1}, VALID, "here")
    assert "nearest: Pleural_Th" in with_nearest("Pleural Thickning", VALID)


def test_chosen_names_are_valid_ones():
    assert choose_names(["Infiltration", "Mass"], VALID) == ("Infiltration", "Mass")
    with pytest.raises(ValueError, match=r"'Infiltrate' \(nearest: Infiltration\)"):
        choose_names(["Mass", "Infiltrate"], VALID)


def test_a_list_in_another_encoding_is_an_error_that_names_it(tmp_path):
    path = tmp_path / "classes.txt"
    path.write_bytes("Größe\ncat\n".encode("utf-16"))
    assert ClassMapper(path).name(0) == "Größe"
    path.write_bytes("Größe\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"classes\.txt.*0xf6 in line 1"):
        ClassMapper(path)
