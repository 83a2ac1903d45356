"""Weights, histories and logs of runs, as tests compare them."""

import numpy as np

from kerasloc.runs import read_history
from kerasloc.weights import read_arrays


def by_layer(model):
    return {layer.name: layer.get_weights() for layer in model.layers if layer.weights}


def as_lists(path):
    """Return the arrays of a weight file by layer, in the order of its weights."""
    return {
        name: [layer[key] for key in sorted(layer, key=int)]
        for name, layer in read_arrays(path).items()
    }


def arrays(path):
    """Return the arrays of a weight file by layer and number."""
    layers = read_arrays(path)
    return {f"{n}/{k}": a for n, layer in layers.items() for k, a in layer.items()}


def is_equal(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def assert_equal_weights(first, second, atol=0.0, rtol=0.0):
    """Compare two weight files."""
    first, second = arrays(first), arrays(second)
    assert set(first) == set(second)
    for key, array in first.items():
        np.testing.assert_allclose(array, second[key], rtol=rtol, atol=atol)


def rows_of(folder):
    """Return the history of a run without its times."""
    rows = read_history(folder)
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


def events_of(folder):
    """Return what TensorBoard reads from logs."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(folder), {"tensors": 0, "images": 0}).Reload()
