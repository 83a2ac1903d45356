"""Losses that Keras lacks."""

import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from kerasloc.losses import MaskedBinaryCrossentropy, explanation_loss

NAN = np.nan
GOLDENS = pathlib.Path(__file__).parent / "goldens" / "xml_losses.npz"


@pytest.fixture
def logits():
    return np.random.default_rng(0).normal(size=(4, 3)).astype("float32") * 3


LABELS = np.float32([[1, NAN, 0], [NAN, NAN, NAN], [0, 1, NAN], [1, 0, 1]])


def per_image(labels, logits):
    return np.asarray(MaskedBinaryCrossentropy(reduction=None)(labels, logits))


def test_without_missing_labels_it_is_the_loss_of_keras(logits):
    labels = np.random.default_rng(1).integers(0, 2, (4, 3)).astype("float32")
    expected = keras.losses.BinaryCrossentropy(from_logits=True)(labels, logits)
    loss = MaskedBinaryCrossentropy()(labels, logits)
    np.testing.assert_allclose(loss, expected, rtol=1e-6)


def test_missing_labels_do_not_matter(logits):
    changed = np.where(np.isnan(LABELS), logits + 100, logits)
    np.testing.assert_array_equal(per_image(LABELS, logits), per_image(LABELS, changed))


def test_images_are_averaged_over_their_labels_and_without_one_have_loss_zero(logits):
    labels = np.float32([[1, NAN, NAN]] * 4)
    loss = keras.losses.BinaryCrossentropy(from_logits=True, reduction=None)
    expected = loss(np.ones((4, 1)), logits[:, :1])
    np.testing.assert_allclose(per_image(labels, logits), expected, rtol=1e-6)
    assert per_image(labels * NAN, logits).tolist() == [0, 0, 0, 0]
    assert float(MaskedBinaryCrossentropy()(labels * NAN, logits)) == 0


def test_gradients_are_finite_and_zero_for_missing_labels(logits):
    x = tf.Variable(logits * 100)  # far out, where a naive formula overflows
    with tf.GradientTape() as tape:
        loss = MaskedBinaryCrossentropy()(LABELS, x)
    gradient = tape.gradient(loss, x).numpy()
    assert np.isfinite(loss)
    assert np.isfinite(gradient).all()
    assert not gradient[np.isnan(LABELS)].any()


def test_loss_and_gradient_are_those_of_the_formula():
    labels, x = np.float32([[1, 0, NAN]]), tf.Variable([[0.5, -2.0, 1.0]])
    with tf.GradientTape() as tape:
        loss = MaskedBinaryCrossentropy()(labels, x)
    probability = 1 / (1 + np.exp(-np.array([0.5, -2.0])))
    expected = -np.log([probability[0], 1 - probability[1]]).mean()
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    expected = [*(probability - [1, 0]) / 2, 0]
    np.testing.assert_allclose(tape.gradient(loss, x)[0], expected, rtol=1e-5)


def test_it_works_compiled_and_after_saving(logits, tmp_path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)])
    model.compile("sgd", loss=MaskedBinaryCrossentropy())
    labels = np.float32([[1, NAN, 0]] * 4)
    expected = model.test_on_batch(logits, labels)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert np.isclose(loaded.test_on_batch(logits, labels), expected, rtol=1e-6)
    model.train_on_batch(logits, labels)
    assert all(np.isfinite(ops.convert_to_numpy(w)).all() for w in model.weights)


# The explanation's loss


@pytest.fixture(scope="module")
def published():
    return dict(np.load(GOLDENS))


def of_explanation(explanation, mask=None, **options):
    """Loss per image, of arrays or lists."""
    mask = None if mask is None else np.asarray(mask)
    loss = explanation_loss(np.asarray(explanation, "float32"), mask, **options)
    return np.asarray(loss)


# mean 0.5, mean difference of rows 0.6, of columns 0.4
BY_HAND = [[[0.2, 0.4, 0.6], [0.8, 1.0, 0.0]]]
CORNER = [[[1, 1, 0], [0, 0, 0]]]  # mean outside 0.6


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("unsup_b02", {"beta": 0.2}),
        ("unsup_b09", {}),
        ("hybrid_b09_g1", {"mask": "mask"}),
        ("hybrid_b03_g05", {"mask": "mask", "beta": 0.3, "gamma": 0.5}),
    ],
)
def test_losses_of_explanations_are_the_published_ones(name, options, published):
    if "mask" in options:
        options = {**options, "mask": published["mask"]}
    loss = of_explanation(published["explanation"], **options)
    assert loss.shape == (4,)
    assert abs(loss.mean() - published[name]) < 1e-6


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, 0.55),
        ({"beta": 1}, 0.5),
        ({"beta": 0}, 1.0),
        ({"mask": CORNER}, 1.15),
        ({"mask": CORNER, "gamma": 0.5}, 0.85),
        ({"mask": CORNER, "gamma": 0}, 0.55),
        ({"budget": 0.2}, 0.37),
        ({"budget": 0.5}, 0.1),
        ({"budget": 0.9}, 0.1),
        ({"budget": 0.9, "beta": 1}, 0.0),
        ({"budget": 0.2, "mask": CORNER}, 0.97),
    ],
)
def test_losses_of_explanations_that_an_eye_can_check(options, expected):
    loss = of_explanation(BY_HAND, **options)
    np.testing.assert_allclose(loss, [expected], rtol=1e-5, atol=1e-7)


def test_the_total_variation_is_of_rows_and_of_columns():
    rows = np.zeros((1, 4, 6, 1))
    rows[:, ::2] = 0.5  # every row differs from the next by a half
    for stripes in (rows, rows.transpose(0, 2, 1, 3)):
        np.testing.assert_allclose(of_explanation(stripes, beta=0), [0.5])
    ragged = np.random.default_rng(0).random((2, 4, 6, 1))
    np.testing.assert_allclose(
        of_explanation(ragged), of_explanation(ragged.transpose(0, 2, 1, 3)), rtol=1e-6
    )
    np.testing.assert_array_equal(of_explanation(np.ones((2, 4, 6)), beta=0), [0, 0])


def test_the_loss_of_an_image_does_not_depend_on_the_batch(published):
    explanation, mask = published["explanation"], published["mask"]
    together = of_explanation(explanation, mask)
    batches = [slice(i, i + 1) for i in range(4)]
    alone = [of_explanation(explanation[at], mask[at])[0] for at in batches]
    np.testing.assert_allclose(together, alone, rtol=1e-6)
    assert len(set(together.tolist())) == 4
    flat = of_explanation(explanation[..., 0], mask[..., 0] > 0)
    np.testing.assert_array_equal(flat, together)


def test_an_empty_mask_costs_the_mean_and_a_full_mask_nothing():
    without = of_explanation(BY_HAND)
    empty = of_explanation(BY_HAND, np.zeros((1, 2, 3)), gamma=2)
    np.testing.assert_allclose(empty - without, [2 * 0.5], rtol=1e-5)
    full = of_explanation(BY_HAND, np.ones((1, 2, 3)), gamma=2)
    np.testing.assert_array_equal(full, without)


def test_half_precision_explanations_cost_float32():
    explanation = ops.cast(np.asarray(BY_HAND), "float16")
    loss = explanation_loss(explanation, np.asarray(CORNER, bool))
    assert keras.backend.standardize_dtype(loss.dtype) == "float32"
    np.testing.assert_allclose(loss, [1.15], rtol=1e-3)


def test_explanations_cost_the_same_in_a_graph_of_any_batch(published):
    explanation, mask = published["explanation"], published["mask"]
    spec = tf.TensorSpec((None, 20, 24, 1))
    graph = tf.function(explanation_loss, input_signature=[spec, spec])
    for count in (1, 4):
        loss = graph(explanation[:count], mask[:count])
        expected = of_explanation(explanation[:count], mask[:count])
        np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_marks_off_the_mask_are_pushed_harder_and_gradients_are_finite():
    explanation, mask = tf.constant(BY_HAND), tf.constant(CORNER, "float32")
    for target, extra in (
        (mask, [[0, 0, 0.25], [0.25, 0.25, 0.25]]),
        (mask * 0 + 1, 0),
    ):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(explanation)
            bare, hybrid = (explanation_loss(explanation, m) for m in (None, target))
        slopes = [tape.gradient(loss, explanation) for loss in (bare, hybrid)]
        difference = slopes[1][0] - slopes[0][0]
        np.testing.assert_allclose(difference, np.zeros((2, 3)) + extra, atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "mask", "options", "message"),
    [
        ((6,), None, {}, r"explanation of shape \(6,\)"),
        ((2, 4, 6, 2), None, {}, r"explanation of shape \(2, 4, 6, 2\)"),
        ((2, 1, 6, 1), None, {}, r"explanation of shape \(2, 1, 6, 1\)"),
        ((2, 4, 1), None, {}, r"explanation of shape \(2, 4, 1\)"),
        ((2, 4, 6, 1), (2, 4, 5, 1), {}, r"mask of shape \(2, 4, 5, 1\)"),
        ((2, 4, 6, 1), (2, 4, 6), {}, r"mask of shape \(2, 4, 6\)"),
        ((2, 4, 6, 1), (1, 4, 6, 1), {}, r"mask of shape \(1, 4, 6, 1\)"),
        ((2, 4, 6), None, {"beta": -0.1}, r"beta=-0\.1"),
        ((2, 4, 6), None, {"beta": 1.1}, r"beta=1\.1"),
        ((2, 4, 6), None, {"beta": NAN}, "beta=nan"),
        ((2, 4, 6), None, {"gamma": -1}, "gamma=-1"),
        ((2, 4, 6), None, {"budget": 1.0}, r"budget=1\.0"),
        ((2, 4, 6), None, {"budget": -0.1}, r"budget=-0\.1"),
    ],
)
def test_wrong_shapes_and_numbers_are_refused(shape, mask, options, message):
    mask = None if mask is None else np.ones(mask)
    with pytest.raises(ValueError, match=message):
        explanation_loss(np.ones(shape, "float32"), mask, **options)
