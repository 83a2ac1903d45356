"""scripts/generate_heatmaps.py: rows, models, files."""

import dataclasses
import json
import re
import shutil

import keras
import numpy as np
import pytest
from PIL import Image

from kerasloc import HAM, ExplainerClassifier, HalfModel, Pylon
from kerasloc.data import load_image, read_folders
from kerasloc.evaluation import gallery
from kerasloc.io import read_csv
from kerasloc.metrics import point_hits, resize_maps
from kerasloc.models import families

COLUMNS = ["image", "class", "label", "probability", "hit", "page", "row", "x", "y"]


@pytest.fixture(scope="module")
def half(trained, tmp_path_factory):
    """Folder of results with a copy of the half run, to be added to."""
    results = tmp_path_factory.mktemp("copied") / "results"
    shutil.copytree(trained / "half", results / "half")
    return results / "half" / "shapes"


@pytest.fixture
def unseen(shapes):
    return read_folders(shapes).split("test")


@pytest.fixture
def plain(monkeypatch):
    """Pages without pictures: what was to be drawn, page by page."""
    drawn = []

    class Figure:
        def savefig(self, path, **options):
            path.write_text(path.name)

    def page(rows, title):
        drawn.append((title, list(rows)))
        return Figure()

    monkeypatch.setattr(gallery, "heatmap_page", page)
    return drawn


def read(place):
    return read_csv(place / "heatmaps.csv")


# What it writes


def test_pages_table_and_pdf_of_a_run_land_in_its_folder(main, half, caplog):
    with caplog.at_level("INFO"):
        main(["--weights", str(half), "--limit", "3", "--rows-per-page", "2", "--pdf"])
    place = half / "heatmaps"
    names = sorted(path.name for path in place.iterdir())
    assert names == ["heatmaps.csv", "heatmaps.pdf", "page-001.png", "page-002.png"]
    with Image.open(place / "page-001.png") as picture:
        assert picture.width > 500
    pdf = (place / "heatmaps.pdf").read_bytes()
    assert pdf.startswith(b"%PDF")
    assert pdf.count(b"/Type /Page ") == 2
    rows = read(place)
    assert list(rows[0]) == COLUMNS
    assert [row["page"] + row["row"] for row in rows] == ["11", "12", "21"]
    assert f"3 rows on 2 pages are in {place}" in caplog.text
    assert "of 3 rows with boxes are hits" in caplog.text


def test_the_table_has_the_probabilities_of_the_model(
    main, half, plain, unseen, tmp_path
):
    main(["--weights", str(half), "--output", "out"])
    model, rows = HalfModel(half), read(tmp_path / "out")
    assert [row["image"] for row in rows] == unseen.paths.tolist()
    for row, index in zip(rows, unseen.class_index, strict=True):
        assert (row["class"], row["label"]) == (unseen.class_names[index], "1")
        image = load_image(row["image"], (32, 32), 3)
        chance = model.predict_proba(image)[index]
        assert float(row["probability"]) == pytest.approx(chance, abs=1e-4)
        resized = resize_maps(model.maps(image, int(index)), (32, 32))
        peak = resized[int(row["y"]), int(row["x"])]
        assert peak == pytest.approx(resized.max(), rel=1e-3)


def test_hits_are_those_of_the_boxes(main, half, plain, tmp_path):
    main(["--weights", str(half), "--output", "out"])
    assert plain[0][0] == "half/shapes, test images, page 1"
    shown = [row for _, rows in plain for row in rows]
    for row, line in zip(shown, read(tmp_path / "out"), strict=True):
        mask = np.zeros((1, 32, 32), bool)
        for x, y, w, h in row.boxes:
            inside = np.s_[int(np.ceil(y)) : int(y + h) + 1]
            mask[0, inside, int(np.ceil(x)) : int(x + w) + 1] = True
        point = np.zeros((1, 32, 32))
        point[0, int(line["y"]), int(line["x"])] = 1
        assert row.hit == bool(point_hits(point, mask)[0])
        assert line["hit"] == str(int(row.hit))


def test_pages_of_an_earlier_call_are_removed(main, half, plain, tmp_path):
    words = ["--weights", str(half), "--output", "out", "--rows-per-page"]
    main([*words, "4"])
    (tmp_path / "out" / "page-of-mine.png").touch()
    assert [len(rows) for _, rows in plain] == [4, 4, 4]
    main([*words[:-1]])
    assert [len(rows) for _, rows in plain[3:]] == [10, 2]
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    pages = ["page-001.png", "page-002.png", "page-of-mine.png"]
    assert names == ["heatmaps.csv", *pages]


# Which rows


def test_images_and_classes_are_picked(main, half, plain, unseen, tmp_path):
    paths, names = unseen.paths[[7, 2]], ["star_5_2", "circle"]
    words = ["--weights", str(half), "--output", "out", "--images", paths[0], "2"]
    main([*words, "--classes", *names])
    rows = [(row["image"], row["class"]) for row in read(tmp_path / "out")]
    assert rows == [(path, name) for path in paths for name in names]


def test_validation_images_may_be_used(main, half, plain, tmp_path):
    main(["--weights", str(half), "--split", "val", "--output", "out"])
    rows = read(tmp_path / "out")
    assert len(rows) == 6
    assert all("/train/" in row["image"] for row in rows)


def test_other_data_without_boxes_has_neither_hit_nor_miss(
    main, half, plain, shapes, tmp_path
):
    other = shutil.copytree(shapes, tmp_path / "other")
    (other / "annotations.json").unlink()
    main(["--weights", str(half), "--data-dir", "other", "--output", "out"])
    rows = read(tmp_path / "out")
    assert all(row["image"].startswith(str(other)) for row in rows)
    assert {row["hit"] for row in rows} == {"-"}


# Which model


@pytest.mark.parametrize("option", ["--type", "--weights"])
def test_the_newest_run_or_a_weight_file_is_taken(main, half, plain, option):
    value = "half" if option == "--type" else str(half / "best.weights.h5")
    results = str(half.parents[1])
    words = [option, value, "--results-dir", results, "--limit", "1"]
    main([*words, "--output", "out"])
    assert plain[0][0].startswith("half/shapes, ")


def test_a_full_model_shows_its_fine_map(main, trained, tmp_path):
    run = trained / "full" / "shapes"
    main(["--weights", str(run), "--limit", "1", "--output", "out"])
    assert (tmp_path / "out" / "page-001.png").is_file()


@pytest.mark.slow
def test_pylon_shows_its_maps(main, shapes, unseen, tmp_path):
    names = unseen.class_names
    options = {"backbone": "resnet18", "decoder_channels": 8, "n_up": 1}
    model = Pylon(class_names=names, im_size=64, channels=1, **options)
    model.save(tmp_path / "run")
    words = ("--weights", "run", "--data-dir", str(shapes), "--images", "0", "5")
    main([*words, "--classes", *names])
    rows = read(tmp_path / "run" / "heatmaps")
    assert [row["class"] for row in rows] == [*names, *names]
    image = load_image(unseen.paths[5], (64, 64), 1)
    for row, chance in zip(rows[3:], model.predict_proba(image), strict=True):
        assert float(row["probability"]) == pytest.approx(chance, abs=1e-4)
        assert row["hit"] in ("0", "1") if row["label"] == "1" else row["hit"] == "-"


# The page for a browser


def page_of(folder):
    """What the page in a folder knows, and its images' classes as dicts."""
    text = (folder / "index.html").read_text()
    data = json.loads(re.search(r'id="data">(.*?)</script', text)[1])
    for image in data["images"]:
        rows = image["classes"]
        image["rows"] = [dict(zip(data["columns"], row, strict=True)) for row in rows]
    return data


def test_html_is_a_page_for_a_browser_and_nothing_else(main, half, unseen, caplog):
    shutil.rmtree(half / "heatmaps", ignore_errors=True)
    with caplog.at_level("INFO"):
        main(["--weights", str(half), "--html", "--limit", "5", "--batch-size", "2"])
    place = half / "heatmaps" / "html"
    assert [path.name for path in (half / "heatmaps").iterdir()] == ["html"]
    assert f"5 images are in {place / 'index.html'}" in caplog.text
    data = page_of(place)
    assert data["title"] == "half/shapes, test images"
    assert [one["name"] for one in data["classes"]] == list(unseen.class_names)
    # one class an image: the likeliest, not those above a threshold
    assert {one["threshold"] for one in data["classes"]} == {None}
    model = HalfModel(half)
    for image, path in zip(data["images"], unseen.paths, strict=False):
        assert path.endswith("/" + image["name"])
        chances = model.predict_proba(load_image(path, (32, 32), 3))
        for row in image["rows"]:
            assert row["probability"] == pytest.approx(chances[row["class"]], abs=2e-4)
            assert row["predicted"] == (row["class"] == chances.argmax())
            assert (row["hit"] is None) == (row["label"] == 0)
        assert len(image["rows"]) == 3
        assert image["mask"]
    assert len(list((place / "images").glob("*.jpg"))) == 5


def test_an_earlier_page_is_replaced_and_stands_beside_the_drawn_ones(
    main, half, plain, tmp_path
):
    words = ["--weights", str(half), "--output", "out", "--limit"]
    main([*words, "2", "--html"])
    main([*words, "1", "--html", "--images", "7", "--classes", "circle"])
    main([*words, "1"])
    place = tmp_path / "out" / "html"
    assert len(page_of(place)["images"]) == 1
    names = sorted(path.name for path in (place / "images").iterdir())
    assert names == ["00001-0.png", "00001-mask.png", "00001.jpg"]
    assert len(read(tmp_path / "out")) == 1


def test_html_of_a_model_of_several_classes(
    main, small_ham, multi_label_data, tmp_path
):
    names = ("circle", "star_3_1", "star_5_2")
    wrapper = HAM(class_names=names, im_size=32, thresholds=(0.4, 0.5, 0.6))
    wrapper.save(tmp_path / "run")
    csv_file = next(multi_label_data.glob("*.csv"))
    main(["--weights", "run", "--data-dir", str(csv_file), "--html", "--limit", "2"])
    data = page_of(tmp_path / "run" / "heatmaps" / "html")
    assert [one["threshold"] for one in data["classes"]] == [0.4, 0.5, 0.6]
    for image in data["images"]:
        assert image["size"] == [32, 32]
        assert len(image["rows"]) == 3
        for row in image["rows"]:
            threshold = data["classes"][row["class"]]["threshold"]
            assert row["predicted"] == (row["probability"] > threshold)
        assert 0 < image["abnormality"]["probability"] < 1


# The explainer-classifier: one map for all classes of an image


@pytest.fixture(scope="module")
def explainer(tmp_path_factory):
    """An untrained explainer-classifier, and the folder that it was saved in."""
    keras.utils.set_random_seed(0)
    wrapper = ExplainerClassifier(
        class_names=("circle", "star_3_1", "star_5_2"), im_size=16, classifier="vgg"
    )
    return wrapper, wrapper.save(tmp_path_factory.mktemp("explainer") / "run")


@pytest.fixture
def loaded(explainer):
    """The script loads that very wrapper, which has been compiled."""
    record = families.get("explainer")
    localizer = dataclasses.replace(record, localizer=lambda path: explainer[0])
    with families.registered(localizer):
        yield


def test_an_explanation_is_drawn_once_and_as_it_is(
    main, explainer, loaded, plain, shapes, unseen
):
    wrapper, folder = explainer
    main(["--weights", str(folder), "--data-dir", str(shapes), "--limit", "6"])
    ((title, rows),) = plain
    assert title == "Explanations of explainer/run, test images, page 1"
    lines = read(folder / "heatmaps")
    names = [unseen.class_names[index] for index in unseen.class_index[:6]]
    assert [line["image"] for line in lines] == unseen.paths[:6].tolist()
    assert [line["class"] for line in lines] == names
    images = np.stack([load_image(path, (16, 16), 3) for path in unseen.paths[:6]])
    expected, chances = wrapper.explanations(images), wrapper.predict_proba(images)
    for row, heat, own in zip(rows, expected, chances, strict=True):
        np.testing.assert_allclose(row.heat, heat, atol=1e-5)  # not stretched to 0, 1
        likeliest = unseen.class_names[own.argmax()]
        said = f"predicted: {likeliest}; " if likeliest != row.title else ""
        assert row.note.startswith(said + "0")
    assert any(row.note.startswith("predicted: ") for row in rows)


def test_html_shows_an_explanation_with_the_probabilities(
    main, explainer, loaded, shapes
):
    _, folder = explainer
    main(["--weights", str(folder), "--data-dir", str(shapes), "--html", "--limit=2"])
    data = page_of(folder / "heatmaps" / "html")
    assert data["title"] == "Explanations of explainer/run, test images"
    assert "one for all classes" in data["scaling"]
    for image in data["images"]:
        assert len(image["rows"]) == 3
        total = sum(row["probability"] for row in image["rows"])
        assert total == pytest.approx(1, 1e-3)
        same = {
            tuple(row[k] for k in ("x", "y", "low", "high")) for row in image["rows"]
        }
        assert len(same) == 1  # the same map
        assert image["mask"]
        assert len(image["boxes"]) == 1


# How it fails


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--weights RUN"),
        (["--type", "half", "--html", "--pdf"], "leave --html or --pdf out"),
    ],
)
def test_a_model_is_required_and_pdf_has_no_place_beside_html(
    main, capsys, words, message
):
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2
    assert message in capsys.readouterr().err


def test_a_wrong_run_or_family_is_named(failure, half):
    assert "no run in results/pylon" in failure("--type", "pylon")
    said = failure("--weights", half, "--type", "full")
    assert "of the family half. Leave --type out" in said
    said = failure("--weights", half / "best.weights.h5", "--type", "none")
    assert "'none'" in said
    assert "half, full" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--images", "nowhere.png"), "nowhere.png: no image has this name or index"),
        (("--classes", "square"), "Received: 'square'"),
        (("--limit", "0"), "limit=0"),
        (("--rows-per-page", "0"), "rows_per_page=0"),
    ],
)
def test_wrong_options_are_named_and_make_no_folder(
    failure, half, tmp_path, words, message
):
    assert message in failure("--weights", half, "--output", "out", *words)
    assert message in failure("--weights", half, "--output", "out", "--html", *words)
    assert not (tmp_path / "out").exists()


def test_a_model_saved_without_data_needs_data(failure, half, tmp_path):
    HalfModel(half).save(tmp_path / "saved")
    config = json.loads((tmp_path / "saved" / "config.json").read_text())
    assert "data" not in config
    assert "Give --data-dir" in failure("--weights", "saved")
