"""What tests of maps share."""

import contextlib
import warnings

import keras
import numpy as np
import pytest
from keras import layers

import kerasloc


@pytest.fixture
def op_by_op(request):
    """Without graphs, which take longer to make than to run once; not for all."""
    if request.node.get_closest_marker("graphs"):
        yield
        return
    import tensorflow as tf

    request.getfixturevalue("eager")
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture(scope="session")
def x():
    return np.random.default_rng(0).random((4, 12, 10, 2), dtype="float32")


@contextlib.contextmanager
def without_warnings():
    """Maps of random networks may be 0 throughout."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Nothing speaks")
        yield


@pytest.fixture(scope="session")
def quiet():
    return without_warnings


@pytest.fixture(scope="session")
def explain():
    """``kerasloc.cam`` without warnings of empty maps."""
    return without_warnings()(kerasloc.cam)


@pytest.fixture(scope="session")
def network():
    """Function that builds convolution, ReLU, mean, Dense, optionally with weights."""

    def build(end="linear", units=3, size=(12, 10), weights=None):
        keras.utils.set_random_seed(3)
        model = keras.Sequential(
            [
                keras.Input((*size, 2), name="image"),
                layers.Conv2D(6, 3, strides=2, activation="relu", name="early"),
                layers.Conv2D(5, 2, activation="relu", name="last"),
                layers.GlobalAveragePooling2D(),
                layers.Dense(
                    units, activation=end, name="out", bias_initializer="normal"
                ),
            ]
        )
        if weights is not None:
            model.set_weights(weights)
        return model

    return build


@pytest.fixture(scope="session")
def model(network, x):
    """A classifier that predicts several classes for the images."""
    model = network()
    bias = model.get_layer("out").bias
    bias.assign(bias - model.predict_on_batch(x).mean(axis=0))
    return model
