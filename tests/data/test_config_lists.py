"""Lists, protocols and shares of boxes: from the options of a run to its images."""

import dataclasses

import numpy as np
import pytest

from kerasloc.data import config as data_config
from kerasloc.data.config import DataConfig
from kerasloc.data.splits import write_lists
from kerasloc.runs import Run


def boxed(table):
    return np.isin(np.arange(len(table)), table.boxes[:, 0])


def test_lists_of_a_folder_say_what_is_for_what(several, tmp_path):
    table = data_config.read_table(DataConfig(str(several), dataset="csv"))
    rows = np.flatnonzero(boxed(table))
    paths = ["/".join(path.split("/")[-2:]) for path in table.paths]
    lists = {
        "train": paths[4:20],
        "val": paths[:4],
        "test": paths[20:30],
        "annotated": [paths[row] for row in rows[(rows >= 4) & (rows < 8)]],
    }
    write_lists(tmp_path / "lists", lists)
    config = DataConfig(str(several), dataset="csv", image_sets=str(tmp_path / "lists"))
    tables = data_config.training_tables(config)
    tables["test"] = data_config.evaluation_table(config, "test", table.class_names)
    assert {name: len(one) for name, one in tables.items()} == {
        "train": 16,
        "val": 4,
        "test": 10,
    }
    assert tables["val"].paths.tolist() == table.paths[:4].tolist()
    learned = boxed(tables["train"])
    assert learned.sum() == len(lists["annotated"]) > 0
    assert not learned[4:].any()
    expected = boxed(table)
    for name, part in (("val", slice(4)), ("test", slice(20, 30))):
        np.testing.assert_array_equal(boxed(tables[name]), expected[part])


def test_images_on_a_list_that_are_not_there_are_named_or_skipped(several, tmp_path):
    table = data_config.read_table(DataConfig(str(several), dataset="csv"))
    paths = ["/".join(path.split("/")[-2:]) for path in table.paths]
    write_lists(tmp_path / "lists", {"train": [*paths[:9], "gone.png"]})
    place = {"dataset": "csv", "image_sets": str(tmp_path / "lists")}
    with pytest.raises(ValueError, match=r"gone\.png"):
        data_config.training_tables(DataConfig(str(several), **place))
    tables = data_config.training_tables(
        DataConfig(str(several), on_error="skip", **place)
    )
    assert sum(map(len, tables.values())) == 9


def test_a_fold_of_a_protocol_is_trained_and_tested_on(several):
    tests, names = [], None
    for fold in range(5):
        config = DataConfig(
            str(several), dataset="csv", protocol="localization", fold=fold, seed=3
        )
        tables = data_config.training_tables(config)
        names = tables["train"].class_names
        test = data_config.evaluation_table(config, "test", names)
        assert boxed(test).all()
        paths = [set(one.paths) for one in (*tables.values(), test)]
        assert len(set.union(*paths)) == sum(map(len, paths))
        tests += test.paths.tolist()
    whole = data_config.read_table(DataConfig(str(several), dataset="csv"))
    assert sorted(tests) == sorted(whole.paths[boxed(whole)])


def test_a_protocol_without_a_fold_is_its_first(several):
    none, zero, one = (
        data_config.read_table(
            DataConfig(
                str(several), dataset="csv", protocol="classification", fold=fold
            )
        ).splits.tolist()
        for fold in (None, 0, 1)
    )
    assert none == zero != one


def test_lists_are_read_or_made_but_not_both():
    with pytest.raises(ValueError, match=r"either read or made.*/lists.*official"):
        DataConfig("/a", image_sets="/lists", protocol="official")


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0), (0.5, None), (1.0, None)])
def test_a_share_of_the_boxes_is_learned_from(several, share, expected):
    full = data_config.training_tables(DataConfig(str(several), dataset="csv"))
    some = data_config.training_tables(
        DataConfig(str(several), dataset="csv", box_share=share)
    )
    count = round(share * boxed(full["train"]).sum())
    assert boxed(some["train"]).sum() == count
    assert expected in (None, count)
    np.testing.assert_array_equal(some["val"].boxes, full["val"].boxes)
    for name in ("train", "val"):
        assert some[name].paths.tolist() == full[name].paths.tolist()
        np.testing.assert_array_equal(some[name].labels, full[name].labels)


def test_a_share_of_boxes_that_is_none_is_refused(several):
    config = DataConfig(str(several), dataset="csv", box_share=1.5)
    with pytest.raises(ValueError, match=r"lies in \[0, 1\]. Received: 1.5"):
        data_config.training_tables(config)


@pytest.fixture
def asked(monkeypatch, several):
    """What readers are asked for, in the place of readers."""
    table = data_config.read_table(DataConfig(str(several), dataset="csv"))
    calls = []

    def read(name, path, class_names=None, **options):
        calls.append({"name": name, **options})
        return table

    monkeypatch.setattr(data_config, "read_dataset", read)
    return calls


def test_uncertain_labels_are_what_the_reader_is_told(asked):
    data_config.read_table(DataConfig("/x", dataset="chexpert", uncertain="ones"))
    assert (asked[0]["name"], asked[0]["uncertain"]) == ("chexpert", "ones")


def test_uncertain_is_no_option_of_data_without_uncertain_labels(several):
    with pytest.raises(ValueError, match=r"options of csv.*Received: uncertain"):
        data_config.read_table(
            DataConfig(str(several), dataset="csv", uncertain="ones")
        )


def test_the_release_reads_its_own_lists_once(asked, tmp_path):
    config = DataConfig("/x", dataset="ham", image_sets=str(tmp_path))
    table = data_config.read_table(config)
    assert asked[0]["image_sets"] == str(tmp_path)
    assert len(table)  # no list is there, and none was looked for


def test_other_data_leaves_lists_and_protocol_of_the_old_behind():
    known = {"data_dir": "/a", "protocol": "localization", "fold": 2, "seed": 3}
    assert data_config.data_of_run(known, {}).protocol == "localization"
    other = data_config.data_of_run(known, {"data_dir": "/b"})
    assert (other.protocol, other.image_sets, other.uncertain) == (None, None, None)
    lists = {"data_dir": "/a", "image_sets": "/lists", "uncertain": "ones"}
    assert data_config.data_of_run(lists, {}).image_sets == "/lists"
    other = data_config.data_of_run(lists, {"data_dir": "/b"})
    assert (other.image_sets, other.uncertain) == (None, None)


def test_a_run_that_was_begun_before_these_options_goes_on(tmp_path):
    whole = dataclasses.asdict(DataConfig("/a"))
    added = ("image_sets", "protocol", "fold", "box_share", "uncertain")
    earlier = {name: value for name, value in whole.items() if name not in added}
    with Run(tmp_path / "run", {"data": earlier}) as run:
        (run.folder / "best.weights.h5").touch()
    with Run(tmp_path / "run", {"data": whole}) as run:
        assert run.config["data"] == whole
    again = DataConfig("/a", box_share=0.5)
    with pytest.raises(ValueError, match=r"data.box_share: None before, 0.5 now"):
        Run(tmp_path / "run", {"data": dataclasses.asdict(again)}).__enter__()
