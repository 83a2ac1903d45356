"""One map per image, of the chosen class or of the highest logit."""

import keras
import numpy as np

from kerasloc.layers import ChosenClassMap


def test_map_is_the_features_weighed_by_the_chosen_column():
    classifier = keras.layers.Dense(3)
    classifier.build((None, 2))
    kernel = np.array([[1, 0, -1], [0, 2, 5]], "float32")
    classifier.set_weights([kernel, np.full(3, 9, "float32")])  # no bias in the map
    features = np.random.default_rng(0).random((2, 4, 5, 2), dtype="float32")
    logits = np.array([[0, 1, 0], [7, 1, 2]], "float32")
    maps = ChosenClassMap(classifier)(features, logits, np.array([2, -1], "int32"))
    np.testing.assert_allclose(maps[0], features[0] @ kernel[:, 2], rtol=1e-5)
    np.testing.assert_allclose(maps[1], features[1] @ kernel[:, 0], rtol=1e-5)
