"""utils/benchmarks/explainer.py: the plainer ways answer as ours do."""

import importlib.util
import pathlib
import types

import keras
import numpy as np
import pytest

from kerasloc.models.explainer import multiplied_by

SCRIPT = pathlib.Path(__file__).parents[2] / "utils" / "benchmark.py"


@pytest.fixture(scope="module")
def suite():
    spec = importlib.util.spec_from_file_location("benchmark", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.SUITES["explainer"]


def test_both_multiplications_answer_alike(suite):
    explanation, features = keras.Input((8, 8, 1)), keras.Input((4, 4, 5))
    answers = [
        keras.Model([explanation, features], make(explanation)(features, "x"))
        for make in (suite.by_concatenation, multiplied_by)
    ]
    rng = np.random.default_rng(0)
    given = rng.random((2, 8, 8, 1)), rng.random((2, 4, 4, 5))
    plain, ours = (np.asarray(model(list(given))) for model in answers)
    assert np.array_equal(plain, ours)


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


def test_rows_of_the_explanations_say_against_what(suite):
    options = types.SimpleNamespace(**{**suite.QUICK, "repeat": 2, "images": 2})
    rows = suite.explanations(options)
    names = [(row["section"], row["name"], row.get("against")) for row in rows]
    assert names == [
        (f"AOPC, {title}", *pair)
        for title in ("network", "no network")
        for pair in (("one by one", None), ("batched", "one by one"))
    ]
    assert all(len(row["values"]) == 2 and min(row["values"]) > 0 for row in rows)
