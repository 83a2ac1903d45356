"""Scores that Keras lacks."""

import keras
import numpy as np
import pytest

from kerasloc.training.scores import KnownLabelAccuracy

NAN = np.nan


def test_known_labels_give_keras_own_accuracy():
    rng = np.random.default_rng(0)
    labels, logits = rng.integers(0, 2, (6, 3)).astype(float), rng.normal(size=(6, 3))
    own = keras.metrics.BinaryAccuracy(threshold=0.0)
    assert float(KnownLabelAccuracy()(labels, logits)) == float(own(labels, logits))


def test_unknown_labels_count_neither_as_right_nor_as_wrong():
    score = KnownLabelAccuracy("accuracy")
    score.update_state([[1.0, NAN, 0.0]], [[2.0, 5.0, 3.0]])
    assert float(score.result()) == 0.5
    score.update_state([[NAN, NAN, 0.0], [NAN, 1.0, NAN]], [[-1.0, 1.0, -2.0]] * 2)
    assert float(score.result()) == pytest.approx(3 / 4)  # every known label alike


def test_without_a_known_label_there_is_nothing_right():
    assert float(KnownLabelAccuracy()([[NAN, NAN]], [[1.0, -1.0]])) == 0
