"""Files that are written whole or not at all."""

import csv
import json
import os
import pathlib

import numpy as np
import pytest

from kerasloc import io


def fail_in_the_middle(path):
    with io.atomic_write(path) as partial:
        partial.write_text("new")
        assert path.read_text() == "old"
        raise RuntimeError


def test_a_failed_write_leaves_the_old_file_and_no_partial_one(tmp_path):
    path = tmp_path / "a.txt"
    io.write_text(path, "old")
    with pytest.raises(RuntimeError):
        fail_in_the_middle(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_partial_files_of_a_killed_process_are_removed(tmp_path):
    with io.atomic_write(tmp_path / "a.txt") as partial:
        partial.write_text("half")
        os.link(partial, tmp_path / partial.name.replace(str(os.getpid()), "1"))
    assert len(list(tmp_path.iterdir())) == 2
    io.remove_partial(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_missing_folders_are_made(tmp_path):
    io.write_text(tmp_path / "a" / "b.txt", "text")
    assert (tmp_path / "a" / "b.txt").read_text() == "text"


def test_json_holds_what_json_can(tmp_path):
    value = {"a": np.float32(0.5), "b": (1, np.nan), "c": np.arange(2), "d": tmp_path}
    io.write_json(tmp_path / "a.json", value)
    stored = json.loads((tmp_path / "a.json").read_text())
    assert stored == {"a": 0.5, "b": [1, None], "c": [0, 1], "d": str(tmp_path)}


def test_csv_rows_come_back_as_text_under_all_columns(tmp_path):
    io.write_csv(tmp_path / "a.csv", [{"name": "a,b", "x": 1}, {"name": "ü", "y": 0.1}])
    rows = io.read_csv(tmp_path / "a.csv")
    assert rows[0] == {"name": "a,b", "x": "1", "y": ""}
    assert rows[1] == {"name": "ü", "x": "", "y": "0.1"}


TEXT = "image,label\na.png,Größe\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_text_is_read_in_the_encoding_of_its_byte_order_mark(tmp_path, encoding):
    (tmp_path / "a.csv").write_bytes(TEXT.encode(encoding))
    assert io.read_text(tmp_path / "a.csv") == TEXT
    assert io.read_csv(tmp_path / "a.csv") == [{"image": "a.png", "label": "Größe"}]


@pytest.mark.parametrize(
    ("content", "received"),
    [
        (TEXT.encode("latin-1"), "0xf6 in line 2"),
        ("\ufeff".encode() + TEXT.encode("latin-1"), "0xf6 in line 2"),
        (TEXT.encode("utf-16")[:-1], "utf-16"),
        (TEXT.encode("utf-16-le"), "0xf6 in line 2"),
        (b"image,label\na.png,\0\n", "NUL.* line 2"),
        (b"\x89PNG\r\n\x1a\n", "0x89 in line 1"),
    ],
)
def test_a_file_in_another_encoding_is_an_error_that_names_it(
    tmp_path, content, received
):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(ValueError, match=rf"a\.csv.*Received: .*{received}.*UTF-8"):
        io.read_rows(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("lines", "received"),
    [
        (["a,b", "1,2,3", "1,2", "1"], r"Expected 2 .*line 2 with 3, line 4 with 1"),
        (["a,b", "1,2"] + ["1"] * 12, "line 12 with 1, and 2 more"),
        (["a,b,", "1,2,3"], "line 2 with 3"),  # below no name
        (["a;b", "1;2"], "'a;b'"),
        (["a\tb", "1\t2"], r"'a\\tb'"),
        (["a,b", '1,"2', "3,4"], "from line 2 on"),  # swallows the rest
        (["a,b", "1," + "2" * 200_000], "field limit.*line 2"),
    ],
)
def test_rows_that_would_be_misread_are_errors_with_their_lines(
    tmp_path, lines, received
):
    (tmp_path / "a.csv").write_text("\n".join(lines))
    for read in (io.read_rows, io.read_csv):
        with pytest.raises(ValueError, match=received) as error:
            read(tmp_path / "a.csv")
        assert str(tmp_path / "a.csv") in str(error.value)


def test_quoted_line_breaks_blank_lines_and_blank_ends_are_no_errors(tmp_path):
    (tmp_path / "a.csv").write_bytes(b'a, "b",\r\n"1\n,", 2\r\n\r\n3,4,,,\r\n  \r\n')
    lines = [(1, ["a", "b"]), (2, ["1\n,", "2"]), (5, ["3", "4"])]
    assert io.read_rows(tmp_path / "a.csv") == lines
    (tmp_path / "a.csv").write_text("")
    assert io.read_rows(tmp_path / "a.csv") == io.read_csv(tmp_path / "a.csv") == []


FORMULAS = [
    "=1+1",
    "+cmd",
    "-lesion",
    "@home",
    "\tx",
    "\rx",
    " =1",
    "\n=1",
    "'=1",
    "\uff1d1",
]


@pytest.mark.parametrize("text", FORMULAS)
def test_text_that_a_spreadsheet_takes_for_a_formula_is_quoted_and_read_back(
    tmp_path, text
):
    path = tmp_path / "a.csv"
    io.write_csv(path, [{"image": text, text: pathlib.PurePath("-a.png")}])
    with open(path, newline="", encoding="utf-8") as file:
        header, cells = csv.reader(file)
    assert header == ["image", f"'{text}"]
    assert cells == [f"'{text}", "'-a.png"]
    assert io.read_csv(path) == [{"image": text, text: "-a.png"}]


def test_numbers_and_harmless_text_are_not_quoted(tmp_path):
    values = [-1, -0.5, np.float32(-2), float("-inf"), True, None, "-", "a-b", "'a'"]
    io.write_csv(tmp_path / "a.csv", [dict(enumerate(values))])
    line = (tmp_path / "a.csv").read_text().splitlines()[1]
    assert line == "-1,-0.5,-2.0,-inf,True,,-,a-b,'a'"


def test_hidden_characters_are_written_as_escapes():
    assert io.printable("a\u202eb\u200b\x1b[1m\n") == r"a\u202eb\u200b\x1b[1m\n"
    assert io.printable("é שלום a\u3000b\n", keep="\n") == "é שלום a\u3000b\n"
