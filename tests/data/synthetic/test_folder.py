import json

import numpy as np
import pytest
from PIL import Image

from kerasloc.data.synthetic.folder import make_folder, save_png


def fill(folder):
    save_png(folder / "mask.png", np.eye(3, dtype=bool))
    return {"boxes": {}}


def test_a_folder_is_complete_with_settings_and_content(tmp_path):
    (tmp_path / "x").mkdir()  # an empty folder is filled
    folder = make_folder(tmp_path / "x", {"seed": 0}, fill)
    content = json.loads((folder / "annotations.json").read_text())
    assert content == {"settings": {"seed": 0}, "boxes": {}}
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    np.testing.assert_array_equal(Image.open(folder / "mask.png"), 255 * np.eye(3))


def test_the_same_settings_are_not_written_twice(tmp_path):
    folder = make_folder(tmp_path / "x", {"seed": 0}, fill)
    assert make_folder(folder, {"seed": 0}, lambda _: pytest.fail("again")) == folder


def test_other_settings_or_files_are_not_overwritten(tmp_path):
    make_folder(tmp_path / "x", {"seed": 0}, fill)
    with pytest.raises(ValueError, match=r"'seed': 1.*'seed': 0.*another"):
        make_folder(tmp_path / "x", {"seed": 1}, fill)
    with pytest.raises(ValueError, match="other files"):
        make_folder(tmp_path, {"seed": 0}, fill)


def test_nothing_is_left_when_writing_fails(tmp_path):
    def fail(folder):
        fill(folder)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_folder(tmp_path / "x", {}, fail)
    assert not list(tmp_path.iterdir())
