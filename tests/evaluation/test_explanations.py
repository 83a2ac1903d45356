"""Measurements of an explainer-classifier, compared with the same by hand."""

import json
import types

import keras
import numpy as np
import pytest

from kerasloc.data import config as data_config
from kerasloc.data.samples import load_image
from kerasloc.data.synthetic import PolygonConfig, other_masks, write_polygons
from kerasloc.evaluation import EvaluationConfig
from kerasloc.evaluation.explanations import (
    LossTerm,
    distractor_masks,
    evaluate_explainer,
)
from kerasloc.io import read_csv as read
from kerasloc.losses import explanation_loss
from kerasloc.metrics import AopcConfig, aopc, morf_curves
from kerasloc.runs import read_config

NAMES = ("absent", "present")
TRAINING = {"loss": "hybrid", "beta": 0.8, "gamma": 0.5, "budget": 0.1}
FIGURES = {"roc.png", "precision-recall.png", "morf.png", "confusion.png"}


def small_explainer(input_shape, classes, classifier="resnet18", *, bias=0.0):
    """The explanation is the first channel of the image, shifted."""
    layers = keras.layers
    image = keras.Input(input_shape)
    one = {
        "kernel_initializer": "ones",
        "bias_initializer": keras.initializers.Constant(bias),
    }
    first = layers.Conv2D(1, 1, **one, name="explainer_first")(image)
    explanation = layers.ReLU(1.0, name="explanation")(first / 3)
    x = layers.Conv2D(4, 5, strides=4, activation="relu", name="conv1")(image)
    x = layers.Multiply(name="x_explained")(
        [x, layers.Resizing(*x.shape[1:3])(explanation)]
    )
    x = layers.GlobalAveragePooling2D()(x)
    logits = layers.Dense(classes, name="fc")(x)
    return keras.Model(image, {"explanation": explanation, "logits": logits})


@pytest.fixture(scope="module")
def polygons(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "polygons"
    return write_polygons(folder, PolygonConfig(size=32, train=2, val=2, test=(3, 4)))


@pytest.fixture(scope="module")
def run(polygons, tmp_path_factory, registered_as):
    """Function that leaves a run whose explanations are shifted."""

    def leave(bias=0.0):
        folder = tmp_path_factory.mktemp("run")
        network = {"family": "explainer", "class_names": NAMES, "im_size": (32, 32)}
        network |= {"options": {"bias": bias}, "mean": (0.1,), "std": (2.0,)}
        data = {"data_dir": str(polygons), "dataset": "folders"}
        config = {"network": network, "data": data, "training": TRAINING}
        (folder / "config.json").write_text(json.dumps(config))
        keras.utils.set_random_seed(0)
        model = small_explainer((32, 32, 3), 2, bias=bias)
        model.save_weights(folder / "best.weights.h5")
        return folder, model

    with registered_as("explainer", small_explainer):
        yield leave


@pytest.fixture(scope="module")
def evaluated(run):
    """The folder, the rows by quantity, and everything by hand."""
    folder, model = run(bias=0.1)
    config = EvaluationConfig(aopc_images=2, batch_size=4)
    rows = evaluate_explainer(folder, config).rows
    data = data_config.DataConfig(**read_config(folder)["data"])
    table = data_config.evaluation_table(data, "test", NAMES)
    images = np.stack([load_image(path, (32, 32), 3) for path in table.paths])
    others = distractor_masks(table, data.data_dir)
    masks = [
        [np.zeros((32, 32), bool) if path == "" else read_mask(path) for path in paths]
        for paths in (table.masks, others)
    ]
    outputs = model((images - 0.1) / 2.0)
    return types.SimpleNamespace(
        folder=folder,
        rows={row["quantity"]: row for row in rows},
        model=model,
        table=table,
        images=images,
        target=np.array(masks[0]),
        others=np.array(masks[1]),
        explanations=np.asarray(outputs["explanation"])[..., 0],
        logits=np.asarray(outputs["logits"]),
    )


def read_mask(path):
    return load_image(path, (32, 32), 1)[..., 0] > 0.5


def mean_of(evaluated, where):
    """Mean over images of the mean explanation in a region, and how many have one."""
    pairs = zip(evaluated.explanations, where, strict=True)
    values = [one[region].mean() for one, region in pairs if region.any()]
    return np.mean(values), len(values)


def test_explanations_are_measured_on_target_other_objects_and_background(evaluated):
    target, others = evaluated.target, evaluated.others
    has = target.any(axis=(1, 2))
    assert has.sum() == 4
    regions = {
        "explanation": np.ones_like(target),
        "explanation_target": target,
        "explanation_outside": ~target & has[:, None, None],
        "explanation_others": others & ~target,
        "explanation_background": ~target & ~others,
    }
    for name, where in regions.items():
        row = evaluated.rows[name]
        value, count = mean_of(evaluated, where)
        assert (row["value"], row["images"]) == (pytest.approx(value, abs=1e-5), count)
        assert row["low"] <= row["value"] <= row["high"]
    difference = evaluated.rows["target_over_outside"]
    expected = evaluated.rows["explanation_target"]["value"]
    expected -= evaluated.rows["explanation_outside"]["value"]
    assert difference["value"] == pytest.approx(expected)
    assert (difference["images"], evaluated.rows["explanation"]["images"]) == (4, 7)


def test_pompom_counts_what_is_marked_outside_of_the_target(evaluated):
    pairs = zip(evaluated.explanations, evaluated.target, strict=True)
    shares = [(one[~mask] > 1e-6).mean() for one, mask in pairs if mask.any()]
    row = evaluated.rows["pompom"]
    assert (row["value"], row["images"]) == (pytest.approx(np.mean(shares)), 4)


def test_point_accuracy_is_of_maxima_in_boxes(evaluated):
    hits = {"point": [], "center_point": []}
    for image, x, y, w, h, _ in evaluated.table.boxes:
        peak = evaluated.explanations[int(image)].argmax()
        points = {"point": divmod(peak, 32), "center_point": (15, 15)}
        for name, (row, col) in points.items():
            hits[name].append(x <= col <= x + w and y <= row <= y + h)
    for name, each in hits.items():
        row = evaluated.rows[name]
        assert (row["value"], row["images"]) == (np.mean(each), 4)


def test_the_explanation_loss_is_that_of_training(evaluated):
    own = {"beta": 0.8, "gamma": 0.5, "budget": 0.1}
    plain = np.asarray(explanation_loss(evaluated.explanations, **own))
    hybrid = explanation_loss(evaluated.explanations, evaluated.target, **own)
    has = evaluated.target.any(axis=(1, 2))
    expected = np.where(has, np.asarray(hybrid), plain)
    found = evaluated.rows["explanation_loss"]["value"]
    assert found == pytest.approx(expected.mean(), rel=1e-5)
    for changes, values in (
        ({"loss": "unsupervised"}, plain),
        ({"weak_everywhere": True}, np.asarray(hybrid)),
    ):
        loss = LossTerm(**{**TRAINING, **changes})
        losses = loss.compute(evaluated.explanations, evaluated.target)
        np.testing.assert_array_equal(losses, values)


def test_predictions_are_those_of_the_model(evaluated):
    truth = evaluated.table.class_index
    right = evaluated.logits.argmax(axis=1) == truth
    assert evaluated.rows["accuracy"]["value"] == pytest.approx(right.mean())
    powers = np.exp(evaluated.logits)
    own = powers[np.arange(7), truth] / powers.sum(axis=1)
    found = evaluated.rows["classification_loss"]["value"]
    assert found == pytest.approx(-np.log(own).mean(), rel=1e-4)


def test_aopc_is_of_some_images_of_every_class(evaluated):
    chosen = [0, 3]  # the first of each class

    def predict(images):
        logits = np.asarray(evaluated.model((images - 0.1) / 2.0)["logits"])
        powers = np.exp(logits)
        return powers / powers.sum(axis=1, keepdims=True)

    shown, marked = evaluated.images[chosen], evaluated.explanations[chosen]
    curves = morf_curves(predict, shown, marked, AopcConfig(steps=20))
    row = evaluated.rows["aopc"]
    assert row["value"] == pytest.approx(aopc(curves).mean(), abs=1e-5)
    assert row["images"] == 2
    for name in ("gradcam", "random"):
        control = evaluated.rows[f"aopc_{name}"]["value"]
        over = evaluated.rows[f"aopc_over_{name}"]["value"]
        assert over == pytest.approx(row["value"] - control)


def test_tables_and_figures_land_in_the_folder(evaluated):
    place = evaluated.folder / "evaluation"
    assert {path.name for path in place.glob("*.png")} == FIGURES
    written = read(place / "metrics.csv")
    assert [row["quantity"] for row in written] == list(evaluated.rows)
    found = {row["class"]: row["images"] for row in read(place / "per_class.csv")}
    assert found == {"absent": "3", "present": "4"}
    everything = json.loads((place / "evaluation.json").read_text())
    assert (everything["split"], everything["images"]) == ("test", 7)
    assert len(everything["morf"]["Grad-CAM"]["mean"]) == 21


def test_black_explanations_are_warned_of_and_have_numbers(run, caplog):
    folder, _ = run(bias=-9.0)
    with caplog.at_level("INFO"):
        config = EvaluationConfig(aopc_images=0, split="val")
        rows = evaluate_explainer(folder, config).rows
    values = {row["quantity"]: row["value"] for row in rows}
    assert "black everywhere (mean 0.0000)" in caplog.text
    assert (values["explanation"], values["pompom"]) == (0, 0)
    assert np.isfinite(list(values.values())).all()
    assert not any(name.startswith("aopc") for name in values)
    place = folder / "evaluation-val"
    assert {path.name for path in place.glob("*.png")} == FIGURES - {"morf.png"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"checkpoint": "last"}, "checkpoint last.*Leave it out"),
        ({"aopc_images": -1}, "aopc_images.*-1"),
        ({"data_dir": "/nowhere"}, "/nowhere"),
    ],
)
def test_a_wrong_option_is_named(evaluated, options, message):
    with pytest.raises(ValueError, match=message):
        evaluate_explainer(evaluated.folder, EvaluationConfig(**options))


def test_only_polygons_have_masks_of_other_objects(evaluated, shapes, polygons):
    table = evaluated.table
    assert distractor_masks(table, shapes) is None
    known = other_masks(polygons)
    assert distractor_masks(table, polygons) == [known[path] for path in table.paths]
