"""HAM's objective against published values and a plain loop over images and classes."""

import pathlib

import keras
import numpy as np
import pytest

from kerasloc.models.ham import WEIGHTS, objective_terms

GOLDEN = pathlib.Path(__file__).parents[1] / "goldens" / "ham_losses.npz"
TERMS = ["abnormality", "classes", "boxes", "bounding", "union"]
MAPS = ("maps", "abnormality_maps", "refined_maps", "abnormality_refined_maps")
NAN = float("nan")
# Labels of batches: rows are images, columns classes.
BATCHES = {
    "mixed": [[1, 0, 0], [0, 1, 1], [0, 0, 0], [1, 1, 0], [0, 0, 0]],
    "one image": [[0, 1, 0]],
    "all normal": [[0, 0, 0], [0, 0, 0]],
    "all abnormal": [[1, 1, 1], [1, 1, 1]],
    "a class is absent": [[1, 0, 0], [0, 0, 1], [0, 0, 0]],
    "unknown ones": [[1, NAN, 0], [NAN, NAN, NAN], [0, NAN, 0], [0, 1, NAN]],
    "nothing known": [[NAN, NAN, NAN], [NAN, NAN, NAN]],
}
# Flags of images, given how many; boxes are of every other label.
FLAGS = {
    "all flagged": np.ones,
    "none flagged": np.zeros,
    "some flagged": lambda n: np.arange(n) % 3 == 0,
}


def batch(labels, seed=0, size=(6, 5), image=(12, 15)):
    """Random outputs, labels, masks, tags; attention on both sides of 0.75."""
    rng = np.random.default_rng(seed)
    labels = np.array(labels, "float32")
    count, classes = labels.shape
    outputs = {
        "logits": rng.normal(0, 3, (count, classes)),
        "abnormality_logits": rng.normal(0, 3, (count, 1)),
        "maps": np.maximum(rng.normal(0.5, 0.7, (count, *size, classes)), 0),
        "abnormality_maps": np.maximum(rng.normal(0.5, 0.7, (count, *size, 1)), 0),
        "refined_maps": rng.random((count, *image, classes)),
        "abnormality_refined_maps": rng.random((count, *image, 1)),
    }
    outputs = {name: value.astype("float32") for name, value in outputs.items()}
    tags = (labels == 1) & (np.arange(labels.size).reshape(labels.shape) % 2 == 0)
    masks = (rng.random((count, *image, classes)) > 0.7) & tags[:, None, None]
    return outputs, labels, masks.astype("float32"), tags.astype("float32")


def numbers(terms):
    """The terms as Python's numbers, after a look at what they are."""
    assert list(terms) == TERMS
    for value in terms.values():
        assert keras.backend.standardize_dtype(value.dtype) == "float32"
        assert tuple(value.shape) == ()
    return {name: float(value) for name, value in terms.items()}


def assert_same(terms, expected, rtol=1e-4):
    for name, value in numbers(terms).items():
        assert value == pytest.approx(expected[name], rel=rtol, abs=1e-6), name


# The published values


@pytest.fixture(scope="module")
def golden():
    return dict(np.load(GOLDEN))


def test_terms_and_total_equal_the_published_ones(golden):
    given = (golden[name] for name in ("labels", "masks", "box_tags", "annotated"))
    terms = objective_terms(golden, *given)
    assert_same(terms, golden)
    assert min(golden[name] for name in TERMS) > 0.1
    total = sum(WEIGHTS[name] * value for name, value in numbers(terms).items())
    assert total == pytest.approx(float(golden["total"]), rel=1e-5)


def test_terms_are_scalars_that_a_graph_gives_too(golden):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("the graph is TensorFlow's")
    tf = pytest.importorskip("tensorflow")
    given = [golden[name] for name in ("labels", "masks", "box_tags", "annotated")]
    outputs = {name: tf.constant(golden[name]) for name in golden if "maps" in name}
    outputs |= {name: golden[name] for name in ("logits", "abnormality_logits")}
    signature = [
        {
            name: tf.TensorSpec((None, *value.shape[1:]), tf.float32)
            for name, value in outputs.items()
        },
        *(tf.TensorSpec((None, *a.shape[1:]), tf.float32) for a in given),
    ]
    compiled = tf.function(objective_terms, input_signature=signature)
    assert_same(compiled(outputs, *(a.astype("float32") for a in given)), golden)


# A plain loop


def cross_entropy(logit, label):
    return np.logaddexp(0, -logit if label else logit)


def mean(values):
    return float(np.mean(values)) if len(values) else 0.0


def sigmoid(x):
    return 1 / (1 + np.exp(-x.astype(float)))


def outside(inner, outer):
    inner, outer = inner.astype(float), outer.astype(float)
    inside = np.minimum(inner, outer) * sigmoid(100 * (inner - 0.75))
    return (inner.sum() - inside.sum()) / max(inner.sum(), 1e-5)


def by_loops(outputs, labels, masks, tags, flags):
    """The objective as its text has it, image by image and class by class."""
    count, classes = labels.shape
    terms = {name: [] for name in TERMS}
    for i in range(count):
        row, attention = labels[i], outputs["abnormality_maps"][i, ..., 0]
        if 1 in row or not np.isnan(row).any():
            logit = outputs["abnormality_logits"][i, 0]
            terms["abnormality"].append(cross_entropy(logit, 1 in row))
        for k in np.flatnonzero(~np.isnan(row)):
            terms["classes"].append(cross_entropy(outputs["logits"][i, k], row[k]))
        if 1 in row:
            shown = np.max(outputs["maps"][i][..., row == 1], axis=-1)
            terms["union"].append(outside(attention, shown))
    for k in range(classes):
        ours = [i for i in range(count) if labels[i, k] == 1]
        shares = [
            outside(outputs["maps"][i, ..., k], outputs["abnormality_maps"][i, ..., 0])
            for i in ours
        ]
        if shares:
            terms["bounding"].append(np.mean(shares))
        boxed = [i for i in range(count) if tags[i, k] and flags[i]]
        refined = outputs["refined_maps"][boxed, ..., k].astype(float)
        if boxed:
            mask = masks[boxed, ..., k]
            error = np.square(refined - mask).sum() / (refined.sum() + mask.sum())
            terms["boxes"].append(error)
    return {name: mean(values) for name, values in terms.items()}


@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize("name", BATCHES)
def test_terms_equal_a_loop_over_images_and_classes(name, flags):
    outputs, labels, masks, tags = batch(BATCHES[name])
    flagged = FLAGS[flags](len(labels)).astype("float32")
    terms = objective_terms(outputs, labels, masks, tags, flagged)
    assert_same(terms, by_loops(outputs, labels, masks, tags, flagged))


@pytest.mark.parametrize("seed", range(5))
def test_terms_of_random_batches_equal_a_loop(seed):
    rng = np.random.default_rng(seed)
    labels = rng.random((7, 5)) > rng.uniform(0.3, 0.9)
    outputs, labels, masks, tags = batch(labels, seed)
    flags = rng.random(7) > 0.5
    expected = by_loops(outputs, labels, masks, tags, flags)
    assert_same(objective_terms(outputs, labels, masks, tags, flags), expected)


def test_other_kinds_of_numbers_mean_the_same():
    outputs, labels, masks, tags = batch(BATCHES["mixed"])
    flags = np.ones(5)
    expected = numbers(objective_terms(outputs, labels, masks, tags, flags))
    plain = (a.astype(bool) for a in (labels, masks, tags, flags[:, None]))
    assert_same(objective_terms(outputs, *plain), expected)
    whole = (a.astype("int64") for a in (labels, masks, tags, flags))
    double = {name: value.astype("float64") for name, value in outputs.items()}
    assert_same(objective_terms(double, *whole), expected)
    half = {name: value.astype("float16") for name, value in outputs.items()}
    terms = objective_terms(half, labels, masks, tags, flags)
    assert_same(terms, expected, rtol=0.01)


# What does not qualify


def test_without_boxes_their_term_is_0_and_the_rest_as_it_was():
    outputs, labels, masks, tags = batch(BATCHES["mixed"])
    expected = numbers(objective_terms(outputs, labels, masks, tags, np.ones(5)))
    without = numbers(objective_terms(outputs, labels))
    assert expected["boxes"] > 0.1
    assert without == {**expected, "boxes": 0.0}
    for none in (
        objective_terms(outputs, labels, masks, tags, np.zeros(5)),
        objective_terms(outputs, labels, masks, np.zeros_like(tags), np.ones(5)),
    ):
        assert numbers(none) == without


def test_boxes_with_empty_masks_still_count():
    outputs, labels, masks, _ = batch([[1, 1], [1, 1]])
    tags, masks = np.ones((2, 2)), np.zeros_like(masks)
    squares = np.square(outputs["refined_maps"]).sum(axis=(0, 1, 2))
    sums = outputs["refined_maps"].sum(axis=(0, 1, 2))
    terms = numbers(objective_terms(outputs, labels, masks, tags, np.ones(2)))
    assert terms["boxes"] == pytest.approx(np.mean(squares / sums), rel=1e-4)
    outputs["refined_maps"] *= 0
    terms = numbers(objective_terms(outputs, labels, masks, tags, np.ones(2)))
    assert terms["boxes"] == 0


@pytest.mark.parametrize(("level", "outside_share"), [(0.0, 0.0), (5.0, 0.0), (0.1, 1)])
def test_flat_maps_give_terms_without_nan(level, outside_share):
    outputs, labels, masks, tags = batch(BATCHES["mixed"])
    for name in MAPS:
        outputs[name] = np.full_like(outputs[name], level)
    terms = numbers(objective_terms(outputs, labels, masks, tags, np.ones(5)))
    assert np.isfinite(list(terms.values())).all()
    assert terms["bounding"] == pytest.approx(outside_share, abs=1e-5)
    assert terms["union"] == pytest.approx(outside_share, abs=1e-5)


def test_unknown_labels_are_left_out_as_if_they_were_not_there():
    outputs, labels, masks, tags = batch([[1, 0, 1], [0, 1, 0], [0, 0, 0]])
    labels[:, 1] = NAN
    tags[:, 1] = 0
    kept = {
        name: value if value.shape[-1] == 1 else value[..., ::2]
        for name, value in outputs.items()
    }
    terms = numbers(objective_terms(outputs, labels, masks, tags, np.ones(3)))
    given = labels[:, ::2], masks[..., ::2], tags[:, ::2], np.ones(3)
    expected = numbers(objective_terms(kept, *given))
    for name in set(TERMS) - {"abnormality"}:
        assert terms[name] == pytest.approx(expected[name], rel=1e-5), name
    # images 1 and 2 may have the unknown class
    logit = outputs["abnormality_logits"][0, 0]
    assert terms["abnormality"] == pytest.approx(cross_entropy(logit, 1), rel=1e-5)


def test_an_image_of_which_nothing_is_known_changes_nothing():
    outputs, labels, masks, tags = batch([[1, 0], [0, 1], [NAN, NAN]])
    tags[2] = 0
    terms = objective_terms(outputs, labels, masks, tags, np.ones(3))
    first = {name: value[:2] for name, value in outputs.items()}
    expected = objective_terms(first, labels[:2], masks[:2], tags[:2], np.ones(2))
    assert_same(terms, numbers(expected), rtol=1e-5)


@pytest.mark.parametrize("given", [(True, False, False), (True, True, False)])
def test_masks_tags_and_flags_come_together(given):
    outputs, labels, masks, tags = batch(BATCHES["mixed"])
    every = (masks, tags, np.ones(5))
    for order in ((0, 1, 2), (2, 0, 1)):
        some = [every[i] if given[k] else None for i, k in enumerate(order)]
        with pytest.raises(ValueError, match="masks, box_tags and annotated"):
            objective_terms(outputs, labels, *some)


# The sum and its gradients


def test_published_weights():
    assert list(WEIGHTS) == TERMS
    assert list(WEIGHTS.values()) == [0.01, 1, 0.5, 0.001, 0.001]


@pytest.mark.parametrize("name", ["mixed", "all normal", "one image"])
def test_with_the_classes_alone_it_is_plain_cross_entropy(name):
    outputs, labels, masks, tags = batch(BATCHES[name])
    weights = dict.fromkeys(WEIGHTS, 0.0) | {"classes": WEIGHTS["classes"]}
    terms = objective_terms(outputs, labels, masks, tags, np.ones(len(labels)))
    total = sum(weights[name] * value for name, value in numbers(terms).items())
    plain = keras.losses.BinaryCrossentropy(from_logits=True)
    assert total == pytest.approx(float(plain(labels, outputs["logits"])), rel=1e-5)


def gradients(outputs, *given):
    """Of the weighted sum, by output."""
    if keras.backend.backend() != "tensorflow":
        pytest.skip("the tape is TensorFlow's")
    tf = pytest.importorskip("tensorflow")
    outputs = {name: tf.constant(value) for name, value in outputs.items()}
    with tf.GradientTape() as tape:
        tape.watch(list(outputs.values()))
        terms = objective_terms(outputs, *given)
        total = tf.add_n([WEIGHTS[name] * value for name, value in terms.items()])
    found = tape.gradient(total, outputs, unconnected_gradients="zero")
    return {name: value.numpy() for name, value in found.items()}


@pytest.mark.parametrize("level", [None, 0.0, 0.75])
@pytest.mark.parametrize("name", BATCHES)
def test_gradients_are_finite_and_reach_only_what_counts(name, level):
    outputs, labels, masks, tags = batch(BATCHES[name])
    if level is not None:
        outputs |= {one: np.full_like(outputs[one], level) for one in MAPS}
    found = gradients(outputs, labels, masks, tags, np.ones(len(labels)))
    assert all(np.isfinite(value).all() for value in found.values())
    np.testing.assert_array_equal(found["logits"] != 0, ~np.isnan(labels))
    assert not found["abnormality_refined_maps"].any()
    abnormal = (labels == 1).any(axis=1)
    assert not found["maps"].transpose(0, 3, 1, 2)[labels != 1].any()
    assert not found["abnormality_maps"][~abnormal].any()
    assert not found["refined_maps"].transpose(0, 3, 1, 2)[tags == 0].any()
    if level is None and abnormal.any():
        assert found["maps"].any()
        assert found["abnormality_maps"].any()
        assert found["refined_maps"].any() == tags.any()


def test_gradients_of_the_bounding_draw_the_classes_into_the_abnormality():
    outputs, labels, _, _ = batch([[1]])
    outputs["maps"][:] = 2.0
    outputs["abnormality_maps"][:] = 1.0
    found = gradients(outputs, labels)
    assert (found["maps"] > 0).all()  # less attention outside is better
    assert (found["abnormality_maps"] < 0).all()
