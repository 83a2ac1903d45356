"""Objectives that couple outputs: HAM's terms and the explainer's loss."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasloc.data.decode import box_masks
from kerasloc.losses import explanation_loss
from kerasloc.metrics import auroc, tior, tiou
from kerasloc.models.ham import objective_terms
from kerasloc.runs import seeded
from kerasloc.training.configs import TERMS, ExplainerTraining, HamTraining
from kerasloc.training.objectives import (
    class_weights,
    compile_explainer,
    compile_ham,
    ham_target,
    schedule,
    weak_target,
)
from tests.training.squares import small_explaining

SIZE = (16, 16)
ALL = {f"{name}_loss" for name in TERMS}
EVEN = np.ones(2, "float32")


# HAM


def config(**changes):
    options = {"epochs": 1, "batch_size": 8, "learning_rate": 0.01}
    return HamTraining(**{**options, "augmentation": "none", **changes})


def batch(labels=None, boxed=(0, 1), seed=0):
    """Return four images, some with boxes, and the targets of the objective."""
    rng = np.random.default_rng(seed)
    images = rng.normal(size=(4, *SIZE, 3)).astype("float32")
    if labels is None:
        labels = [[1, 0, 0], [0, 1, 1], [1, 0, 1], [0, 0, 0]]
    labels = np.array(labels, "float32")
    if boxed is None:
        return images, {"labels": labels}
    tags = labels * np.isin(np.arange(4), boxed)[:, None]
    masks = np.zeros((4, *SIZE, 3), "float32")
    masks[:, 3:9, 5:12] = tags[:, None, None]
    tags = {"box_tags": tags, "annotated": tags.max(axis=1)}
    return images, {"labels": labels, "masks": masks, **tags}


@pytest.fixture
def make(small_ham):
    """Function from a configuration to an untrained network, plain and compiled."""

    def made(training=None, count=1):
        with seeded(1):
            model = small_ham((*SIZE, 3), 3)
            return model, compile_ham(model, training or config(), count)

    return made


def numbers(terms):
    return {f"{name}_loss": float(value) for name, value in terms.items()}


@pytest.mark.parametrize("step", ["train_on_batch", "test_on_batch"])
def test_every_term_is_logged_by_name_and_the_loss_is_their_weighted_sum(make, step):
    weights = dict(zip(TERMS, (0.3, 0.7, 0.11, 0.13, 0.17), strict=True))
    training = config(**{f"{name}_weight": w for name, w in weights.items()})
    model, trainer = make(training)
    x, y = batch()
    outputs = model(x, training=step == "train_on_batch")
    expected = numbers(objective_terms(outputs, **y))
    assert min(expected.values()) > 0
    logs = getattr(trainer, step)(x, y, return_dict=True)
    assert set(logs) == {"loss", "auroc", "tiou", "tior", *ALL}
    for name, value in expected.items():
        assert float(logs[name]) == pytest.approx(value, rel=1e-4), name
    total = sum(weights[name] * expected[f"{name}_loss"] for name in TERMS)
    assert float(logs["loss"]) == pytest.approx(total, rel=1e-4)


def test_scores_are_those_of_the_predictions(make):
    model, trainer = make()
    x, y = batch(labels=[[1, 0, 0], [0, 1, 1], [1, 0, 1], [0, 1, 0]])
    logs = trainer.test_on_batch(x, y, return_dict=True)
    outputs = model.predict(x, verbose=0)
    attended, masks = outputs["refined_maps"] >= np.float32(0.999), y["masks"] > 0
    assert float(logs["tiou"]) == pytest.approx(tiou(attended, masks)["mean"])
    assert float(logs["tior"]) == pytest.approx(tior(attended, masks)["mean"])
    exact = auroc(y["labels"], outputs["logits"])["macro"]
    assert float(logs["auroc"]) == pytest.approx(exact, abs=0.26)  # bins: half wins


def test_the_class_term_alone_is_plain_cross_entropy(make):
    zeros = {f"{name}_weight": 0.0 for name in TERMS if name != "classes"}
    training = config(**zeros, optimizer="sgd", weight_decay=0.0, learning_rate=0.1)
    model, trainer = make(training)
    start = model.get_weights()
    x, y = batch()
    logs = trainer.train_on_batch(x, y, return_dict=True)
    trained = model.get_weights()
    model.set_weights(start)
    plain = keras.Model(model.input, model.output["logits"])
    plain.compile(
        keras.optimizers.SGD(0.1, momentum=0.9),
        keras.losses.BinaryCrossentropy(from_logits=True),
    )
    loss = plain.train_on_batch(x, y["labels"], return_dict=True)["loss"]
    assert float(logs["loss"]) == pytest.approx(float(loss), rel=1e-5)
    moved = 0
    for before, after, expected in zip(
        start, trained, model.get_weights(), strict=True
    ):
        np.testing.assert_allclose(after, expected, atol=1e-6)
        moved += not np.array_equal(before, after)
    assert moved > 4


@pytest.mark.parametrize(
    ("labels", "boxed", "zero"),
    [
        (np.zeros((4, 3)), None, {"boxes_loss", "bounding_loss", "union_loss"}),
        (np.zeros((4, 3)), (), {"boxes_loss", "bounding_loss", "union_loss"}),
        ([[1, 0, 0], [1, 0, 1], [0, 0, 1], [0, 0, 0]], (0, 1), set()),
        (None, (), {"boxes_loss"}),
        (None, None, {"boxes_loss"}),
        ([[1, np.nan, 0], [0, 1, 1], [np.nan] * 3, [0, 0, 0]], (0, 1), set()),
    ],
    ids=["normal", "normal, no box", "a class absent", "no box", "labels", "unknown"],
)
def test_a_term_without_images_is_0_and_nothing_is_nan(make, labels, boxed, zero):
    model, trainer = make()
    x, y = batch(labels, boxed)
    y = {name: np.nan_to_num(v) if name != "labels" else v for name, v in y.items()}
    logs = trainer.train_on_batch(x, y, return_dict=True)
    assert {name for name in ALL if float(logs[name]) == 0} == zero
    assert all(np.isfinite(float(logs[name])) for name in (*ALL, "loss"))
    assert np.isnan(float(logs["tiou"])) == ("boxes_loss" in zero)
    assert all(np.isfinite(array).all() for array in model.get_weights())


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_steps_are_finite_and_losses_are_of_32_bits(small_ham, policy):
    keras.config.set_dtype_policy(policy)
    try:
        with seeded(1):
            model = small_ham((*SIZE, 3), 3)
            trainer = compile_ham(model, config(), 1)
        x, y = batch()
        outputs = model(x, training=True)
        assert {str(value.dtype) for value in outputs.values()} == {
            "<dtype: 'float32'>"
        }
        terms = objective_terms(outputs, **y)
        assert all("float32" in str(value.dtype) for value in terms.values())
        before = model.get_layer("cls_fc").kernel.numpy()
        for _ in range(2):
            logs = trainer.train_on_batch(x, y, return_dict=True)
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.get_layer("conv1").compute_dtype == policy.removeprefix("mixed_")
    assert all(np.isfinite(float(logs[name])) for name in (*ALL, "loss"))
    assert all(np.isfinite(array).all() for array in model.get_weights())
    assert not np.array_equal(before, model.get_layer("cls_fc").kernel.numpy())


# Targets


def test_targets_are_masks_of_boxes_or_those_of_files():
    boxes = np.zeros((2, 2, 5), "float32")
    boxes[..., 4] = -1
    boxes[0] = [[1, 2, 3, 4, 2], [5, 5, 4, 4, 2]]
    element = {"image": np.zeros((2, *SIZE, 3)), "labels": np.eye(3)[:2]}
    pair = ham_target(3, SIZE)
    _, labels_alone = pair(element)
    assert set(labels_alone) == {"labels"}
    masks = box_masks(boxes, SIZE, 3)
    for more in ({"boxes": boxes}, {"class_masks": masks, "boxes": 0 * boxes}):
        x, y = pair({**element, **more})
        assert x.shape == (2, *SIZE, 3)
        np.testing.assert_array_equal(y["masks"], masks)
        assert y["masks"].dtype == "float32"
        assert y["box_tags"].numpy().tolist() == [[0, 0, 1], [0, 0, 0]]
        assert y["annotated"].numpy().tolist() == [1, 0]


@pytest.mark.parametrize(
    ("options", "rates"),
    [
        ({}, {0: 1, 29: 1, 30: 0.1, 59: 0.1, 60: 0.01}),
        ({"decay_epochs": 2}, {5: 1, 6: 0.1, 11: 0.1, 12: 0.01}),
        (
            {"decay": "polynomial", "epochs": 10},
            {0: 1, 15: 0.5**0.9, 29: (1 / 30) ** 0.9, 30: 0, 40: 0},
        ),
        (
            {"decay": "polynomial", "epochs": 10, "decay_epochs": 20},
            {0: 1, 30: 0.5**0.9, 60: 0},
        ),
    ],
)
def test_the_rate_falls_by_its_decay(options, rates):
    made = schedule(config(**{"epochs": 99, **options, "learning_rate": 2e-5}), count=3)
    for step, share in rates.items():
        assert float(made(step)) == pytest.approx(2e-5 * share, abs=1e-12), step


def test_without_a_decay_the_rate_stays(make):
    assert schedule(config(decay="none"), 3) is None
    _, trainer = make(config(decay="none", learning_rate=0.02))
    trainer.train_on_batch(*batch())
    assert float(trainer.optimizer.learning_rate) == pytest.approx(0.02)


# The explainer-classifier


def compiled(alpha=0.5, weights=EVEN, **settings):
    """Return a small network with the loss of the last phase."""
    model = small_explaining((*SIZE, 3), 2)
    config = ExplainerTraining(alpha=alpha, **settings)
    phase = config.phases[2]
    return compile_explainer(model, config, phase, steps=1, weights=weights)


def predictions(count=4):
    """Return targets and outputs of images, of which two have masks."""
    rng = np.random.default_rng(5)
    masks = np.zeros((count, *SIZE, 1), "float32")
    masks[:2, 3:9, 5:12] = 1
    outputs = {
        "explanation": rng.uniform(0, 1, (count, *SIZE, 1)).astype("float32"),
        "logits": rng.normal(size=(count, 2)).astype("float32"),
    }
    labels = np.eye(2, dtype="float32")[[0, 1, 1, 1][:count]]
    as_tensors = keras.ops.convert_to_tensor
    targets = {"labels": as_tensors(labels), "masks": as_tensors(masks)}
    return targets, {name: as_tensors(value) for name, value in outputs.items()}


def entropies(y, outputs):
    return np.asarray(
        keras.losses.CategoricalCrossentropy(from_logits=True, reduction=None)(
            y["labels"], outputs["logits"]
        )
    )


def value(trainer, y, outputs):
    return float(trainer.compute_loss(None, y, outputs))


@pytest.mark.parametrize("loss", ["hybrid", "unsupervised"])
def test_with_alpha_0_the_loss_is_that_of_the_explanation(loss):
    y, outputs = predictions()
    options = {"beta": 0.7, "gamma": 0.3, "budget": 0.1}
    plain = np.asarray(explanation_loss(outputs["explanation"], **options))
    weak = np.asarray(explanation_loss(outputs["explanation"], y["masks"], **options))
    # the last two have no target
    expected = [*weak[:2], *plain[2:]] if loss == "hybrid" else plain
    assert value(compiled(0.0, loss=loss, **options), y, outputs) == pytest.approx(
        np.mean(expected), rel=1e-5
    )
    everywhere = weak if loss == "hybrid" else plain
    trainer = compiled(0.0, loss=loss, weak_everywhere=True, **options)
    assert value(trainer, y, outputs) == pytest.approx(everywhere.mean(), rel=1e-5)
    assert weak[2:].mean() > plain[2:].mean() + 0.1


def test_between_them_the_loss_is_their_mixture_and_terms_are_logged():
    y, outputs = predictions()
    trainer = compiled(0.25)
    mixed = value(trainer, y, outputs)
    entropy, drawn, marked = (
        float(tracker.result()) for tracker in trainer.trackers.values()
    )
    assert mixed == pytest.approx(0.25 * entropy + 0.75 * drawn, rel=1e-5)
    assert value(compiled(1.0), y, outputs) == pytest.approx(entropy, rel=1e-5)
    assert entropy == pytest.approx(entropies(y, outputs).mean(), rel=1e-5)
    expected = np.asarray(outputs["explanation"]).mean()
    assert marked == pytest.approx(expected, rel=1e-5)
    names = ["classification_loss", "explanation_loss", "explanation_mean"]
    assert [tracker.name for tracker in trainer.trackers.values()] == names


def test_weights_of_classes_weigh_the_cross_entropy_alone():
    y, outputs = predictions()
    weights = np.array([1.6, 0.8], "float32")
    expected = (entropies(y, outputs) * [1.6, 0.8, 0.8, 0.8]).mean()
    assert value(compiled(1.0, weights), y, outputs) == pytest.approx(
        expected, rel=1e-5
    )
    assert value(compiled(0.0, weights), y, outputs) == value(compiled(0.0), y, outputs)


def test_empty_masks_are_no_target_and_full_ones_cost_nothing():
    y, outputs = predictions()
    plain = np.asarray(explanation_loss(outputs["explanation"])).mean()
    trainer = compiled(0.0)
    for fill in (0.0, 1.0):
        masks = keras.ops.full((4, *SIZE, 1), fill)
        loss_value = value(trainer, {**y, "masks": masks}, outputs)
        assert loss_value == pytest.approx(plain, rel=1e-5)
    without = {"labels": y["labels"]}
    assert value(trainer, without, outputs) == pytest.approx(plain, rel=1e-5)


def test_a_batch_of_one_trains():
    trainer = compiled(0.5)
    before = trainer.get_weights()
    y, _ = predictions(1)
    x = np.random.default_rng(1).uniform(size=(1, *SIZE, 3)).astype("float32")
    logs = trainer.train_on_batch(x, y, return_dict=True)
    assert all(np.isfinite(list(map(float, logs.values()))))
    assert set(logs) == {
        *(tracker.name for tracker in trainer.trackers.values()),
        "accuracy",
        "loss",
    }
    assert all(np.isfinite(array).all() for array in trainer.get_weights())
    assert not np.array_equal(before[0], trainer.get_weights()[0])


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        (None, [1, 1]),
        ("balanced", [2, 2 / 3]),
        ([3, 1], [2, 2 / 3]),
        ((1.0, 1.0), [1, 1]),
    ],
)
def test_weights_of_classes_are_1_on_average(weights, expected):
    labels = np.eye(2)[[0, 1, 1, 1]]
    values = class_weights(weights, labels)
    assert values == pytest.approx(expected)
    assert (labels @ values).mean() == pytest.approx(1)


@pytest.mark.parametrize(
    ("weights", "rows", "text"),
    [
        ("balance", [0, 1], "class_weights.*'balance'"),
        ("balanced", [1, 1], r"'balanced' and \[0. 2.\]"),
        ([1.0], [0, 1], "one class weight above 0 for each of the 2 classes"),
        ([1.0, 2.0, 3.0], [0, 1], "for each of the 2 classes"),
        ([1.0, 0.0], [0, 1], "above 0 for each"),
        ([1.0, -1.0], [0, 1], "above 0 for each"),
        ([1.0, float("nan")], [0, 1], "above 0 for each"),
    ],
)
def test_wrong_weights_of_classes_are_refused(weights, rows, text):
    with pytest.raises(ValueError, match=text):
        class_weights(weights, np.eye(2)[rows])


def test_boxes_of_all_classes_are_targets_where_there_are_no_masks():
    boxes = np.zeros((3, 2, 5), "float32")
    boxes[..., 4] = -1
    boxes[0] = [[4, 2, 8, 8, 1], [0, 0, 2, 3, 0]]
    boxes[1, 0] = [4, 2, 8, 8, 0]
    element = {"image": 0, "labels": EVEN, "boxes": tf.constant(boxes)}
    masks = weak_target(SIZE)(element)[1]["masks"].numpy()
    assert masks.shape == (3, *SIZE, 1)
    assert masks.sum(axis=(1, 2, 3)).tolist() == [70, 64, 0]
    assert masks[1, 2:10, 4:12].all()
