"""How many images are run together, and in what order they come back."""

import keras
import numpy as np
import pytest

from kerasloc.cams import batches


def test_large_images_are_run_few_at_a_time_on_a_cpu(monkeypatch):
    monkeypatch.setattr(batches, "has_accelerator", lambda: False)
    sizes = [(16, 16), (96, 96), (224, 224), (1024, 512)]
    assert [batches.images_at_once(size) for size in sizes] == [32, 4, 2, 2]
    monkeypatch.setattr(batches, "has_accelerator", lambda: True)
    assert batches.images_at_once((224, 224)) == 32


@pytest.mark.parametrize("kind", ["one", "list", "dict"])
def test_answers_keep_the_order_of_the_images(monkeypatch, kind):
    monkeypatch.setattr(batches, "images_at_once", lambda size: 2)
    x = keras.Input((2, 2, 1))
    outputs = {"one": x * 2, "list": [x * 2, x], "dict": {"a": x * 2, "b": x}}[kind]
    images = np.arange(20, dtype="float32").reshape(5, 2, 2, 1)
    answer = batches.run(keras.Model(x, outputs), images)
    answer = {"one": lambda: answer, "list": lambda: answer[0]}.get(
        kind, lambda: answer["a"]
    )()
    np.testing.assert_array_equal(answer, 2 * images)


def test_no_image_is_refused():
    x = keras.Input((2, 2, 1))
    with pytest.raises(ValueError, match="at least one image"):
        batches.run(keras.Model(x, x * 2), np.zeros((0, 2, 2, 1)))
