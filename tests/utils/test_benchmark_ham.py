"""The suite ham of the benchmark: the loops compute the same."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from kerasloc.data.decode import box_masks
from kerasloc.models.ham import objective_terms

TERMS = ("abnormality", "classes", "boxes", "bounding", "union")


@pytest.fixture(scope="module")
def suite(load_suite):
    return load_suite("ham")


@pytest.fixture
def options(suite, quick_options):
    return functools.partial(quick_options, suite, im_size=32, batch_size=4)


@pytest.fixture
def network(suite, eager):
    """Function that builds a convolution with HAM's outputs; nothing is compiled."""

    def build(options):
        image = keras.Input((options.im_size, options.im_size, 3))
        maps = keras.layers.Conv2D(suite.CLASSES + 1, 8, 8, activation="relu")(image)
        refined = ops.sigmoid(ops.repeat(ops.repeat(maps, 8, axis=1), 8, axis=2))
        logits = keras.layers.GlobalMaxPooling2D()(maps)
        outputs = {"logits": logits, "maps": maps, "refined_maps": refined}
        split = {f"abnormality_{k}": v[..., -1:] for k, v in outputs.items()}
        classes = {name: value[..., :-1] for name, value in outputs.items()}
        return keras.Model(image, classes | split)

    tf.config.run_functions_eagerly(True)
    yield build
    tf.config.run_functions_eagerly(False)


def random_batch(seed, chances):
    """Outputs and targets with labels, and boxes for some of them, by chance."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((6, 5)) < chances[0]).astype("float32")
    tags = labels * (rng.random((6, 5)) < chances[1])
    shapes = {"logits": (6, 5), "maps": (6, 4, 3, 5), "refined_maps": (6, 8, 9, 5)}
    outputs = {}
    for name, shape in shapes.items():
        outputs[name] = rng.uniform(0, 1.5, shape)
        outputs[f"abnormality_{name}"] = rng.uniform(0, 1.5, (*shape[:-1], 1))
    targets = {
        "labels": labels,
        "masks": (rng.random((6, 8, 9, 5)) > 0.5) * tags[:, None, None],
        "box_tags": tags,
        "annotated": np.float32(rng.random(6) < 0.7),
    }
    return tuple(
        {name: value.astype("float32") for name, value in arrays.items()}
        for arrays in (outputs, targets)
    )


@pytest.mark.parametrize("chances", [(0.4, 0.7), (0.2, 0.2), (0.4, 0), (0, 0), (1, 1)])
@pytest.mark.parametrize("seed", range(3))
def test_the_loop_computes_every_term_of_the_objective(suite, seed, chances):
    outputs, targets = random_batch(seed, chances)
    expected = objective_terms(outputs, **targets)
    terms = suite.loop_terms(outputs, **targets)
    assert tuple(expected) == tuple(terms) == TERMS
    for name, value in expected.items():
        assert float(terms[name]) == pytest.approx(float(value), rel=1e-5), name


def test_the_loop_computes_the_gradients_of_the_objective(suite):
    batch = random_batch(0, (0.4, 0.7))
    total, expected = suite.gradients(objective_terms, *batch)()
    loop_total, gradients = suite.gradients(suite.loop_terms, *batch)()
    assert float(loop_total) == pytest.approx(float(total))
    reached = {name for name, gradient in expected.items() if gradient is not None}
    assert reached == set(expected) - {"abnormality_refined_maps"}
    for name in reached:
        assert np.abs(expected[name]).max() > 0
        np.testing.assert_allclose(
            gradients[name], expected[name], rtol=1e-4, atol=1e-8
        )


def test_the_class_loss_alone_is_that_of_the_objective(suite):
    outputs, targets = random_batch(0, (0.4, 0.7))
    expected = float(objective_terms(outputs, **targets)["classes"])
    terms = {k: float(v) for k, v in suite.class_terms(outputs, **targets).items()}
    classes = pytest.approx(expected, rel=1e-5)
    assert terms == dict.fromkeys(TERMS, 0.0) | {"classes": classes}


def test_half_of_the_images_have_boxes_and_a_quarter_no_label(suite, options):
    images, targets = suite.make_batch(options(batch_size=8))
    assert images.shape == (8, 32, 32, 3)
    labels, tags = targets["labels"], targets["box_tags"]
    assert targets["masks"].shape == (8, 32, 32, suite.CLASSES)
    np.testing.assert_array_equal(labels.any(axis=1), [1, 1, 1, 0] * 2)
    np.testing.assert_array_equal(targets["annotated"], [1, 1, 0, 0] * 2)
    assert (tags <= labels).all()
    assert tags.any(axis=1).tolist() == targets["annotated"].astype(bool).tolist()


def test_outputs_are_those_of_a_network(suite, network, options):
    model = network(options())
    outputs = suite.make_outputs(model, 3)
    for name, like in model.output.items():
        assert outputs[name].shape == (3, *like.shape[1:])
    assert outputs["maps"].min() == 0
    assert 0.2 < (outputs["maps"] > 0.75).mean() < 0.3
    assert (outputs["refined_maps"] > 0).all()
    assert (outputs["refined_maps"] < 1).all()


def test_steps_train_by_the_objective_of_the_call(suite, network, options, changes):
    from kerasloc.training import objectives

    model, batch = network(options()), suite.make_batch(options())
    logs = []
    for objective in (objective_terms, suite.loop_terms, suite.class_terms):
        step = suite.training_step(model, batch, objective)
        before = model.get_weights()
        assert changes(lambda step=step: logs.append(step()), model.variables)
        model.set_weights(before)
    vectorized, loop, alone = logs
    assert vectorized["boxes_loss"] > 0
    for name in ("loss", *(f"{term}_loss" for term in TERMS)):
        assert loop[name] == pytest.approx(vectorized[name], rel=1e-4), name
    assert alone["loss"] == pytest.approx(vectorized["classes_loss"], rel=1e-4)
    assert alone["boxes_loss"] == 0
    assert objectives.objective_terms is objective_terms


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_the_network_is_ham(suite, options):
    model = suite.network(options())
    step = suite.training_step(model, suite.make_batch(options()), suite.loop_terms)
    assert model.name == "ham"
    assert model.output["maps"].shape == (None, 1, 1, suite.CLASSES)
    assert np.isfinite(step()["loss"])


def test_sections_share_a_step_of_the_same_sizes(suite, network, options):
    first = suite.built(options(), network)[2]
    assert first is suite.built(options(repeat=5), network)[2]
    images = suite.built(options(batch_size=2), network)[1][0]
    assert images.shape == (2, 32, 32, 3)


def test_training_compares_three_objectives(suite, network, options, comparisons):
    rows = suite.training(options(), network)
    alone, loop = "step, class loss alone", "step, loop over classes"
    assert {(row["section"], row["unit"]) for row in rows} == {("training", "images/s")}
    assert comparisons(rows) == [
        (alone, None, None),
        (loop, alone, None),
        ("step, ours", loop, None),
        ("step, ours", alone, 0.95),
    ]


def test_the_objective_is_compared_with_a_loop_and_with_a_step(
    suite, network, options, comparisons
):
    rows = suite.objective(options(), network, calls=1)
    assert {row["unit"] for row in rows} == {"ms/batch"}
    loop = "objective, loop over classes"
    assert comparisons(rows) == [
        ("training step", None, None),
        (loop, "training step", None),
        ("objective, ours", loop, None),
        ("objective, ours", "training step", 20.0),
    ]
    shares = np.divide(rows[0]["values"], rows[-1]["values"])
    assert rows[-1]["ratio"] == pytest.approx(np.median(shares))


def test_a_loop_with_different_numbers_is_not_measured(suite, network, options):
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        suite.objective(options(), network, suite.class_terms)


def test_the_loop_draws_the_masks_of_the_graph(suite, options):
    boxes = suite.padded_boxes(options(batch_size=40))
    expected = np.asarray(box_masks(boxes, (32, 32), suite.CLASSES))
    np.testing.assert_array_equal(suite.drawn_by_loop(boxes, (32, 32)), expected)
    np.testing.assert_array_equal(expected.any(axis=(1, 2, 3)), [1, 1, 0, 0] * 10)
    assert boxes.shape[1] > 1
    assert expected.any(axis=(0, 1, 2)).sum() > 4


def test_masks_are_compared_with_a_loop(suite, options, comparisons):
    loop = "loop over images and classes"
    expected = [(loop, None, None), ("in the graph", loop, None)]
    assert comparisons(suite.masks(options(), calls=1)) == expected
