"""scripts/compare_explanations.py: models, images, files."""

import dataclasses
import json
import shutil
import types

import numpy as np
import pytest

from kerasloc import HalfModel
from kerasloc.data import read_folders
from kerasloc.data.synthetic import SyntheticConfig, write
from kerasloc.io import read_csv
from kerasloc.models import families

FAST = ("--grid", "2", "--limit", "2")


@pytest.fixture(scope="module")
def runs(trained, tmp_path_factory):
    """Folder of results with copies of the half and the full run, to be added to."""
    return shutil.copytree(trained, tmp_path_factory.mktemp("copied") / "results")


@pytest.fixture
def unseen(shapes):
    return read_folders(shapes).split("test")


@pytest.fixture
def stand_in(unseen):
    """In the place of every model: one that knows the brightness of the image."""

    class Model:
        config = types.SimpleNamespace(
            family="half", im_size=(32, 32), channels=3, class_names=unseen.class_names
        )

        def predict_proba(self, images, squeeze=True):
            return images.mean(axis=(1, 2))

        def heatmaps(self, images, classes, squeeze=True):
            return np.repeat(images[..., :1], len(classes), axis=-1)

        def low_res_cam(self, images, classes, squeeze=True):
            return images[:, ::8, ::8, 0]

    record = families.get("half")
    localizer = dataclasses.replace(record, localizer=lambda path: Model())
    with families.registered(localizer):
        yield


def read(place):
    return read_csv(place / "comparison.csv")


def known(place):
    return json.loads((place / "comparison.json").read_text())


def test_models_are_compared_on_the_same_images(main, runs, unseen, tmp_path, caplog):
    half, full = runs / "half" / "shapes", runs / "full" / "shapes"
    words = ["--weights", str(half), str(full), *FAST, "--steps", "3", "--of", "true"]
    with caplog.at_level("INFO"):
        main(words)
    rows = read(half / "comparison")
    assert [row["method"] for row in rows] == [
        f"{model}: {method}"
        for model in ("half", "full")
        for method in ("high", "low", "random", "center")
    ]
    assert {(row["images"], row["targets"]) for row in rows} == {("2", "2")}
    assert "AOPC" in caplog.text
    assert f"The table and the curves are in {half / 'comparison'}" in caplog.text
    found = known(half / "comparison")
    assert set(found["paths"]) < set(unseen.paths.tolist())
    assert found["settings"]["aopc"]["steps"] == 3
    curves = found["curves"]
    assert len(curves["half: high"]["mean"]) == 4
    # both see the image as it is: at first the answer does not depend on the method
    first = [curves[row["method"]]["mean"][0] for row in rows]
    assert first[:4] == pytest.approx([first[0]] * 4)
    assert first[4:] == pytest.approx([first[4]] * 4)


def test_the_newest_run_of_the_type_is_taken(main, runs, stand_in):
    words = ["--type", "half", "--results-dir", str(runs), *FAST]
    main([*words, "--methods", "high", "random"])
    rows = read(runs / "half" / "shapes" / "comparison")
    assert [row["method"] for row in rows] == ["high", "random"]


def test_images_are_drawn_by_the_seed(main, runs, stand_in, unseen, tmp_path):
    words = ("--weights", str(runs / "half" / "shapes"), "--grid", "2", "--methods")
    drawn = []
    for seed, limit in ((0, 3), (0, 3), (1, 3), (0, 100)):
        more = ("high", "--seed", str(seed), "--limit", str(limit), "--output", "out")
        main([*words, *more])
        drawn.append(known(tmp_path / "out")["paths"])
    assert drawn[0] == drawn[1] != drawn[2]
    assert drawn[3] == unseen.paths.tolist()


def test_validation_images_and_other_data_may_be_used(
    main, runs, stand_in, shapes, tmp_path
):
    run = runs / "half" / "shapes"
    main(["--weights", str(run), "--split", "val", *FAST])
    assert all("/train/" in path for path in known(run / "comparison-val")["paths"])
    other = shutil.copytree(shapes, tmp_path / "other")
    (other / "annotations.json").unlink()
    main(["--weights", str(run), "--data-dir", "other", "--output", "out", *FAST])
    assert known(tmp_path / "out")["paths"][0].startswith(str(other))
    assert "pompom" not in read(tmp_path / "out")[0]


def test_models_of_the_same_name_are_named_by_their_paths(main, runs, stand_in):
    run = runs / "half" / "shapes"
    again = shutil.copytree(run, runs / "again" / "shapes")
    main(["--weights", str(run), str(again), *FAST, "--methods", "high"])
    methods = [row["method"] for row in read(run / "comparison")]
    assert methods == [f"{run}: high", f"{again}: high"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--limit", "0"), "limit=0"),
        (("--grid", "64"), "a grid of 64 x 64 over images of 32 x 32"),
        (("--grid", "2", "--steps", "5"), "steps=5"),
        (("--perturbation", "blur"), "perturbation='blur'"),
        (("--methods", "lime"), "methods=['lime']"),
        (("--methods", "gradcam"), "gradcam for Model"),
        (("--of", "best"), "of='best'"),
        (("--data-dir", "nowhere"), "nowhere"),
    ],
)
def test_wrong_options_are_named_and_make_no_folder(
    failure, runs, stand_in, tmp_path, words, message
):
    run = runs / "half" / "shapes"
    assert message in failure("--weights", run, "--output", "out", *words)
    assert not (tmp_path / "out").exists()


def test_models_that_saw_other_images_are_refused(failure, runs, stand_in, tmp_path):
    other = shutil.copytree(runs / "half" / "shapes", tmp_path / "other")
    config = json.loads((other / "config.json").read_text())
    data = write(tmp_path / "b", SyntheticConfig(classes=3, size=32, train=3, test=3))
    config["data"]["data_dir"] = str(data)
    (other / "config.json").write_text(json.dumps(config))
    said = failure("--weights", runs / "half" / "shapes", other, *FAST)
    assert "other images for model 2" in said


def test_without_a_run_the_command_is_named(failure):
    said = failure()
    assert "no run in results/explainer" in said
    assert "Run python scripts/train_explainer.py" in said


def test_a_model_saved_without_data_needs_data(failure, runs, tmp_path):
    HalfModel(runs / "half" / "shapes").save(tmp_path / "saved")
    assert "Give --data-dir" in failure("--weights", "saved")
