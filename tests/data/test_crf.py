"""Boxes refined by a dense CRF, and the files that hold them."""

import dataclasses
import functools
import importlib.util
import logging
import os
import re
import sys
import types
from typing import ClassVar

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from kerasloc.boxes import to_mask
from kerasloc.data import crf
from kerasloc.data.crf import crf_masks, decode_class_masks, refine_boxes
from kerasloc.data.table import Table

SIZE = (60, 70)


def needs_crf(test):
    """Marks a test that needs the library."""
    installed = importlib.util.find_spec("pydensecrf") is not None
    skip = pytest.mark.skipif(not installed, reason="pydensecrf2 is an extra")
    return pytest.mark.extras(skip(test))


@pytest.fixture
def absent(monkeypatch):
    """As where pydensecrf is not installed."""
    monkeypatch.setitem(sys.modules, "pydensecrf", None)


class EvenColumns:
    """Stands for the library: keeps the even values of a box, and records its input."""

    calls: ClassVar[list] = []
    limit: ClassVar[float] = np.inf

    def __init__(self, cols, rows, labels):
        if len(self.calls) >= self.limit:
            raise KeyboardInterrupt

    def setUnaryEnergy(self, energies):  # noqa: N802
        self.box = energies[1] < energies[0]

    def addPairwiseBilateral(self, sxy, srgb, rgbim, compat):  # noqa: N802
        assert rgbim.flags.writeable  # the library demands both
        assert rgbim.flags.c_contiguous
        self.calls.append((rgbim.shape[:2], (sxy, srgb)))
        self.even = rgbim[..., 0].ravel() % 2 == 0

    def inference(self, iterations):
        inside = self.box & self.even
        return [~inside, inside]


@pytest.fixture
def rough(monkeypatch):
    """A CRF that leaves a box its even columns; its images and widths."""
    package = types.ModuleType("pydensecrf")
    package.densecrf = types.SimpleNamespace(DenseCRF2D=EvenColumns)
    monkeypatch.setitem(sys.modules, "pydensecrf", package)
    EvenColumns.calls, EvenColumns.limit = [], np.inf
    return EvenColumns.calls


@pytest.fixture
def table(tmp_path):
    """Three images, whose value is their column, and 20 classes; the last is bare."""
    columns = np.broadcast_to(np.arange(70, dtype=np.uint8), SIZE)
    paths = [str(tmp_path / f"{name}.png") for name in "abc"]
    for path in paths:
        Image.fromarray(columns).save(path)
    boxes = [
        [1, 4, 5, 30, 20, 18],
        [0, 10, 10, 8, 8, 0],
        [0, 30, 20, 9, 30, 0],
        [0, 20, 5, 40, 40, 15],
    ]
    names = [f"class {k}" for k in range(20)]
    return Table(paths, names, np.zeros((3, 20)), boxes=boxes)


def even_columns(boxes, size=SIZE):
    return to_mask(boxes, size) & (np.arange(size[1]) % 2 == 0)


def decoded(path, classes=20, size=SIZE):
    return decode_class_masks(path, size, classes).numpy()


def disk(size=SIZE, center=(30, 35), radius=14):
    row, col = np.indices(size)
    return np.hypot(row - center[0], col - center[1]) < radius


def shown(mask, noise=0.02):
    """A bright object on dark ground, float in [0, 1]."""
    rng = np.random.default_rng(0)
    return np.clip(0.2 + 0.5 * mask + noise * rng.standard_normal(mask.shape), 0, 1)


def overlap(first, second):
    return (first & second).sum() / (first | second).sum()


def mean_field(image, mask, position, intensity):
    """Where the exact inference finds the object: all pairs of pixels, no lattice."""
    row, col = np.indices(mask.shape)
    features = [row / position, col / position, *[image * 255.0 / intensity] * 3]
    points = np.stack(features).reshape(5, -1).astype(np.float32)
    squares = (points**2).sum(axis=0)
    kernel = squares[:, None] + squares - 2 * points.T @ points
    kernel = np.exp(-kernel.clip(0) / 2)
    scale = 1 / np.sqrt(kernel.sum(axis=1))
    kernel *= scale[:, None] * scale
    unary = np.log(np.where(np.stack([~mask, mask]).reshape(2, -1), 0.7, 0.3))
    energy = unary
    for _ in range(6):
        shares = np.exp(energy - energy.max(axis=0))
        shares /= shares.sum(axis=0)
        energy = unary + 10 * shares @ kernel
    return (shares[1] > shares[0]).reshape(mask.shape)


@needs_crf
def test_a_loose_box_becomes_the_object_and_nothing_outside_of_boxes():
    truth, loose, small = disk(), [19, 14, 33, 33], [28, 22, 20, 20]
    mask = refine_boxes(shown(truth, noise=0.004), [loose])
    assert mask.dtype == bool
    assert overlap(mask, truth) > 0.97 > overlap(to_mask([loose], SIZE), truth)
    mask = refine_boxes(shown(truth), [small])
    assert mask.any()
    assert not (mask & ~to_mask([small], SIZE)).any()


@needs_crf
@pytest.mark.parametrize(
    ("box", "widths"), [([17, 12, 38, 36], (5, 2)), ([10, 5, 52, 46], (12, 5))]
)
def test_agrees_with_exact_inference(box, widths):
    image = np.round(shown(disk(), noise=0.04) * 255) / 255
    mask = to_mask([box], SIZE)
    expected = mask & mean_field(image, mask, *widths)
    assert mask.sum() > expected.sum() > 100
    assert overlap(refine_boxes(image, [box]), expected) > 0.9


@needs_crf
def test_types_and_channels_of_an_image_do_not_matter():
    image = np.round(shown(disk()) * 255).astype(np.uint8)
    box = [[17, 12, 38, 36]]
    found = refine_boxes(image, box)
    for same in (image[..., None], np.stack([image] * 3, -1), image / 255):
        np.testing.assert_array_equal(refine_boxes(same, box), found)


@needs_crf
def test_the_margin_stands_for_the_whole_image():
    size = (150, 150)
    pixels = crf._as_pixels(shown(disk(size, (70, 80), 12), noise=0.01))
    box = np.array([62, 54, 33, 30])
    infer = functools.partial(crf._infer, *crf.OPTIONS)
    usual, small, whole = (
        crf._refine(pixels, box, infer, margin) for margin in (crf.MARGIN, 1, 100)
    )
    assert overlap(usual, whole) > 0.97
    assert overlap(small, whole) < 0.9


@needs_crf
def test_options_count():
    image, box = shown(disk(), noise=0.1), [[17, 12, 38, 36]]
    usual = refine_boxes(image, box)
    for option in ({"probability": 0.99}, {"compatibility": 0.5}, {"iterations": 1}):
        assert (refine_boxes(image, box, **option) != usual).any()


@needs_crf
@pytest.mark.slow
def test_processes_write_what_one_writes(table, tmp_path):
    one = crf_masks(table, tmp_path / "one", False)
    two = crf_masks(table, tmp_path / "two", False, workers=2)
    assert one.keys() == two.keys() == {0, 1}
    for row in one:
        masks = [decode_class_masks(paths[row], SIZE, 20) for paths in (one, two)]
        np.testing.assert_array_equal(*masks)


@pytest.mark.parametrize(
    ("sides", "widths"),
    [
        ([44.9], (5, 2)),
        ([45, 69], (12, 5)),
        ([70], (15, 6)),
        ([140], (25, 11)),
        ([210, 379], (50, 13)),
        ([380, 900], (110, 26)),
    ],
)
def test_the_shorter_side_gives_the_published_widths(rough, sides, widths):
    image = np.zeros((1000, 1000), np.uint8)
    for side in sides:
        refine_boxes(image, [[20, 10, side, 950], [20, 10, 950, side]])
    assert [used for _, used in rough] == [widths, widths] * len(sides)


def test_each_box_is_refined_alone_with_a_margin(rough):
    image = np.zeros((100, 200), np.uint8)
    found = refine_boxes(image, [[40, 30, 10, 20], [2, 90, 10, 30]])
    assert [seen for seen, _ in rough] == [(50, 40), (25, 27)]
    np.testing.assert_array_equal(
        found, to_mask([[40, 30, 10, 20], [2, 90, 10, 30]], (100, 200))
    )


def test_a_box_of_which_nothing_is_left_is_kept(rough, caplog):
    image = np.full(SIZE, 3, np.uint8)  # odd
    with caplog.at_level(logging.WARNING, "kerasloc"):
        found = refine_boxes(image, [[5, 5, 9, 9]])
    np.testing.assert_array_equal(found, to_mask([[5, 5, 9, 9]], SIZE))
    assert "kept whole" in caplog.text


@pytest.mark.parametrize("boxes", [[], [[80, 5, 9, 9]], [[5, 5, 0.5, 9]]])
def test_boxes_without_a_pixel_leave_an_empty_mask(rough, boxes):
    assert not refine_boxes(np.zeros(SIZE), boxes).any()
    assert rough == []


def test_files_hold_every_class(rough, table, tmp_path):
    paths = crf_masks(table, tmp_path / "masks", progress=False)
    assert sorted(paths) == [0, 1]
    first, second = decoded(paths[0]), decoded(paths[1])
    assert first.dtype == bool
    assert first.any(axis=(0, 1)).nonzero()[0].tolist() == [0, 15]
    assert second.any(axis=(0, 1)).nonzero()[0].tolist() == [18]
    both = even_columns([[10, 10, 8, 8], [30, 20, 9, 30]])
    np.testing.assert_array_equal(first[..., 0], both)
    np.testing.assert_array_equal(first[..., 15], even_columns([[20, 5, 40, 40]]))
    np.testing.assert_array_equal(second[..., 18], even_columns([[4, 5, 30, 20]]))
    with pytest.raises(tf.errors.InvalidArgumentError):
        decoded(paths[0], 40)  # of more classes


@pytest.mark.parametrize("count", [1, 16, 17, 64])
def test_the_last_class_comes_back(rough, table, tmp_path, count):
    names, boxes = [f"class {k}" for k in range(count)], [[0, 10, 10, 8, 8, count - 1]]
    table = Table(table.paths[:1], names, np.zeros((1, count)), boxes=boxes)
    masks = decoded(crf_masks(table, tmp_path / "masks", False)[0], count)
    np.testing.assert_array_equal(masks[..., -1], even_columns([[10, 10, 8, 8]]))
    assert not masks[..., :-1].any()


def test_a_pipeline_reads_them_at_another_size(rough, table, tmp_path):
    paths = crf_masks(table, tmp_path / "masks", False)
    data = tf.data.Dataset.from_tensor_slices([paths.get(row, "") for row in range(3)])
    data = data.map(lambda path: decode_class_masks(path, (20, 14), 20))
    assert data.element_spec.shape == (20, 14, 20)
    first, second, bare = data.as_numpy_iterator()
    near = np.s_[1::3, 2::5]  # the centers of the pixels of the small image
    for mask, box in (
        (first[..., 15], [20, 5, 40, 40]),
        (second[..., 18], [4, 5, 30, 20]),
    ):
        np.testing.assert_array_equal(mask, even_columns([box])[near])
        assert mask.any()
    assert not bare.any()


def test_masks_are_upright_as_boxes_are(rough, table, tmp_path):
    image = Image.open(table.paths[0]).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[274] = 6
    image.save(table.paths[0], exif=exif)
    turned = dataclasses.replace(
        table.subset([0]),
        boxes=np.array([[0, 10, 10, 8, 8, 0]]),
        orientations=np.array([6]),
    )
    masks = decoded(crf_masks(turned, tmp_path / "masks", False)[0])
    np.testing.assert_array_equal(masks[..., 0], even_columns([[10, 10, 8, 8]]))


def test_an_interrupted_run_resumes(rough, table, tmp_path):
    EvenColumns.limit = 3  # the boxes of the first image
    with pytest.raises(KeyboardInterrupt):
        crf_masks(table, tmp_path / "masks", False)
    (first,) = os.listdir(tmp_path / "masks")
    EvenColumns.limit = np.inf
    rough.clear()
    paths = crf_masks(table, tmp_path / "masks", False)
    assert len(rough) == 1  # the box of the second image
    names = [os.path.basename(path) for path in paths.values()]
    assert sorted(os.listdir(tmp_path / "masks")) == sorted(names)
    assert first in names
    rough.clear()
    assert crf_masks(table, tmp_path / "masks", False) == paths
    assert rough == []


def test_other_boxes_and_other_images_have_other_files(rough, table, tmp_path):
    folder = tmp_path / "masks"
    paths = crf_masks(table, folder, False)
    assert crf_masks(table.subset([1, 0]), folder, False) == {0: paths[1], 1: paths[0]}
    boxes = table.boxes.copy()
    boxes[1, 3] += 1
    moved = Table(table.paths, table.class_names, table.labels, boxes=boxes)
    other = crf_masks(moved, folder, False)
    assert other[1] == paths[1]
    assert other[0] != paths[0]
    Image.open(table.paths[1]).point(lambda value: 255 - value).save(table.paths[1])
    os.utime(table.paths[1], ns=(0, 0))
    assert crf_masks(table, folder, False)[1] != paths[1]


def test_a_table_without_boxes_has_no_files(rough, table, tmp_path):
    assert crf_masks(table.subset([2]), tmp_path / "masks") == {}


def test_a_missing_package_is_an_error_before_any_work(absent, table, tmp_path):
    hint = r'pydensecrf2.*pip install -e "\.\[crf\]"'
    with pytest.raises(ImportError, match=hint):
        refine_boxes(np.zeros(SIZE), [[1, 1, 5, 5]])
    with pytest.raises(ImportError, match=hint):
        crf_masks(table, tmp_path / "masks")
    assert not (tmp_path / "masks").exists()


@pytest.mark.usefixtures("absent")
def test_files_are_read_without_the_package(tmp_path):
    path = str(tmp_path / "x.png")
    bits = np.full((2, 2, 1), 5, np.uint16)
    tf.io.write_file(path, tf.io.encode_png(bits))
    masks = decoded(path, 3, (2, 2))
    assert masks.all(axis=(0, 1)).tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        *(
            (SIZE, {name: value}, f"{name}.*Received: .*{value}")
            for name, value in (
                ("probability", 0.5),
                ("probability", 1),
                ("compatibility", 0),
            )
        ),
        *(
            (shape, {}, re.escape(f"Received: shape {shape}"))
            for shape in ((5,), (5, 5, 2), (1, 5, 5, 3), (0, 5))
        ),
    ],
)
@pytest.mark.usefixtures("rough")
def test_options_out_of_range_and_other_shapes_are_refused(shape, options, message):
    with pytest.raises(ValueError, match=message):
        refine_boxes(np.zeros(shape), [], **options)


def test_too_many_classes_and_no_worker_are_refused(rough, table, tmp_path):
    names = [f"class {k}" for k in range(65)]
    many = Table(table.paths, names, np.zeros((3, 65)))
    with pytest.raises(ValueError, match=r"up to 64 classes.*65 classes"):
        crf_masks(many, tmp_path)
    with pytest.raises(ValueError, match=r"workers=0"):
        crf_masks(table, tmp_path, workers=0)


@needs_crf
def test_a_box_of_a_small_color_image_is_refined_on_the_whole_of_it():
    image = np.full((32, 32, 3), 40, np.uint8)
    image[8:24, 8:24] = 200
    assert crf.refine_boxes(image, [[6, 6, 20, 20]]).any()
