"""Wrappers over networks of a moment, op by op: making graphs takes longer."""

import contextlib

import keras
import numpy as np
import pytest
from keras import layers

from kerasloc.layers import LogSumExpPooling, MappedDense, SoftMask
from kerasloc.localizers import wrappers
from kerasloc.models.explainer import multiplied_by

NAMES = ("edema", "mass", "étoile à cinq")
SIZE = (32, 48)
TINY = {"growth": 4, "initial_filters": 8, "layers_per_block": 1, "blocks": 1}


@pytest.fixture(scope="module", autouse=True)
def op_by_op():
    """Predictions and gradients without TensorFlow's graphs, for a file of tests."""
    import tensorflow as tf

    always = property(lambda self: True, lambda self, value: None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras.Model, "run_eagerly", always)
        tf.config.run_functions_eagerly(True)
        yield
        tf.config.run_functions_eagerly(False)


class Counting(layers.Layer):
    """Counts the forward passes through it."""

    calls = 0

    def call(self, x):
        self.calls += 1
        return x


def small_maps(input_shape, classes, backbone="resnet50", **options):
    """In the place of PYLON: one convolution, maps of 4 x 6."""
    image = keras.Input(input_shape)
    x = layers.Conv2D(16, 8, 8, activation="relu", name="conv")(image)
    x = Counting(name="encoder")(x)
    x = layers.Identity(name="stage5")(x)
    x = Counting(name="decoder")(x)
    maps = layers.Conv2D(classes, 1, dtype="float32", name="out")(x)
    logits = layers.GlobalMaxPooling2D(dtype="float32")(maps)
    return keras.Model(image, {"logits": logits, "maps": maps})


def small_ham(input_shape, classes, backbone="resnet50", **options):
    """In the place of HAM: one convolution, and all six outputs."""
    image = keras.Input(input_shape)
    x = layers.Conv2D(16, 8, 8, activation="relu", name="conv")(image)
    x = Counting(name="encoder")(x)
    pooled = LogSumExpPooling()(x)
    outputs = {}
    for prefix, units in (("", classes), ("abnormality_", 1)):
        logits, maps = MappedDense(units, name=f"{prefix}fc")(pooled, x)
        refined = SoftMask(input_shape[:2])(maps)
        outputs |= {
            f"{prefix}logits": logits,
            f"{prefix}maps": maps,
            f"{prefix}refined_maps": refined,
        }
    return keras.Model(image, outputs)


def small_explainer(input_shape, classes, classifier="resnet18", *, init_bias=3.0):
    """In the place of the explainer-classifier: an explanation is the brightness."""
    image = keras.Input(input_shape)
    explanation = layers.Activation("linear", name="explanation")(image)
    conv = layers.Conv2D(5, (4, 8), (4, 8), activation="relu", name="conv")
    features = conv(image)
    features = Counting(name="encoder")(features)
    deep = multiplied_by(explanation)(features, "deep")
    pooled = layers.GlobalAveragePooling2D()(deep)
    logits = layers.Dense(classes, dtype="float32", name="fc")(pooled)
    return keras.Model(image, {"explanation": explanation, "logits": logits})


BUILDERS = {"pylon": small_maps, "ham": small_ham, "explainer": small_explainer}


@pytest.fixture(scope="session")
def make(registered_as):
    """Function from a family to its wrapper over a network of a moment."""

    def make(family, **arguments):
        arguments = {"class_names": NAMES, "im_size": SIZE, "channels": 1, **arguments}
        wrapper = wrappers()[family]
        keras.utils.set_random_seed(1)
        if family in BUILDERS:
            with registered_as(family, BUILDERS[family]):
                return wrapper(**arguments)
        return wrapper(**{**TINY, **arguments})

    return make


@pytest.fixture(scope="session")
def x():
    """Gray images of noise."""
    return np.random.default_rng(0).random((3, *SIZE, 1), dtype="float32")


@pytest.fixture
def tiny_families(registered_as):
    """The networks of a moment stay registered for a test, which loads them."""
    with contextlib.ExitStack() as stack:
        for family, build in BUILDERS.items():
            stack.enter_context(registered_as(family, build))
        yield
