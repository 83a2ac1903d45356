"""The page of results as it is written."""

import dataclasses
import html.parser
import json
import re

import numpy as np
import pytest
from PIL import Image

from kerasloc import plotting
from kerasloc.plotting import ReportClass, ReportConfig, ReportImage, write_report

CONFIG = ReportConfig("t", ("x", "cat", "dog"))


class Reader(html.parser.HTMLParser):
    """Start tags with attributes, and the text in each kind of element."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.open = [], {}, []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.open.append(tag)

    def handle_endtag(self, tag):
        while self.open and self.open.pop() != tag:
            pass  # elements such as meta have no end

    def handle_data(self, data):
        key = self.open[-1] if self.open else ""
        self.text.setdefault(key, []).append(data)


def refuse(name):
    raise ValueError(f"not json: {name}")


def data_of(folder):
    """What the page knows, read as strict json."""
    text = (folder / "index.html").read_text()
    block = re.search(r'<script type="application/json" id="data">(.*?)</script', text)
    return json.loads(block[1], parse_constant=refuse)


def picture(folder, name):
    """Red, green, blue, alpha of a picture of the page."""
    with Image.open(folder / "images" / name) as image:
        return np.asarray(image.convert("RGBA"))


def rows_of(image, columns):
    return [dict(zip(columns, row, strict=True)) for row in image["classes"]]


# The page


def test_the_page_is_one_file_with_pictures_beside_it(report, report_images):
    assert sorted(path.name for path in report.iterdir()) == ["images", "index.html"]
    names = {path.name for path in (report / "images").iterdir()}
    expected = {f"{number:05d}.jpg" for number in range(1, 6)}
    expected |= {
        f"{number:05d}-{one.index}.png"
        for number, image in enumerate(report_images, start=1)
        for one in image.classes
    }
    assert names == expected | {"00004-abnormality.png"}


def test_nothing_is_fetched_from_elsewhere(report):
    text = (report / "index.html").read_text()
    # the one address is the name of a format, which nobody opens
    assert set(re.findall(r"\w+://[^\"'\s]*", text)) == {"http://www.w3.org/2000/svg"}
    assert "@import" not in text
    assert "url(" not in text
    assert "fetch(" not in text
    for tag, attributes in Reader(text).tags:
        assert tag not in ("iframe", "object", "embed", "base")
        assert "src" not in attributes
        assert attributes.get("href", "data:,") == "data:,"


def test_names_are_no_markup(report):
    text = (report / "index.html").read_text()
    page = Reader(text)
    tags = {tag for tag, _ in page.tags}
    assert not {"b", "i"} & tags
    assert page.text["title"] == ["A & <b>page</b> {{data}}"]
    assert page.text["h1"] == ["A & <b>page</b> {{data}}"]
    assert text.count("</script>") == 2


def test_a_name_cannot_end_the_data(tmp_path, report_images):
    name = "</script><script>alert(1)</script><!--"
    image = dataclasses.replace(report_images[0], name=name)
    write_report(tmp_path, [image], ReportConfig(name, (name, "\u2028", "é")))
    text = (tmp_path / "index.html").read_text()
    assert [tag for tag, _ in Reader(text).tags].count("script") == 2
    data = data_of(tmp_path)
    assert data["images"][0]["name"] == data["title"] == name
    assert [one["name"] for one in data["classes"]] == [name, "\u2028", "é"]


def test_markers_are_filled_once(report):
    text = (report / "index.html").read_text()
    assert data_of(report)["title"] == "A & <b>page</b> {{data}}"
    assert text.count('"columns":') == 1
    assert not re.search(r"{{(title|style|script)}}", text)


def test_the_page_is_readable_without_color_or_mouse(report):
    page = Reader((report / "index.html").read_text())
    attributes = [found for _, found in page.tags]
    assert ("html", {"lang": "en"}) in page.tags
    assert any(found.get("aria-live") == "polite" for found in attributes)
    assert any("width=device-width" in found.get("content", "") for found in attributes)
    assert "prefers-color-scheme: dark" in "".join(page.text["style"])
    assert "noscript" in {tag for tag, _ in page.tags}


# What it knows


def test_data_are_those_of_the_images(report, report_images):
    data = data_of(report)
    assert [image["id"] for image in data["images"]] == [1, 2, 3, 4, 5]
    for image, known in zip(data["images"], report_images, strict=True):
        assert image["name"] == known.name
        assert image["size"] == [16, 24]
        rows = rows_of(image, data["columns"])
        assert [row["class"] for row in rows] == [one.index for one in known.classes]
        for row, one in zip(rows, known.classes, strict=True):
            assert row["probability"] == pytest.approx(one.probability, abs=1e-4)
            assert row["hit"] == (None if one.hit is None else int(one.hit))
            assert row["predicted"] == int(one.predicted)
            assert [row["x"], row["y"]] == list(one.point)
            assert (row["low"], row["high"]) == (0.1, 0.9)
    assert data["images"][1]["boxes"] == [
        [9, 9, 6, 4, 0],
        [1, 1, 6, 4, 1],
        [2.25, 3, 1, 1, 1],
    ]


def test_unknown_labels_are_null(report):
    data = data_of(report)
    labels = [
        [row["label"] for row in rows_of(image, data["columns"])]
        for image in data["images"]
    ]
    assert labels == [[1, 0, 0], [1, 1, 0], [1, 0, 0], [0, 0, 0], [None, None]]


def test_classes_have_their_color_and_threshold(report):
    classes = data_of(report)["classes"]
    colors = [
        [int(one["color"][i : i + 2], 16) / 255 for i in (1, 3, 5)] for one in classes
    ]
    np.testing.assert_allclose(colors, plotting.class_colors(3), atol=1 / 255)
    assert [one["threshold"] for one in classes] == [0.5, 0.55, 0.6]


@pytest.mark.parametrize(
    ("thresholds", "expected"), [(None, [None] * 3), ((0.4,), [0.4] * 3)]
)
def test_there_may_be_one_threshold_or_none(
    tmp_path, report_images, thresholds, expected
):
    config = dataclasses.replace(CONFIG, thresholds=thresholds)
    write_report(tmp_path, report_images[:1], config)
    assert [one["threshold"] for one in data_of(tmp_path)["classes"]] == expected


def test_only_images_with_an_abnormality_map_have_one(report):
    found = [image["abnormality"] for image in data_of(report)["images"]]
    assert found[3] == {"probability": 0.6, "low": 0.1, "high": 0.9}
    assert found[:3] == [None] * 3


# Its pictures


def test_a_pixel_mask_is_shown_where_there_is_one(tmp_path, report_images):
    mask = np.zeros((16, 24), bool)
    mask[2:5, 3:9] = True
    some = [
        dataclasses.replace(report_images[0], mask=mask),
        dataclasses.replace(report_images[0], mask=~mask & mask),
    ]
    write_report(tmp_path, some, CONFIG)
    assert [image["mask"] for image in data_of(tmp_path)["images"]] == [True, False]
    seen = picture(tmp_path, "00001-mask.png")
    np.testing.assert_array_equal(seen[..., 3], 255 * mask)
    assert not (tmp_path / "images" / "00002-mask.png").exists()


def test_an_image_of_256_pixels_and_14_classes_takes_less_than_60_kb(tmp_path):
    rng = np.random.default_rng(0)
    small = rng.random((15, 16, 16), np.float32)
    stack = [
        np.asarray(Image.fromarray(one).resize((256, 256), Image.Resampling.BICUBIC))
        for one in small
    ]
    stack = np.clip(stack, 0, 1)
    noisy = np.clip(stack[14] + 0.02 * rng.standard_normal((256, 256)), 0, 1)
    classes = [
        ReportClass(i, stack[i], 0.5, 1.0, True, None, (0, 0)) for i in range(14)
    ]
    image = ReportImage(noisy, "1", classes, np.zeros((0, 5)), abnormality=stack[14])
    write_report(tmp_path, [image], ReportConfig("t", tuple("abcdefghijklmn")))
    sizes = [path.stat().st_size for path in (tmp_path / "images").iterdir()]
    assert len(sizes) == 16
    assert sum(sizes) < 60_000
    assert (tmp_path / "index.html").stat().st_size < 50_000


# How it is written


def test_it_says_how_many_images_there_are(tmp_path, report_images):
    assert write_report(tmp_path / "new" / "folder", report_images, CONFIG) == 5


def test_pictures_are_written_while_images_are_taken_and_the_page_at_last(
    tmp_path, report_images
):
    seen = []

    def images():
        for image in report_images[:2]:
            yield image
            names = {path.name for path in (tmp_path / "images").iterdir()}
            seen.append((len(names), (tmp_path / "index.html").exists()))

    write_report(tmp_path, images(), CONFIG)
    assert seen == [(4, False), (8, False)]


def test_what_an_earlier_call_has_left_is_removed_and_nothing_else(
    tmp_path, report_images
):
    write_report(tmp_path, report_images, CONFIG)
    (tmp_path / "mine.txt").touch()
    (tmp_path / "images" / "mine-1.png").touch()
    write_report(tmp_path, report_images[4:], CONFIG)
    names = sorted(path.name for path in (tmp_path / "images").iterdir())
    assert names == ["00001-1.png", "00001-2.png", "00001.jpg", "mine-1.png"]
    assert (tmp_path / "mine.txt").exists()
    assert len(data_of(tmp_path)["images"]) == 1


def test_an_old_page_does_not_survive_a_failure(tmp_path, report_images):
    write_report(tmp_path, report_images, CONFIG)

    def images():
        yield report_images[0]
        raise OSError("broken")

    with pytest.raises(OSError, match="broken"):
        write_report(tmp_path, images(), CONFIG)
    assert not (tmp_path / "index.html").exists()


def test_no_image_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"at least one image\. Received: none"):
        write_report(tmp_path, [], CONFIG)
