import unicodedata

import numpy as np
import pytest
from PIL import Image

from kerasloc.data import check
from kerasloc.data.datasets.imagenet_hvz import read_imagenet_hvz
from kerasloc.data.table import check_disjoint

HORSE, ZEBRA = "cheval de trait", "zèbre"


@pytest.fixture
def hvz(tmp_path):
    """Twenty horses, some with masks, and ten zebras."""
    image = Image.fromarray(np.zeros((6, 8, 3), np.uint8))
    lines = ["imageID,label"]
    for label, count in ((ZEBRA, 10), (HORSE, 20)):
        for part in ("images", "masks"):
            (tmp_path / part / label).mkdir(parents=True)
        for number in range(count):
            name = f"{label}.{number:02}"
            image.save(tmp_path / "images" / label / f"{name}.JPEG")
            end = ".JPEG" if number % 2 else ""
            lines.append(f"{name}{end},{label}")
            if number < 3:
                mask = tmp_path / "masks" / label / f"{name}_mask.JPEG"
                image.convert("L").save(mask)
    write(tmp_path, lines)
    return tmp_path


def write(root, lines):
    (root / "data.csv").write_text("\n".join(lines), encoding="utf-8")


def read_lines(root):
    return (root / "data.csv").read_text(encoding="utf-8").splitlines()


def test_images_labels_and_masks_are_located(hvz):
    table = read_imagenet_hvz(hvz)
    assert table.class_names == (HORSE, ZEBRA)
    assert np.bincount(table.class_index).tolist() == [20, 10]
    for path, index, mask in zip(
        table.paths, table.class_index, table.masks, strict=True
    ):
        label, name = path.split("/")[-2:]
        assert label == table.class_names[index]
        stem = name.removesuffix(".JPEG")
        expected = str(hvz / "masks" / label / f"{stem}_mask.JPEG")
        assert mask == (expected if stem[-2:] in ("00", "01", "02") else "")
    assert check(table)[1].images == 30


def test_the_split_is_by_class_and_always_the_same(hvz):
    table = read_imagenet_hvz(hvz)
    counts = [np.bincount(table.split(s).class_index) for s in ("test", "val", "train")]
    assert np.array(counts).tolist() == [[3, 2], [3, 2], [14, 6]]
    check_disjoint(table)
    assert read_imagenet_hvz(hvz).splits.tolist() == table.splits.tolist()


def test_images_without_a_row_or_a_label_are_counted(hvz, caplog):
    read_imagenet_hvz(hvz)
    assert caplog.text == ""
    for name in ("donkey/a.tif", "donkey/b.png", f"{HORSE}/new.webp"):
        (hvz / "images" / name).parent.mkdir(exist_ok=True)
        (hvz / "images" / name).touch()
    assert len(read_imagenet_hvz(hvz)) == 30
    assert f"not used:\n  {hvz / 'images' / 'donkey'}: 2 images" in caplog.text
    assert f"no row has 1 of the images:\n  {HORSE}/new.webp" in caplog.text


def test_two_masks_of_an_image_are_an_error(hvz):
    (mask, *_) = sorted((hvz / "masks").rglob("*_mask.JPEG"))
    mask.with_name(mask.name.replace("_mask.JPEG", ".tif")).write_bytes(b"")
    with pytest.raises(ValueError, match=rf"one mask of an image.*\n.*{mask.stem}"):
        read_imagenet_hvz(hvz)


def test_data_without_masks_and_in_other_places_is_read(hvz):
    (hvz / "masks").rename(hvz / "none")
    (hvz / "images").rename(hvz / "pictures")
    table = read_imagenet_hvz(hvz, hvz / "pictures")
    assert set(table.masks) == {""}


def test_accents_may_be_written_in_either_way(hvz):
    for part in ("images", "masks"):
        other = unicodedata.normalize("NFD", ZEBRA)
        assert other != ZEBRA
        (hvz / part / ZEBRA).rename(hvz / part / other)
    assert (read_imagenet_hvz(hvz).masks != "").sum() == 6


def test_missing_images_and_blank_rows_are_named_or_skipped(hvz):
    write(hvz, [*read_lines(hvz), f"gone,{HORSE}", f",{HORSE}", "x,"])
    with pytest.raises(
        ValueError, match=r"(?s)imageID and a label.*line 33 .*\n  line 34"
    ):
        read_imagenet_hvz(hvz)
    write(hvz, read_lines(hvz)[:-2])
    with pytest.raises(ValueError, match=r"gone \(line 32 of"):
        read_imagenet_hvz(hvz)
    assert len(read_imagenet_hvz(hvz, on_error="skip")) == 30


def test_an_image_with_two_rows_and_a_name_of_two_images_are_named(hvz):
    write(hvz, [*read_lines(hvz), f"{ZEBRA}.00.JPEG,{ZEBRA}"])
    with pytest.raises(ValueError, match=r"zèbre\.00\.JPEG: line 2 .* and line 32"):
        read_imagenet_hvz(hvz)
    path = hvz / "images" / ZEBRA / f"{ZEBRA}.00.JPEG"
    path.with_suffix(".png").write_bytes(path.read_bytes())
    with pytest.raises(ValueError, match=r"one image.*00\.JPEG, .*00\.png"):
        read_imagenet_hvz(hvz)


def test_too_few_images_of_a_class_and_other_columns_are_errors(hvz):
    write(hvz, [line for line in read_lines(hvz) if ZEBRA not in line or "00" in line])
    with pytest.raises(ValueError, match="20 of cheval de trait, 1 of zèbre"):
        read_imagenet_hvz(hvz)
    write(hvz, ["image,label", "a,b"])
    with pytest.raises(ValueError, match=r"imageID, label in.*Received: 1 rows"):
        read_imagenet_hvz(hvz)
