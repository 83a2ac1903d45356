"""Checks of sizes, images and maps."""

import re

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from kerasloc import checks

SHAPE = (4, 6, 3)


@pytest.fixture
def batch():
    return np.random.default_rng(0).random((2, *SHAPE), dtype="float32")


@pytest.mark.parametrize(
    "size", [(32, 64), [32, 64], np.array([32, 64]), (32.0, np.int64(64))]
)
def test_a_size_is_rows_and_columns_or_a_number_for_both(size):
    pair = checks.as_size(size)
    assert pair == (32, 64)
    assert [type(side) for side in pair] == [int, int]
    assert checks.as_size(32) == checks.as_size(np.int32(32)) == (32, 32)


@pytest.mark.parametrize(
    "wrong",
    [0, -32, 32.5, (32,), (32, 32, 3), (32, 0), "32", None, np.nan, np.inf, (None, 32)],
)
def test_wrong_sizes_are_refused(wrong):
    with pytest.raises(ValueError, match=re.escape(f"size={wrong!r}")):
        checks.as_size(wrong)


def test_sides_that_are_no_multiples_are_refused_with_the_nearest_that_fit():
    assert checks.as_size((64, 96), multiple=32) == (64, 96)
    with pytest.raises(ValueError, match=r"multiples of 32. .*100 x 64. .* 96 x 64"):
        checks.as_size((100, 64), multiple=32)
    with pytest.raises(ValueError, match="fits: 32 x 32"):
        checks.as_size(3, multiple=32)


def test_a_single_image_becomes_a_batch_and_a_batch_of_one_is_single(batch):
    images, single = checks.as_images(batch[0], SHAPE)
    assert (images.shape, single) == ((1, *SHAPE), True)
    np.testing.assert_array_equal(images[0], batch[0])
    assert checks.as_images(batch[:1], SHAPE)[1] is True
    images, single = checks.as_images(batch.tolist(), SHAPE)
    np.testing.assert_array_equal(images, batch)
    assert single is False


def test_gray_images_need_no_channel_axis(batch):
    gray = batch[..., 0]
    for x, count in ((gray[0], 1), (gray, 2), (gray[..., None], 2)):
        images, single = checks.as_images(x, (4, 6, 1))
        assert images.shape == (count, 4, 6, 1)
        assert single is (count == 1)


def test_square_gray_images_are_a_batch_of_images_not_of_pixels():
    square = np.random.default_rng(0).random((4, 4, 4))
    images, _ = checks.as_images(square, (4, 4, 1))
    np.testing.assert_allclose(images[1, ..., 0], square[1], rtol=1e-6)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((4, 6, 1), SHAPE),
        ((6, 4, 3), SHAPE),
        ((4, 6), SHAPE),
        ((1, 1, 4, 6, 3), SHAPE),
        ((4, 6, 3), (4, 6, 1)),
    ],
)
def test_another_shape_is_refused_with_both_shapes(shape, expected):
    sides, received = " x ".join(map(str, expected)), re.escape(str(shape))
    with pytest.raises(ValueError, match=f"here {sides}. Received: shape {received}"):
        checks.as_images(np.zeros(shape), expected)


@pytest.mark.parametrize("kind", [list, tuple])
@pytest.mark.parametrize("shape", [(2,), (2, 5), (4, 5, 3)])
def test_pairs_with_labels_and_images_of_several_sizes_are_named(batch, kind, shape):
    with pytest.raises(ValueError, match=rf"a {kind.__name__} of several.*x\[0\]"):
        checks.as_images(kind([batch, np.zeros(shape)]), SHAPE)


@pytest.mark.parametrize("level", [200, 4095])
def test_dark_uint16_images_are_a_warning(level):
    with pytest.warns(UserWarning, match=f"{level} of 65535.*4095"):
        checks.as_unit_range(np.full((2, 2), level, np.uint16))
    for bright in (0, 4096, 65535):  # no warning
        checks.as_unit_range(np.full((2, 2), bright, np.uint16))


@pytest.mark.parametrize(("kind", "top"), [(np.uint8, 255), (np.uint16, 65535)])
def test_integers_are_divided_by_their_types_maximum(kind, top):
    unit = checks.as_unit_range(np.array([0, top // 5, top], kind))
    assert unit.dtype == np.float32
    np.testing.assert_allclose(unit, [0, 0.2, 1], rtol=1e-6)


def test_floats_in_range_and_booleans_stay_as_they_are():
    for values in ([0.0, 0.25, 1.0], np.float16([0, 0.25, 1]), [False, True, True], []):
        unit = checks.as_unit_range(np.array(values))
        assert unit.dtype == np.float32
        np.testing.assert_array_equal(unit, np.asarray(values, np.float32))


@pytest.mark.parametrize("kind", [np.int64, np.int8, np.complex64, object])
def test_other_types_are_refused(kind):
    with pytest.raises(TypeError, match=f"Received: {np.dtype(kind)}"):
        checks.as_unit_range(np.zeros(3, kind))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (255.0, r"to 255\."),
        (-0.5, r"from -0.5"),
        (np.nan, "1 NaN or infinite"),
        (np.inf, "1 NaN or infinite"),
    ],
)
def test_floats_out_of_range_are_refused(value, message):
    with pytest.raises(ValueError, match=message):
        checks.as_unit_range(np.array([0.5, value]))


@pytest.mark.parametrize("shape", [(4, 6), (1, 4, 6), (4, 6, 1), (1, 4, 6, 1)])
def test_a_map_may_have_axes_of_length_1_at_its_ends(shape):
    values = np.arange(24).reshape(shape)
    squeezed = checks.as_map(values)
    assert squeezed.dtype == np.float64
    np.testing.assert_array_equal(squeezed, values.reshape(4, 6))


@pytest.mark.parametrize("shape", [(6,), (2, 4, 6), (4, 6, 3), (0, 6)])
def test_stacks_vectors_and_nan_are_no_map(shape):
    assert checks.as_map(np.zeros((1, 6))).shape == (1, 6)
    with pytest.raises(ValueError, match=r"low map \(rows, cols\). Received"):
        checks.as_map(np.zeros(shape), "low map")
    with pytest.raises(ValueError, match="2 NaN or infinite"):
        checks.as_map([[np.nan, 0], [np.inf, 0]])


NAMES = ["cat", "dog", "all"]


@pytest.mark.parametrize(
    ("classes", "indices", "nested"),
    [
        (None, [[-1], [-1]], False),
        *[(kind(1), [[1], [1]], False) for kind in (float, np.int64, np.uint8)],
        (np.array(1), [[1], [1]], False),
        ("all", [[2], [2]], False),  # a class of that name
        (["dog", 0.0], [[1], [0]], False),
        ([["dog"], [0]], [[1], [0]], True),
    ],
)
def test_classes_are_resolved_by_index_or_name(classes, indices, nested):
    resolved, is_nested = checks.class_indices(classes, 2, NAMES)
    np.testing.assert_array_equal(resolved, indices)
    assert is_nested is nested


def test_all_classes_are_listed_for_every_image():
    resolved, nested = checks.class_indices("all", 2, range(3))
    np.testing.assert_array_equal(resolved, [[0, 1, 2], [0, 1, 2]])
    assert nested


@pytest.mark.parametrize("kind", [float, np.float32, np.float16, bool, int])
@pytest.mark.parametrize("container", [list, np.array, pd.DataFrame, tf.constant])
def test_one_hot_labels_are_refused_with_the_way_to_pass_them(kind, container):
    labels = container(np.eye(3, dtype=kind)[[1, 2]].tolist())
    with pytest.raises(ValueError, match=r"Received: \[.*labels.argmax\(-1\)"):
        checks.class_indices(labels, 2, range(3))
    with pytest.raises(ValueError, match=r"argmax\(-1\)"):
        checks.class_indices(labels, 3, range(3))


def test_rows_of_labels_are_no_index():
    with pytest.raises(ValueError, match=r"Received: \[0, 1\]..*labels.argmax\(-1\)"):
        checks.class_list(np.eye(2, dtype=int)[[1, 0]], ["cat", "dog", "all"])


@pytest.mark.parametrize("row", [[1, 1], ["dog", 1], [0, 1, 0.0], [1.0, 1.0, 0.0]])
def test_a_class_named_twice_for_an_image_is_refused(row):
    with pytest.raises(ValueError, match=re.escape(f"Received: {row}")):
        checks.class_indices([row, row], 2, NAMES)


@pytest.mark.parametrize("row", [[0.0], [1.0, 1.0], [1.0, 0.0], [False, True]])
def test_a_label_of_every_class_is_refused_for_few_classes(row):
    with pytest.raises(ValueError, match=re.escape(f"Received: {row}")):
        checks.class_indices([row], 1, range(len(row)))


@pytest.mark.parametrize(
    ("rows", "count"),
    [
        ([[0, 1], [1, 2]], 3),
        ([[0, 1], [1, 0]], 2),
        ([[0], [0]], 1),
        ([[0.0, 2.0], [1.0, 0.0]], 3),
        (((2, 1, 0), (0, 1, 2)), 3),
    ],
)
def test_lists_of_distinct_classes_are_no_labels(rows, count):
    for classes in (rows, np.array(rows)):
        indices, nested = checks.class_indices(classes, 2, range(count))
        np.testing.assert_array_equal(indices, rows)
        assert nested


@pytest.mark.parametrize("value", [3, -1, 0.5, float("nan"), True, "bird", None])
def test_unknown_classes_are_refused_with_the_names(value):
    with pytest.raises(ValueError, match=f"cat, dog, all.*{value!r}"):
        checks.class_index(value, NAMES)
