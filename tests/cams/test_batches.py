"""Batch sizes, and the order of outputs."""

import keras
import numpy as np
import pytest

from kerasloc.cams import images_at_once, run


@pytest.mark.parametrize(
    ("size", "expected"),
    [((16, 16), 32), ((96, 96), 4), ((224, 224), 2), ((1024, 512), 2)],
)
def test_large_images_have_small_batches_on_a_cpu(size, expected):
    assert images_at_once(size, accelerator=False) == expected
    assert images_at_once(size, accelerator=True) == 32


@pytest.mark.parametrize("structure", ["tensor", "list", "dict"])
def test_outputs_keep_their_structure_and_the_order_of_the_images(structure):
    x = keras.Input((2, 2, 1))
    twice = x * 2
    outputs = {"tensor": twice, "list": [twice, x], "dict": {"a": twice, "b": x}}
    images = np.arange(20, dtype="float32").reshape(5, 2, 2, 1)
    arrays = run(keras.Model(x, outputs[structure]), images, batch_size=2)
    keras.tree.assert_same_structure(arrays, outputs[structure])
    np.testing.assert_array_equal(keras.tree.flatten(arrays)[0], 2 * images)


def test_no_image_is_refused():
    x = keras.Input((2, 2, 1))
    with pytest.raises(ValueError, match="at least one image"):
        run(keras.Model(x, x * 2), np.zeros((0, 2, 2, 1)))
