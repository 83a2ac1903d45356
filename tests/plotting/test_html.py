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
    """Start tags with attributes, and the text after each kind of tag."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], {"": ""}
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.text.setdefault(tag, "")

    def handle_data(self, data):
        self.text[self.tags[-1][0] if self.tags else ""] += data


def refuse(name):
    raise ValueError(f"not json: {name}")


def data_of(folder):
    """The data of the page, read as strict json."""
    text = (folder / "index.html").read_text()
    block = re.search(r'<script type="application/json" id="data">(.*?)</script', text)
    return json.loads(block[1], parse_constant=refuse)


# The page


def test_the_page_is_one_file_with_pictures_beside_it(report, report_images):
    assert sorted(path.name for path in report.iterdir()) == ["images", "index.html"]
    names = {path.name for path in (report / "images").iterdir()}
    expected = {f"{number:05d}.jpg" for number in range(1, 6)}
    expected |= {
        f"{number:05d}-{row.index}.png"
        for number, image in enumerate(report_images, start=1)
        for row in image.classes
    }
    assert names == expected | {"00004-abnormality.png"}


def test_nothing_is_fetched_from_elsewhere(report):
    text = (report / "index.html").read_text()
    # the name of a format, which nobody opens
    assert set(re.findall(r"\w+://[^\"'\s]*", text)) == {"http://www.w3.org/2000/svg"}
    assert "@import" not in text
    assert "url(" not in text
    assert "fetch(" not in text
    for tag, attributes in Reader(text).tags:
        assert tag not in ("iframe", "object", "embed", "base")
        assert "src" not in attributes
        assert attributes.get("href", "data:,") == "data:,"


def test_names_are_no_markup_and_markers_are_filled_once(report):
    text = (report / "index.html").read_text()
    page, title = Reader(text), "A & <b>page</b> {{data}}"
    assert not {"b", "i"} & {tag for tag, _ in page.tags}
    assert page.text["title"].strip() == page.text["h1"].strip() == title
    assert data_of(report)["title"] == title
    assert text.count("</script>") == 2
    assert text.count('"columns":') == 1
    assert not re.search(r"{{(title|style|script)}}", text)


def test_a_name_cannot_end_the_data(tmp_path, report_images):
    name = "</script><script>alert(1)</script><!--"
    image = dataclasses.replace(report_images[0], name=name)
    write_report(tmp_path, [image], ReportConfig(name, (name, "\u2028", "é")))
    text = (tmp_path / "index.html").read_text()
    assert [tag for tag, _ in Reader(text).tags].count("script") == 2
    data = data_of(tmp_path)
    assert data["images"][0]["name"] == data["title"] == name
    assert [row["name"] for row in data["classes"]] == [name, r"\u2028", "é"]


HIDDEN = ["\u202e", "\u2066", "\u200f", "\u061c", "\u200b", "\ufeff", "\x1b", "\x85"]
HIDDEN += ["\n", "\r", "\0", "\u2029", "\udcff", "\u3164"]


@pytest.mark.parametrize("letter", HIDDEN)
def test_hidden_and_bidirectional_characters_are_shown_as_escapes(
    tmp_path, report_images, letter
):
    name = f"a{letter}gnp.exe"
    image = dataclasses.replace(report_images[0], name=name)
    write_report(tmp_path, [image], ReportConfig(name, (name, "b", "c"), None, name))
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    data = data_of(tmp_path)
    shown = name.encode("unicode_escape").decode()
    assert f"<title>{shown}</title>" in page
    names = data["images"][0]["name"], data["classes"][0]["name"], data["scaling"]
    assert {*names, data["title"]} == {shown}


@pytest.mark.parametrize("name", ["שלום.png", "صورة", "図\u3000表", "naïve ☃", "é"])
def test_letters_of_any_script_stay(tmp_path, report_images, name):
    image = dataclasses.replace(report_images[0], name=name)
    write_report(tmp_path, [image], ReportConfig(name, (name, "b", "c")))
    assert data_of(tmp_path)["images"][0]["name"] == name


def test_the_page_is_readable_without_color_or_mouse(report):
    page = Reader((report / "index.html").read_text())
    tags = [attributes for _, attributes in page.tags]
    assert ("html", {"lang": "en"}) in page.tags
    assert any(tag.get("aria-live") == "polite" for tag in tags)
    assert any("width=device-width" in tag.get("content", "") for tag in tags)
    assert "prefers-color-scheme: dark" in page.text["style"]
    assert "noscript" in {tag for tag, _ in page.tags}


# Its data


def test_data_are_those_of_the_images(report, report_images):
    data = data_of(report)
    assert [row["id"] for row in data["images"]] == [1, 2, 3, 4, 5]
    for row, image in zip(data["images"], report_images, strict=True):
        assert row["name"] == image.name
        assert row["size"] == [16, 24]
        for values, expected in zip(row["classes"], image.classes, strict=True):
            value = dict(zip(data["columns"], values, strict=True))
            assert value["class"] == expected.index
            assert value["probability"] == pytest.approx(expected.probability, abs=1e-4)
            assert value["hit"] == (None if expected.hit is None else int(expected.hit))
            assert value["predicted"] == int(expected.predicted)
            assert [value["x"], value["y"]] == list(expected.point)
            assert (value["low"], value["high"]) == (0.1, 0.9)
            unknown = np.isnan(expected.label)
            assert value["label"] == (None if unknown else expected.label)
    boxes = [[9, 9, 6, 4, 0], [1, 1, 6, 4, 1], [2.25, 3, 1, 1, 1]]
    assert data["images"][1]["boxes"] == boxes
    abnormality = {"probability": 0.6, "low": 0.1, "high": 0.9}
    expected = [None, None, None, abnormality, None]
    assert [row["abnormality"] for row in data["images"]] == expected


@pytest.mark.parametrize(
    ("thresholds", "expected"),
    [(None, [None] * 3), ((0.4,), [0.4] * 3), ((0.5, 0.55, 0.6), [0.5, 0.55, 0.6])],
)
def test_classes_have_colors_and_one_threshold_or_three_or_none(
    tmp_path, report_images, thresholds, expected
):
    config = dataclasses.replace(CONFIG, thresholds=thresholds)
    write_report(tmp_path, report_images[:1], config)
    classes = data_of(tmp_path)["classes"]
    assert [row["threshold"] for row in classes] == expected
    colors = [[int(row["color"][i : i + 2], 16) for i in (1, 3, 5)] for row in classes]
    np.testing.assert_allclose(colors, 255 * plotting.class_colors(3), atol=1)


# Its pictures


def test_a_mask_is_shown_where_it_is_not_empty(tmp_path, report_images):
    mask = np.zeros((16, 24), bool)
    mask[2:5, 3:9] = True
    images = [
        dataclasses.replace(report_images[0], mask=mask),
        dataclasses.replace(report_images[0], mask=~mask & mask),
    ]
    write_report(tmp_path, images, CONFIG)
    assert [row["mask"] for row in data_of(tmp_path)["images"]] == [True, False]
    with Image.open(tmp_path / "images" / "00001-mask.png") as picture:
        alpha = np.asarray(picture.convert("RGBA"))[..., 3]
    np.testing.assert_array_equal(alpha, 255 * mask)
    assert not (tmp_path / "images" / "00002-mask.png").exists()


def test_an_image_of_256_pixels_and_14_classes_takes_less_than_60_kb(tmp_path):
    rng = np.random.default_rng(0)
    stack = [
        np.asarray(Image.fromarray(small).resize((256, 256), Image.Resampling.BICUBIC))
        for small in rng.random((15, 16, 16), np.float32)
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


# Writing it


def test_pictures_are_written_while_images_are_iterated_and_the_page_last(
    tmp_path, report_images
):
    folder, counts = tmp_path / "new" / "folder", []

    def images():
        for image in report_images[:2]:
            yield image
            names = [path.name for path in (folder / "images").iterdir()]
            counts.append((len(names), (folder / "index.html").exists()))

    assert write_report(folder, images(), CONFIG) == 2
    assert counts == [(4, False), (8, False)]


def test_files_of_an_earlier_call_are_removed_and_no_other_file(
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


def test_a_page_without_images_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"images=\[\]"):
        write_report(tmp_path, [], CONFIG)
