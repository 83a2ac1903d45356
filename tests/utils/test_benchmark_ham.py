import importlib.util
import pathlib
import types

import numpy as np
import pytest

SCRIPT = pathlib.Path(__file__).parents[2] / "utils" / "benchmark.py"
TERMS = ("abnormality", "classes", "boxes", "bounding", "union")


@pytest.fixture(scope="module")
def suite():
    spec = importlib.util.spec_from_file_location("benchmark", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.SUITES["ham"]


def options(**given):
    tiny = {
        "repeat": 2,
        "backbone": "resnet18",
        "downsampling": 32,
        "im_size": 32,
        "batch_size": 4,
    }
    return types.SimpleNamespace(**{**tiny, **given})


@pytest.fixture
def small(suite, monkeypatch, eager):
    """The network is a convolution with the outputs of HAM; nothing is compiled."""
    import keras
    import tensorflow as tf
    from keras import ops

    def network(given):
        image = keras.Input((given.im_size, given.im_size, 3))
        maps = keras.layers.Conv2D(suite.CLASSES + 1, 8, 8, activation="relu")(image)
        refined = ops.sigmoid(ops.repeat(ops.repeat(maps, 8, axis=1), 8, axis=2))
        logits = keras.layers.GlobalMaxPooling2D()(maps)
        outputs = {"logits": logits, "maps": maps, "refined_maps": refined}
        split = {f"abnormality_{k}": v[..., -1:] for k, v in outputs.items()}
        classes = {name: value[..., :-1] for name, value in outputs.items()}
        return keras.Model(image, classes | split)

    monkeypatch.setattr(suite, "network", network)
    monkeypatch.setattr(suite, "CALLS", 1)
    monkeypatch.setattr(suite, "CLASSES", 8)  # as many as there are boxes of
    tf.config.run_functions_eagerly(True)
    yield network
    tf.config.run_functions_eagerly(False)


def check(rows):
    """Every row has two rounds of positive numbers, and a ratio if it says of what."""
    for row in rows:
        assert len(row["values"]) == 2
        assert min(row["values"]) > 0
        assert ("ratio" in row) == ("against" in row)
        assert row.get("ratio", 1) > 0


def lines(rows):
    return [(row["name"], row.get("against"), row.get("aim")) for row in rows]


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
        {name: value.astype("float32") for name, value in part.items()}
        for part in (outputs, targets)
    )


@pytest.mark.parametrize("chances", [(0.4, 0.7), (0.2, 0.2), (0.4, 0), (0, 0), (1, 1)])
@pytest.mark.parametrize("seed", range(3))
def test_the_loop_gives_every_term_of_the_objective(suite, seed, chances):
    from kerasloc.models.ham import objective_terms

    outputs, targets = random_batch(seed, chances)
    expected = objective_terms(outputs, **targets)
    found = suite.loop_terms(outputs, **targets)
    assert tuple(expected) == tuple(found) == TERMS
    for name, value in expected.items():
        assert float(found[name]) == pytest.approx(float(value), rel=1e-5), name


def test_the_loop_gives_the_gradients_of_the_objective(suite):
    from kerasloc.models.ham import objective_terms

    given = random_batch(0, (0.4, 0.7))
    total, expected = suite.gradients(objective_terms, *given)()
    again, found = suite.gradients(suite.loop_terms, *given)()
    assert float(again) == pytest.approx(float(total))
    reached = {name for name, gradient in expected.items() if gradient is not None}
    assert reached == set(expected) - {"abnormality_refined_maps"}
    for name in reached:
        assert np.abs(expected[name]).max() > 0
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-4, atol=1e-8)


def test_the_class_loss_alone_is_that_of_the_objective(suite):
    from kerasloc.models.ham import objective_terms

    outputs, targets = random_batch(0, (0.4, 0.7))
    expected = float(objective_terms(outputs, **targets)["classes"])
    found = {k: float(v) for k, v in suite.class_terms(outputs, **targets).items()}
    classes = pytest.approx(expected, rel=1e-5)
    assert found == dict.fromkeys(TERMS, 0.0) | {"classes": classes}


def test_some_images_have_boxes_and_some_have_nothing(suite):
    images, targets = suite.make_batch(options(batch_size=8))
    assert images.shape == (8, 32, 32, 3)
    labels, tags = targets["labels"], targets["box_tags"]
    assert targets["masks"].shape == (8, 32, 32, suite.CLASSES)
    np.testing.assert_array_equal(labels.any(axis=1), [1, 1, 1, 0] * 2)
    np.testing.assert_array_equal(targets["annotated"], [1, 1, 0, 0] * 2)
    assert (tags <= labels).all()
    assert tags.any(axis=1).tolist() == targets["annotated"].astype(bool).tolist()


def test_outputs_are_as_a_network_has_them(suite, small):
    model = small(options())
    outputs = suite.make_outputs(model, 3)
    for name, like in model.output.items():
        assert outputs[name].shape == (3, *like.shape[1:])
    assert outputs["maps"].min() == 0
    assert 0.2 < (outputs["maps"] > 0.75).mean() < 0.3
    assert (outputs["refined_maps"] > 0).all()
    assert (outputs["refined_maps"] < 1).all()


def test_steps_train_by_the_objective_they_are_given(suite, small):
    from kerasloc.models.ham import objective_terms
    from kerasloc.training import ham

    model, batch = small(options()), suite.make_batch(options())
    logs = {}
    for objective in (objective_terms, suite.loop_terms, suite.class_terms):
        step = suite.training_step(model, batch, objective)
        before = model.get_weights()
        logs[objective] = step()
        after = model.get_weights()
        assert any(
            not np.array_equal(*pair) for pair in zip(before, after, strict=True)
        )
        model.set_weights(before)
    ours, loop, alone = logs.values()
    assert ours["boxes_loss"] > 0
    for name in ("loss", *(f"{term}_loss" for term in TERMS)):
        assert loop[name] == pytest.approx(ours[name], rel=1e-4), name
    assert alone["loss"] == pytest.approx(ours["classes_loss"], rel=1e-4)
    assert alone["boxes_loss"] == 0
    assert ham.objective_terms is objective_terms


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_the_network_is_ham(suite):
    model = suite.network(options())
    step = suite.training_step(model, suite.make_batch(options()), suite.loop_terms)
    assert model.name == "ham"
    assert model.output["maps"].shape == (None, 1, 1, suite.CLASSES)
    assert np.isfinite(step()["loss"])


def test_sections_share_a_step_of_the_same_sizes(suite, small):
    assert suite.built(options())[2] is suite.built(options(repeat=5))[2]
    assert suite.built(options(batch_size=2))[1][0].shape == (2, 32, 32, 3)


@pytest.mark.usefixtures("small")
def test_training_compares_three_objectives(suite):
    rows = suite.training(options())
    check(rows)
    assert {(row["section"], row["unit"]) for row in rows} == {("training", "images/s")}
    assert lines(rows) == [
        ("step, class loss alone", None, None),
        ("step, loop over classes", "step, class loss alone", None),
        ("step, ours", "step, loop over classes", None),
        ("step, ours", "step, class loss alone", 0.95),
    ]


@pytest.mark.usefixtures("small")
def test_the_objective_is_compared_with_a_loop_and_with_a_step(suite):
    rows = suite.objective(options())
    check(rows)
    assert {row["unit"] for row in rows} == {"ms/batch"}
    assert lines(rows) == [
        ("training step", None, None),
        ("objective, loop over classes", "training step", None),
        ("objective, ours", "objective, loop over classes", None),
        ("objective, ours", "training step", 20.0),
    ]
    step, _, _, ours = rows
    shares = np.divide(step["values"], ours["values"])
    assert ours["ratio"] == pytest.approx(np.median(shares))


@pytest.mark.usefixtures("small")
def test_a_loop_with_other_numbers_is_not_measured(suite, monkeypatch):
    monkeypatch.setattr(suite, "loop_terms", suite.class_terms)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        suite.objective(options())


def test_the_loop_draws_the_masks_of_the_graph(suite):
    from kerasloc.data.masks import box_masks

    boxes = suite.padded_boxes(options(batch_size=40, im_size=32))
    expected = np.asarray(box_masks(boxes, (32, 32), suite.CLASSES))
    np.testing.assert_array_equal(suite.drawn_by_loop(boxes, (32, 32)), expected)
    np.testing.assert_array_equal(expected.any(axis=(1, 2, 3)), [1, 1, 0, 0] * 10)
    assert boxes.shape[1] > 1
    assert expected.any(axis=(0, 1, 2)).sum() > 4


def test_masks_are_compared_with_a_loop(suite):
    rows = suite.masks(options())
    check(rows)
    loop, ours = "loop over images and classes", "in the graph"
    assert lines(rows) == [(loop, None, None), (ours, loop, None)]
