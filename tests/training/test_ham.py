"""HAM's training: its objective, what is logged, what is kept, how it goes on."""

import dataclasses

import keras
import numpy as np
import pytest

from kerasloc.configs import NetworkConfig
from kerasloc.data.config import DataConfig, training_tables
from kerasloc.data.masks import box_masks
from kerasloc.data.pipeline import training_batches
from kerasloc.models.ham import objective_terms
from kerasloc.runs import Run, seeded
from kerasloc.training import ham
from kerasloc.training.configs import TERMS, HamTraining
from kerasloc.training.ham import ham_trainer, schedule, target, train_ham

NAMES = ("circle", "star_3_1", "star_5_2")
SIZE = (16, 16)
ALL = {f"{name}_loss" for name in TERMS}


def network(**options):
    options = {"backbone": "resnet18", **options}
    return NetworkConfig("ham", NAMES, (32, 32), options=options, multi_label=True)


def config(**changes):
    how = {"epochs": 1, "batch_size": 8, "learning_rate": 0.01, "augmentation": "none"}
    return HamTraining(**{**how, **changes})


def batch(labels=None, boxed=(0, 1), seed=0):
    """Four images, and the targets of the objective; boxes on some of them."""
    rng = np.random.default_rng(seed)
    images = rng.normal(size=(4, *SIZE, 3)).astype("float32")
    if labels is None:
        labels = [[1, 0, 0], [0, 1, 1], [1, 0, 1], [0, 0, 0]]
    labels = np.array(labels, "float32")
    if boxed is None:
        return images, {"labels": labels}
    there = labels * np.isin(np.arange(4), boxed)[:, None]
    masks = np.zeros((4, *SIZE, 3), "float32")
    masks[:, 3:9, 5:12] = there[:, None, None]
    tags = {"box_tags": there, "annotated": there.max(axis=1)}
    return images, {"labels": labels, "masks": masks, **tags}


@pytest.fixture
def make(small_ham):
    """Function from a configuration to an untrained network and its trainer."""

    def made(training=None, count=1):
        with seeded(1):
            model = small_ham((*SIZE, 3), 3)
            return model, ham_trainer(model, training or config(), count)

    return made


@pytest.fixture
def tables(several):
    return training_tables(DataConfig(str(several), dataset="csv"))


def without_boxes(table):
    return dataclasses.replace(table, boxes=None)


def numbers(terms):
    return {f"{name}_loss": float(value) for name, value in terms.items()}


# The objective


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


def test_scores_are_those_of_the_answers(make):
    from kerasloc.metrics import auroc, tior, tiou

    model, trainer = make()
    x, y = batch(labels=[[1, 0, 0], [0, 1, 1], [1, 0, 1], [0, 1, 0]])
    logs = trainer.test_on_batch(x, y, return_dict=True)
    outputs = model.predict(x, verbose=0)
    attended, masks = outputs["refined_maps"] >= np.float32(0.999), y["masks"] > 0
    assert float(logs["tiou"]) == pytest.approx(tiou(attended, masks)["mean"])
    assert float(logs["tior"]) == pytest.approx(tior(attended, masks)["mean"])
    exact = auroc(y["labels"], outputs["logits"])["macro"]
    assert float(logs["auroc"]) == pytest.approx(exact, abs=0.26)  # bins: half wins


def test_with_all_other_weights_0_it_is_plain_cross_entropy(make):
    others = {f"{name}_weight": 0.0 for name in TERMS if name != "classes"}
    training = config(**others, optimizer="sgd", weight_decay=0.0, learning_rate=0.1)
    model, trainer = make(training)
    start = model.get_weights()
    x, y = batch()
    logs = trainer.train_on_batch(x, y, return_dict=True)
    found = model.get_weights()
    model.set_weights(start)
    plain = keras.Model(model.input, model.output["logits"])
    plain.compile(
        keras.optimizers.SGD(0.1, momentum=0.9),
        keras.losses.BinaryCrossentropy(from_logits=True),
    )
    loss = plain.train_on_batch(x, y["labels"], return_dict=True)["loss"]
    assert float(logs["loss"]) == pytest.approx(float(loss), rel=1e-5)
    moved = 0
    for before, own, expected in zip(start, found, model.get_weights(), strict=True):
        np.testing.assert_allclose(own, expected, atol=1e-6)
        moved += not np.array_equal(before, own)
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
def test_what_nothing_in_a_batch_qualifies_for_is_0_and_nothing_is_nan(
    make, labels, boxed, zero
):
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
            trainer = ham_trainer(model, config(), 1)
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


def test_targets_are_of_the_boxes_or_of_the_masks_that_were_made_of_them():
    boxes = np.zeros((2, 2, 5), "float32")
    boxes[..., 4] = -1
    boxes[0] = [[1, 2, 3, 4, 2], [5, 5, 4, 4, 2]]
    element = {"image": np.zeros((2, *SIZE, 3)), "labels": np.eye(3)[:2]}
    pair = target(3, SIZE)
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


@pytest.fixture
def fed(monkeypatch, small_ham, tmp_path):
    """Function that starts a training and gives what the fit would be fed."""
    seen = {}

    def fit(run, trainer, model, fed, settings):
        seen.update(fed, settings=settings)
        return []

    monkeypatch.setattr(ham, "fit", fit)
    monkeypatch.setattr(ham, "keep_best", lambda *_: None)

    def begin(tables, **changes):
        with Run(tmp_path / "run", {"network": vars(network())}) as run:
            train_ham(run, tables, network(), config(**changes))
        return seen

    return begin


def counts(table, own, weights, epochs):
    """How often each image is drawn in some epochs."""
    own = dataclasses.replace(own, fields=("index",), batch_size=len(table))
    data = training_batches(table, own, weights=weights)
    drawn = np.concatenate([e["index"].numpy() for e in data.take(epochs)])
    return np.bincount(drawn, minlength=len(table))


def test_images_with_boxes_are_drawn_as_often_as_they_weigh(fed, tables):
    train = tables["train"]
    boxed = np.isin(np.arange(len(train)), train.boxes[:, 0])
    few = np.isin(train.boxes[:, 0], np.flatnonzero(boxed)[:6])
    train = dataclasses.replace(train, boxes=train.boxes[few])
    tables = {**tables, "train": train}
    boxed = np.isin(np.arange(len(train)), train.boxes[:, 0])
    assert boxed.sum() == 6
    seen = fed(tables, annotated_weight=4.0)
    np.testing.assert_array_equal(seen["weights"], np.where(boxed, 4.0, 1.0))
    drawn = counts(train, seen["train_config"], seen["weights"], 12)
    assert drawn.sum() == 12 * len(train)
    # 24 of 38: three standard deviations of 240 draws are 0.093
    assert drawn[boxed].sum() / drawn.sum() == pytest.approx(24 / 38, abs=0.093)
    seen.clear()
    seen = fed(tables, annotated_weight=1.0)
    once = counts(train, seen["train_config"], seen.get("weights"), 1)
    assert once.tolist() == [1] * len(train)


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("val", [True, False])
def test_only_images_of_tables_with_boxes_bring_masks(fed, tables, train, val):
    given = {
        name: tables[name] if boxed else without_boxes(tables[name])
        for name, boxed in (("train", train), ("val", val))
    }
    seen = fed(given)
    for name, boxed in (("train", train), ("val", val)):
        fields = seen[f"{name}_config"].fields
        assert fields == (
            ("image", "labels", "boxes") if boxed else ("image", "labels")
        )
    assert len(seen["settings"]["kept"]) == (3 if val else 0)
    assert seen["settings"]["monitor"] == ("val_auroc", "max")
    assert seen["settings"]["plateau"] is None


def test_refined_masks_stand_for_the_boxes_of_training_images(
    fed, tables, tmp_path, monkeypatch
):
    from kerasloc.data import crf

    asked = []

    def crf_masks(table, folder):
        asked.append((table, folder))
        return {2: folder / "two.png", 5: folder / "five.png"}

    monkeypatch.setattr(crf, "crf_masks", crf_masks)
    seen = fed(tables, crf=True)
    ((table, folder),) = asked
    assert table is tables["train"]  # no mask of a validation image is made
    assert folder == tmp_path / "run" / "masks"
    masks = seen["train"].masks.tolist()
    assert {row: path for row, path in enumerate(masks) if path} == {
        2: str(folder / "two.png"),
        5: str(folder / "five.png"),
    }
    assert seen["train_config"].fields == ("image", "labels", "class_masks")
    assert seen["val_config"].fields == ("image", "labels", "boxes")
    asked.clear()
    plain = {**tables, "train": without_boxes(tables["train"])}
    assert fed(plain, crf=True)["train_config"].fields == ("image", "labels")
    assert not asked


@pytest.mark.parametrize("select", ["tiou", "tior"])
def test_without_boxes_on_validation_images_nothing_is_selected_by_them(
    fed, tables, select
):
    assert fed(tables, select=select)["settings"]["monitor"][0] == f"val_{select}"
    tables["val"] = without_boxes(tables["val"])
    with pytest.raises(
        ValueError, match=rf"by {select} are.*none. Give --select auroc"
    ):
        fed(tables, select=select)


# Learning rate


@pytest.mark.parametrize(
    ("how", "rates"),
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
def test_the_rate_falls_as_asked(how, rates):
    made = schedule(config(**{"epochs": 99, **how, "learning_rate": 2e-5}), count=3)
    for step, share in rates.items():
        assert float(made(step)) == pytest.approx(2e-5 * share, abs=1e-12), step


def test_without_a_decay_the_rate_stays(make):
    assert schedule(config(decay="none"), 3) is None
    _, trainer = make(config(decay="none", learning_rate=0.02))
    trainer.train_on_batch(*batch())
    assert float(trainer.optimizer.learning_rate) == pytest.approx(0.02)
