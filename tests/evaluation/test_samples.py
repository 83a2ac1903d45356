"""Images that models are evaluated on, and the names of compared models."""

import dataclasses
import pathlib

import numpy as np
import pytest

from kerasloc.data import Table, read_folders
from kerasloc.evaluation import EvaluationConfig, SampleConfig, table_of_run
from kerasloc.evaluation.compare import model_names
from kerasloc.evaluation.configs import (
    CAMS,
    CamComparison,
    DrawnSamples,
    ExplanationComparison,
    GalleryConfig,
)
from kerasloc.evaluation.samples import (
    draw_samples,
    first_of_each_class,
    pick_samples,
    positive_classes,
    true_classes,
)
from kerasloc.runs import read_network

NAMES = ("cat", "dog", "fox")


@pytest.fixture
def table():
    """Five images: boxes, labels only, nothing known, none, boxes."""
    return Table(
        paths=[f"/data/{folder}/{i}.png" for i, folder in enumerate("abcdd")],
        class_names=NAMES,
        labels=[[1, 1, 1], [1, 0, 1], [np.nan] * 3, [0, 0, 0], [0, 1, np.nan]],
        boxes=[(0, 5, 5, 2, 2, 2), (0, 0, 0, 3, 3, 0), (4, 2, 2, 2, 2, 1)],
    )


def test_positive_classes_are_of_boxes_first_and_else_of_labels(table):
    assert positive_classes(table) == [[0, 2], [0, 2], [], [], [1]]
    assert true_classes(table) == [[0], [0], [], [], [1]]
    unlabeled = dataclasses.replace(table, labels=np.full((5, 3), np.nan))
    assert true_classes(unlabeled) == [[0], [], [], [], [1]]


@pytest.mark.parametrize(
    "name", ["d/4.png", "4.png", "4", "d/4", "./d/4.png", "d\\4.png"]
)
def test_an_image_is_picked_by_its_name_or_the_end_of_its_path(table, name):
    assert pick_samples(table, [name]).paths.tolist() == [table.paths[4]]


def test_a_full_path_and_an_index_pick_an_image(table):
    renamed = Table(
        paths=["x/10.png", "x/1.png", "x/z.png"],
        class_names=NAMES,
        labels=np.zeros((3, 3)),
    )
    rows = pick_samples(renamed, ["x/z.png", 0, "1"])
    # a name comes before an index: 1 is x/1.png, which has the index 1 as well
    assert rows.paths.tolist() == ["x/z.png", "x/10.png", "x/1.png"]
    assert pick_samples(table, [table.paths[3]]).paths.tolist() == [table.paths[3]]


def test_all_images_are_taken_those_with_boxes_first(table):
    rows = pick_samples(table).paths.tolist()
    assert rows == [table.paths[i] for i in (0, 4, 1, 2, 3)]


def test_a_name_of_several_images_is_refused():
    table = Table(
        paths=["a/1.png", "b/1.png"], class_names=NAMES, labels=np.zeros((2, 3))
    )
    with pytest.raises(ValueError, match="2 images have this name: a/1"):
        pick_samples(table, ["1.png"])
    assert pick_samples(table, ["b/1.png"]).paths.tolist() == ["b/1.png"]


@pytest.mark.parametrize(
    ("name", "message"),
    [("7.png", "7.png: no image"), ("5", r"from 0 to 4.*\n  5: no image")],
)
def test_an_image_that_is_not_there_is_named(table, name, message):
    with pytest.raises(ValueError, match=message):
        pick_samples(table, ["1.png", name])


@pytest.mark.parametrize(
    ("config", "options"),
    [
        (GalleryConfig, {"limit": 0}),
        (GalleryConfig, {"batch_size": 0}),
        (GalleryConfig, {"rows_per_page": 0}),
        (DrawnSamples, {"limit": 0}),
        (EvaluationConfig, {"batch_size": 0}),
        (EvaluationConfig, {"aopc_images": -1}),
        (SampleConfig, {"split": "train"}),
        (CamComparison, {"methods": ("grad-cam",)}),
        (CamComparison, {"batch_size": 0}),
        (CamComparison, {"aopc_images": -1}),
        (ExplanationComparison, {"methods": ("low", "lime")}),
        (ExplanationComparison, {"of": "best"}),
        (ExplanationComparison, {"batch_size": 0}),
    ],
)
def test_options_out_of_their_range_are_named(config, options):
    ((name, value),) = options.items()
    received = value[-1] if name == "methods" else value
    with pytest.raises(ValueError, match=rf"{name}.*{received}"):
        config(**options)


def test_methods_of_a_comparison_are_those_of_cams():
    from kerasloc.cams import METHODS

    assert ("own", *METHODS, "center") == CAMS


def test_classes_take_turns_and_the_first_of_several_labels_counts():
    labels = np.eye(3)[[0, 0, 0, 2, 1, 2]]
    assert first_of_each_class(labels).tolist() == [0, 3, 4, 1, 5, 2]
    labels = np.array([[1, 1], [0, 1], [0, 0]])
    assert first_of_each_class(labels).tolist() == [0, 1, 2]


def test_drawn_images_are_decided_by_the_seed_and_stay_in_order(table):
    drawn = [draw_samples(table, 3, seed).paths.tolist() for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] == sorted(drawn[0])
    assert drawn[0] != drawn[2]
    assert draw_samples(table, 99, 0).paths.tolist() == table.paths.tolist()


def test_images_are_those_of_the_run_or_of_other_data(trained, shapes, tmp_path):
    run = trained / "half" / "shapes"
    network = read_network(run)
    expected = read_folders(shapes).split("test").paths.tolist()
    assert table_of_run(run, network, SampleConfig()).paths.tolist() == expected
    other = SampleConfig(data_dir=str(shapes))
    assert len(table_of_run(tmp_path, network, other)) == len(expected)
    with pytest.raises(ValueError, match="--data-dir"):
        table_of_run(tmp_path, network, SampleConfig())


@pytest.mark.parametrize(
    ("runs", "names"),
    [
        (("a/pylon/x", "a/half/x"), ["pylon", "half"]),
        (("a/pylon/x", "a/pylon/y"), ["pylon/x", "pylon/y"]),
        (("a/pylon/x", "b/pylon/x"), ["a/pylon/x", "b/pylon/x"]),
    ],
)
def test_models_have_names_as_short_as_they_differ(runs, names):
    paths = [pathlib.Path(run) for run in runs]
    assert model_names(paths, [path.parts[-2] for path in paths]) == names


def test_a_repeated_model_is_refused():
    path = pathlib.Path("a/pylon/x")
    with pytest.raises(ValueError, match=r"once.*a/pylon/x"):
        model_names([path, path], ["pylon"] * 2)
