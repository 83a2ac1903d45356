"""Wrappers are asked a few times each: op by op, as making graphs takes longer."""

import keras
import pytest


@pytest.fixture(scope="package", autouse=True)
def op_by_op():
    """Predictions and gradients without TensorFlow's graphs."""
    import tensorflow as tf

    always = property(lambda self: True, lambda self, value: None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras.Model, "run_eagerly", always)
        tf.config.run_functions_eagerly(True)
        yield
        tf.config.run_functions_eagerly(False)
