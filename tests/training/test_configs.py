"""How a network is trained: published values, names, ranges."""

import dataclasses
import json

import pytest

from kerasloc.data.augment import EnlargeCropFlip, augmentation
from kerasloc.training.configs import (
    PHASES,
    TERMS,
    ExplainerTraining,
    FullTraining,
    HamTraining,
    HrcamTraining,
    MapTraining,
    TrainingConfig,
)

KINDS = [TrainingConfig, HrcamTraining, FullTraining, HamTraining, MapTraining]
NAN = float("nan")


@pytest.mark.parametrize(
    ("kind", "published"),
    [
        (
            HrcamTraining,
            {"epochs": 50, "batch_size": 16, "optimizer": "adadelta"}
            | {"learning_rate": 1.0, "align_weight": 0, "augmentation": "affine"},
        ),
        (
            MapTraining,
            {"epochs": 40, "batch_size": 64, "optimizer": "adam"}
            | {"learning_rate": 1e-4, "patience": 1, "factor": 0.2, "stop_rate": 1e-6}
            | {"start": None, "freeze_encoder": False, "augmentation": "xray"},
        ),
        (
            HamTraining,
            {"epochs": 20, "batch_size": 24, "optimizer": "adam"}
            | {"learning_rate": 2e-5, "weight_decay": 1e-4, "decay": "step"}
            | {"decay_epochs": 10, "select": "auroc", "annotated_weight": 1}
            | {"start": None, "crf": False},
        ),
        (
            ExplainerTraining,
            {"batch_size": 8, "beta": 0.9, "gamma": 1.0, "budget": 0.0}
            | {"weight_decay": 1e-4, "min_delta": 1e-4, "loss": "hybrid"}
            | {"weak_everywhere": False, "aug_prob": 0.2, "accuracy_drop": 0.1},
        ),
    ],
)
def test_defaults_are_those_published(kind, published):
    assert published.items() <= dataclasses.asdict(kind()).items()


def test_hams_terms_and_augmentation_are_those_published():
    config = HamTraining()
    assert tuple(config.term_weights) == TERMS
    assert tuple(config.term_weights.values()) == (0.01, 1.0, 0.5, 0.001, 0.001)
    assert augmentation(config.augmentation) == EnlargeCropFlip((1.0, 1.12), 0.5)


def test_the_three_phases_are_those_published():
    config = ExplainerTraining()
    assert [phase.name for phase in config.phases] == list(PHASES)
    assert [phase.folder for phase in config.phases] == [
        "phase1-classifier",
        "phase2-explainer",
        "phase3-both",
    ]
    assert [dataclasses.astuple(phase)[2:] for phase in config.phases] == [
        (10, 1.0, 0.01, 0.0, "sgd", "plateau", 100),
        (10, 0.25, 0.0, 0.01, "sgd", "plateau", 100),
        (60, 0.9, 0.01, 0.01, "sgd", "plateau", 10),
    ]


@pytest.mark.parametrize(
    ("decay", "epochs", "expected"),
    [
        ("step", None, 10),
        ("step", 3, 3),
        ("polynomial", None, 7),
        ("polynomial", 3, 3),
        ("none", None, 1),
    ],
)
def test_a_decay_has_its_usual_epochs_or_the_requested_ones(decay, epochs, expected):
    config = HamTraining(epochs=7, decay=decay, decay_epochs=epochs)
    assert config.decay_epochs == expected


@pytest.mark.parametrize("kind", KINDS)
def test_a_configuration_has_a_name_and_survives_json(kind):
    config = kind(seed=3, epochs=5, batch_size=2, optimizer="sgd", learning_rate=0.05)
    assert config.name == "sgd0.05-b2-e5-s3"
    assert kind(**json.loads(json.dumps(dataclasses.asdict(config)))) == config


def test_three_phases_have_a_name_and_survive_json():
    config = ExplainerTraining(epochs=(1, 2, 3), batch_size=4, seed=5)
    assert config.name == "hybrid-e1,2,3-b4-s5"
    read = json.loads(json.dumps(dataclasses.asdict(config)))
    assert ExplainerTraining(**read) == config


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"epochs": 4}, (4, 4, 4)),
        ({"epochs": [4]}, (4, 4, 4)),
        ({"epochs": [1, 2, 3]}, (1, 2, 3)),
        ({"optimizer": "adam"}, ("adam", "adam", "adam")),
        ({"decay": ("none", "none", "cosine")}, ("none", "none", "cosine")),
    ],
)
def test_values_of_a_phase_are_one_or_three(values, expected):
    ((name, _),) = values.items()
    config = ExplainerTraining(**values)
    assert getattr(config, name) == expected
    assert tuple(getattr(phase, name) for phase in config.phases) == expected


WRONG = [
    *((kind, name, value) for kind in KINDS for name, value in (("epochs", 0),)),
    *((kind, "batch_size", 0) for kind in [*KINDS, ExplainerTraining]),
    *((kind, "seed", -1) for kind in [*KINDS, ExplainerTraining]),
    *((HrcamTraining, "align_weight", value) for value in (-0.1, NAN)),
    (MapTraining, "patience", 0),
    *((MapTraining, "factor", value) for value in (0.0, 1.0, NAN)),
    *((MapTraining, "stop_rate", value) for value in (-1e-9, NAN)),
    (HamTraining, "decay", "cosine"),
    (HamTraining, "select", "loss"),
    (HamTraining, "decay_epochs", 0),
    *((HamTraining, "annotated_weight", value) for value in (0.0, NAN)),
    *((HamTraining, "weight_decay", value) for value in (-1e-4, NAN)),
    (HamTraining, "union_weight", -1.0),
    (HamTraining, "boxes_weight", NAN),
    *((ExplainerTraining, "epochs", value) for value in (0, (9, 0, 9), (9, 1.5, 9))),
    (ExplainerTraining, "patience", (9, 9, 0)),
    *((ExplainerTraining, "alpha", v) for v in ((1, 1.01, 1), (1, -0.01, 1), NAN)),
    *(
        (ExplainerTraining, "classifier_rate", (first, second, 0.1))
        for first, second in ((0.1, 0.1), (0.0, 0.0), (0.1, -0.1), (0.1, NAN))
    ),
    (ExplainerTraining, "explainer_rate", 0.1),
    *(
        (ExplainerTraining, "explainer_rate", (0.0, second, third))
        for second, third in ((0.1, 0.0), (-0.1, 0.1))
    ),
    (ExplainerTraining, "optimizer", ("sgd", "sgd", "lion")),
    (ExplainerTraining, "decay", ("none", "none", "step")),
    (ExplainerTraining, "loss", "supervised"),
    (ExplainerTraining, "beta", 1.1),
    (ExplainerTraining, "budget", 1.0),
    (ExplainerTraining, "gamma", -1.0),
    (ExplainerTraining, "min_delta", NAN),
    (ExplainerTraining, "weight_decay", NAN),
    (ExplainerTraining, "accuracy_drop", 1.5),
    (ExplainerTraining, "aug_prob", -0.5),
]


@pytest.mark.parametrize(("kind", "name", "value"), WRONG)
def test_a_value_out_of_its_range_is_named(kind, name, value):
    with pytest.raises(ValueError, match=rf"^Expected .*{name}.*Received: .*{name}="):
        kind(**{name: value})


def test_all_broken_rules_are_named_together():
    with pytest.raises(ValueError, match=r"decay of step.*; select of auroc"):
        HamTraining(decay="cosine", select="loss")


def test_a_rate_may_fall_without_end():
    assert MapTraining(stop_rate=0.0).stop_rate == 0


@pytest.mark.parametrize(
    "name",
    ["epochs", "alpha", "classifier_rate", "explainer_rate", "optimizer", "decay"],
)
@pytest.mark.parametrize("count", [0, 2, 4])
def test_a_number_of_phases_other_than_three_is_refused(name, count):
    value = getattr(ExplainerTraining(), name)[0]
    with pytest.raises(ValueError, match=rf"{name}.*Received: {count} values"):
        ExplainerTraining(**{name: [value] * count})
