"""scripts/compare_cams.py: models, images, files."""

import json
import shutil

import pytest

from kerasloc.data import read_folders
from kerasloc.io import read_csv

FEW = ("--limit", "3", "--aopc-images", "2")


@pytest.fixture(scope="module")
def main(script):
    return script("compare_cams").main


@pytest.fixture(scope="module")
def runs(trained, tmp_path_factory):
    """Folder of results with copies of the half and the full run, to be added to."""
    return shutil.copytree(trained, tmp_path_factory.mktemp("copied") / "results")


def read(place):
    return read_csv(place / "cams.csv")


def test_one_model_has_every_method_asked_for(main, runs, caplog):
    half = runs / "half" / "shapes"
    words = ["--weights", str(half), "--methods", "own", "cam", "gradcam", "center"]
    with caplog.at_level("INFO"):
        main([*words, *FEW, "--tune"])
    rows = {row["method"]: row for row in read(half / "cams")}
    assert list(rows) == ["own", "cam", "gradcam", "center"]
    assert {row["pairs"] for row in rows.values()} == {"3"}
    # behind a mean both weigh the features alike
    for name in ("point", "max_box_acc_v2", "pxap", "aopc"):
        grad, cam = (float(rows[method][name]) for method in ("gradcam", "cam"))
        assert grad == pytest.approx(cam, abs=1e-6)
    known = json.loads((half / "cams" / "cams.json").read_text())
    assert known["tuned"] is True
    assert known["settings"]["aopc_images"] == 2
    assert known["limit"] == 3
    assert known["models"]["half"]["run"] == str(half)
    assert len(known["models"]["half"]["images"]) == 3
    assert "3 of 12 test images" in caplog.text
    for name in ("cams.png", "maps.png"):
        assert (half / "cams" / name).exists()
    assert f"Everything is in {half / 'cams'}" in caplog.text


def test_several_models_stand_in_one_table(main, runs, tmp_path):
    half, full = runs / "half" / "shapes", runs / "full" / "shapes"
    main(["--weights", str(half), str(full), *FEW, "--output", str(tmp_path)])
    assert [row["method"] for row in read(tmp_path)] == [
        f"{model}: {method}"
        for model in ("half", "full")
        for method in ("own", "center")
    ]


def test_the_newest_run_of_a_type_is_taken(main, runs):
    words = ["--type", "half", "--results-dir", str(runs), "--split", "val"]
    main([*words, "--methods", "center", *FEW])
    assert (runs / "half" / "shapes" / "cams-val" / "cams.csv").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--methods", "magic"), "methods.*magic"),
        (("--limit", "0"), "limit=0"),
        (("--tune", "--split", "val"), "--tune with --split val"),
        (("--layer", "nowhere", "--methods", "gradcam"), "Received: 'nowhere'"),
        (("--type", "pylon"), "pylon.*half"),
    ],
)
def test_wrong_options_are_refused(main, runs, words, message):
    with pytest.raises(ValueError, match=message):
        main(["--weights", str(runs / "half" / "shapes"), *FEW, *words])


def test_images_without_boxes_are_refused(main, runs, shapes, tmp_path):
    """Folders alone, without their annotations."""
    bare = shutil.copytree(shapes, tmp_path / "bare")
    for file in bare.glob("*.*"):
        if file.is_file():
            file.unlink()
    if len(read_folders(bare).boxes):
        pytest.fail("the copy has boxes still")
    words = ["--weights", str(runs / "half" / "shapes"), "--data-dir", str(bare)]
    with pytest.raises(ValueError, match=r"boxes.*images without"):
        main([*words, *FEW])
