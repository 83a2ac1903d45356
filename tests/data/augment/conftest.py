import numpy as np
import pytest
import tensorflow as tf


@pytest.fixture(scope="session")
def example():
    """Function that makes an example: a bright rectangle with its box and masks."""

    def make(channels=3, size=(40, 48)):
        mask = np.zeros(size, bool)
        mask[10:28, 16:28] = True
        image = np.repeat(mask[..., None].astype("float32"), channels, axis=-1)
        return {
            "image": tf.constant(image),
            "boxes": tf.constant([[16, 10, 12, 18, 2]], tf.float32),
            "mask": tf.constant(mask),
            "class_masks": tf.constant(np.stack([~mask, mask], axis=-1)),
        }

    return make


@pytest.fixture(scope="session")
def extent():
    """Function from a mask to left, top, right and bottom of its true pixels."""

    def corners(mask):
        rows, cols = np.nonzero(mask)
        return np.array([cols.min(), rows.min(), cols.max() + 1, rows.max() + 1], float)

    return corners


@pytest.fixture(scope="session")
def seed():
    """Function from a number to the seed of an augmentation."""
    return lambda number: tf.cast(tf.stack([number, 3]), tf.int64)


@pytest.fixture(scope="session")
def run(example, seed):
    """Function that augments the example, in a graph, by the first seeds."""

    def augmented(augment, count, start=None):
        graph = tf.function(augment)
        start = example() if start is None else start
        return [
            {name: value.numpy() for name, value in graph(start, seed(n)).items()}
            for n in range(count)
        ]

    return augmented
