"""The explainer-classifier's loss, its weak masks, and what it does not take."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from kerasloc.configs import NetworkConfig
from kerasloc.data.pipeline import batches
from kerasloc.data.table import Table
from kerasloc.losses import explanation_loss
from kerasloc.runs import Run
from kerasloc.training import explainer
from kerasloc.training.configs import ExplainerTraining
from kerasloc.training.explainer import class_weights, explainer_network, weak_target
from kerasloc.training.feeds import feed

SIZE = (16, 16)
EVEN = np.ones(2, "float32")


@pytest.fixture
def make(squares):
    """Function from alpha, weights of the classes and settings to a trainer."""

    def made(alpha=0.5, weights=EVEN, **settings):
        model = explainer.explainer_classifier((*SIZE, 3), 2)
        config = ExplainerTraining(alpha=alpha, **settings)
        return explainer.explainer_trainer(
            model, config, (config.phases[2], 1, weights)
        )

    return made


def answers(count=4):
    """What a network could have answered, and its targets; two images have masks."""
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


# The loss


def test_with_alpha_1_it_is_plain_cross_entropy(make):
    y, outputs = answers()
    expected = entropies(y, outputs).mean()
    assert value(make(1.0), y, outputs) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("loss", ["hybrid", "unsupervised"])
def test_with_alpha_0_it_is_the_loss_of_the_explanation(make, loss):
    y, outputs = answers()
    own = {"beta": 0.7, "gamma": 0.3, "budget": 0.1}
    plain = np.asarray(explanation_loss(outputs["explanation"], **own))
    weak = np.asarray(explanation_loss(outputs["explanation"], y["masks"], **own))
    # the last two have no target
    expected = [*weak[:2], *plain[2:]] if loss == "hybrid" else plain
    assert value(make(0.0, loss=loss, **own), y, outputs) == pytest.approx(
        np.mean(expected), rel=1e-5
    )
    everywhere = weak if loss == "hybrid" else plain
    found = value(make(0.0, loss=loss, weak_everywhere=True, **own), y, outputs)
    assert found == pytest.approx(everywhere.mean(), rel=1e-5)
    assert weak[2:].mean() > plain[2:].mean() + 0.1


def test_between_them_it_is_their_mixture_and_terms_are_logged(make):
    y, outputs = answers()
    trainer = make(0.25)
    mixed = value(trainer, y, outputs)
    entropy, drawn, marked = (float(one.result()) for one in trainer.trackers.values())
    assert mixed == pytest.approx(0.25 * entropy + 0.75 * drawn, rel=1e-5)
    assert entropy == pytest.approx(entropies(y, outputs).mean(), rel=1e-5)
    expected = np.asarray(outputs["explanation"]).mean()
    assert marked == pytest.approx(expected, rel=1e-5)
    names = ["classification_loss", "explanation_loss", "explanation_mean"]
    assert [one.name for one in trainer.trackers.values()] == names


def test_weights_of_classes_weigh_the_cross_entropy_alone(make):
    y, outputs = answers()
    weights = np.array([1.6, 0.8], "float32")
    expected = (entropies(y, outputs) * [1.6, 0.8, 0.8, 0.8]).mean()
    assert value(make(1.0, weights), y, outputs) == pytest.approx(expected, rel=1e-5)
    assert value(make(0.0, weights), y, outputs) == value(make(0.0), y, outputs)


def test_empty_masks_are_no_target_and_full_ones_cost_nothing(make):
    y, outputs = answers()
    plain = np.asarray(explanation_loss(outputs["explanation"])).mean()
    trainer = make(0.0)
    for fill in (0.0, 1.0):
        masks = keras.ops.full((4, *SIZE, 1), fill)
        found = value(trainer, {**y, "masks": masks}, outputs)
        assert found == pytest.approx(plain, rel=1e-5)
    without = {"labels": y["labels"]}
    assert value(trainer, without, outputs) == pytest.approx(plain, rel=1e-5)


def test_a_batch_of_one_trains(make):
    trainer = make(0.5)
    before = trainer.get_weights()
    y, _ = answers(1)
    x = np.random.default_rng(1).uniform(size=(1, *SIZE, 3)).astype("float32")
    logs = trainer.train_on_batch(x, y, return_dict=True)
    assert all(np.isfinite(list(map(float, logs.values()))))
    assert set(logs) == {
        *(one.name for one in trainer.trackers.values()),
        "accuracy",
        "loss",
    }
    assert all(np.isfinite(array).all() for array in trainer.get_weights())
    assert not np.array_equal(before[0], trainer.get_weights()[0])


# Weights of the classes


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (None, [1, 1]),
        ("balanced", [2, 2 / 3]),
        ([3, 1], [2, 2 / 3]),
        ((1.0, 1.0), [1, 1]),
    ],
)
def test_weights_of_classes_are_1_on_average(wanted, expected):
    labels = np.eye(2)[[0, 1, 1, 1]]
    found = class_weights(wanted, labels)
    assert found == pytest.approx(expected)
    assert (labels @ found).mean() == pytest.approx(1)


@pytest.mark.parametrize(
    ("wanted", "rows", "text"),
    [
        ("balance", [0, 1], r"'balanced' .*or one weight per class.*'balance'"),
        ("balanced", [1, 1], r"with images of every class.*\[0. 2.\] images"),
        ([1.0], [0, 1], "one class weight above 0 for each of the 2 classes"),
        ([1.0, 2.0, 3.0], [0, 1], "for each of the 2 classes"),
        ([1.0, 0.0], [0, 1], "above 0 for each"),
        ([1.0, -1.0], [0, 1], "above 0 for each"),
        ([1.0, float("nan")], [0, 1], "above 0 for each"),
    ],
)
def test_wrong_weights_of_classes_are_refused(wanted, rows, text):
    with pytest.raises(ValueError, match=text):
        class_weights(wanted, np.eye(2)[rows])


# Weak masks


@pytest.fixture
def files(tmp_path):
    """A table of four images of 16 pixels, the first with a mask of 8 x 8 of them."""
    paths = [str(tmp_path / f"{row}.png") for row in range(4)]
    for path in paths:
        Image.new("RGB", SIZE).save(path)
    mask = np.zeros(SIZE, np.uint8)
    mask[2:10, 4:12] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    return Table(
        paths,
        ("a", "b"),
        np.eye(2)[[0, 1, 0, 1]],
        masks=[str(tmp_path / "mask.png"), "", "", ""],
    )


def prepared(train, val, **settings):
    """The feed of both tables."""
    network = NetworkConfig("explainer", ("a", "b"), SIZE)
    config = ExplainerTraining(augmentation="none", **settings)
    fed = feed({"train": train, "val": val}, network, config)
    return explainer._prepared(fed, network, config)


def fields_of(train, **settings):
    return prepared(train, train, **settings)["train_config"].fields


def test_masks_of_files_are_the_targets(files):
    fed = prepared(files, files.subset([1, 2]))
    data = batches(fed["train"], fed["train_config"]).map(fed["target"])
    _, targets = next(iter(data))
    masks = targets["masks"].numpy()
    assert masks.shape == (4, *SIZE, 1)
    assert masks.sum(axis=(1, 2, 3)).tolist() == [64, 0, 0, 0]
    assert masks[0, 2:10, 4:12].all()
    np.testing.assert_array_equal(targets["labels"], files.labels)
    assert fed["val_config"].fields == ("image", "labels")  # none of these has one


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


def test_what_the_loss_needs_is_read(files):
    boxed = dataclasses.replace(files, masks=None, boxes=[[0, 1, 1, 4, 4, 0]])
    assert fields_of(files) == ("image", "labels", "mask")
    assert fields_of(boxed) == ("image", "labels", "boxes")
    assert fields_of(files, loss="unsupervised") == ("image", "labels")


# Refusals


def test_the_hybrid_loss_needs_masks_or_boxes(files, tmp_path):
    bare = dataclasses.replace(files, masks=None)
    network = NetworkConfig("explainer", ("a", "b"), SIZE)
    config = ExplainerTraining(augmentation="none")
    tables = {"train": bare, "val": files}
    with (
        Run(tmp_path / "run", {}) as run,
        pytest.raises(ValueError, match=r"masks or boxes.*--loss unsupervised"),
    ):
        explainer.train_explainer(run, tables, network, config)
    assert "mask" not in fields_of(bare, loss="unsupervised")


VALUES = {"im_size": 16, "channels": 3}


def test_one_class_is_refused():
    table = Table(["a.png"], ("only",), [[1]])
    with pytest.raises(ValueError, match=r"two classes or more.*Received: only"):
        explainer_network(table, VALUES)


@pytest.mark.parametrize("labels", [[1, 1], [0, 0], [1, np.nan]])
def test_an_image_has_exactly_one_class(labels):
    table = Table(["a.png", "b.png"], ("a", "b"), [[1, 0], labels])
    with pytest.raises(ValueError, match=r"exactly one class each.*--classes A B"):
        explainer_network(table, VALUES)


def test_the_network_is_that_of_the_options():
    names = ("très grand", "pas là")
    table = Table(["a.png", "b.png"], names, np.eye(2))
    network = explainer_network(
        table, {**VALUES, "classifier": "vgg", "init_bias": 1.0}
    )
    assert (network.family, network.class_names) == ("explainer", names)
    assert network.options == {"classifier": "vgg", "init_bias": 1.0}
    assert (network.im_size, network.multi_label) == (SIZE, False)
    assert (network.mean, network.std) == ((0,), (1,))
    normal = explainer_network(table, {**VALUES, "mean": (0.5,), "std": (0.2,)})
    assert (normal.mean, normal.std) == ((0.5,), (0.2,))
