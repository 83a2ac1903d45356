"""The suite explainer of the benchmark: the simple code computes the same."""

import keras
import numpy as np
import pytest

from kerasloc.models.explainer import multiplied_by


@pytest.fixture(scope="module")
def suite(load_suite):
    return load_suite("explainer")


def test_both_multiplications_are_equal(suite):
    explanation, features = keras.Input((8, 8, 1)), keras.Input((4, 4, 5))
    models = [
        keras.Model([explanation, features], make(explanation)(features, "x"))
        for make in (suite.by_concatenation, multiplied_by)
    ]
    rng = np.random.default_rng(0)
    arrays = [rng.random((2, 8, 8, 1)), rng.random((2, 4, 4, 5))]
    concatenated, broadcast = (np.asarray(model(arrays)) for model in models)
    assert np.array_equal(concatenated, broadcast)


def test_the_loop_blackens_the_most_relevant_tiles_first(suite):
    image = np.ones((1, 4, 4, 1), np.float32)
    relevance = np.zeros((1, 4, 4))
    relevance[0, :2, 2:], relevance[0, 2:, :2] = 3, 2

    def predict(x):
        share = (x[:, :2].mean(axis=(1, 2, 3)) + 3) / 4  # of the upper half
        return np.stack([1 - share, share], axis=1)

    (curve,) = suite.curves_one_by_one(predict, image, relevance, 2)
    assert curve[:3].tolist() == [1, 0.875, 0.875]  # upper right, lower left
    assert curve[-1] == 0.75


def test_explanations_are_compared_with_and_without_a_network(
    suite, quick_options, comparisons
):
    rows = suite.explanations(quick_options(suite, images=2))
    pair = [("one by one", None, None), ("batched", "one by one", 10.0)]
    assert comparisons(rows) == 2 * pair
    titles = [row["section"] for row in rows]
    assert titles == 2 * ["AOPC, network"] + 2 * ["AOPC, no network"]
    assert all(len(row["values"]) == 2 for row in rows)
