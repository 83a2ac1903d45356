"""How a network is trained: published values, names, ranges."""

import dataclasses
import json

import pytest

from kerasloc.data.augment import EnlargeCropFlip, augmentation
from kerasloc.training.configs import (
    PHASES,
    TERMS,
    ExplainerTraining,
    HamTraining,
    HrcamTraining,
    MapTraining,
    TrainingConfig,
)

KINDS = [TrainingConfig, HrcamTraining, HamTraining, MapTraining]


def test_maps_are_trained_as_published():
    config = MapTraining()
    assert (config.epochs, config.batch_size) == (40, 64)
    assert (config.optimizer, config.learning_rate) == ("adam", 1e-4)
    assert (config.patience, config.factor, config.stop_rate) == (1, 0.2, 1e-6)
    assert (config.start, config.freeze_encoder) == (None, False)


def test_ham_is_trained_as_published():
    config = HamTraining()
    assert (config.epochs, config.batch_size) == (20, 24)
    assert (config.optimizer, config.learning_rate) == ("adam", 2e-5)
    assert (config.weight_decay, config.decay, config.decay_epochs) == (
        1e-4,
        "step",
        10,
    )
    assert tuple(config.term_weights) == TERMS
    assert tuple(config.term_weights.values()) == (0.01, 1.0, 0.5, 0.001, 0.001)
    assert (config.select, config.annotated_weight) == ("auroc", 1)
    assert (config.start, config.crf) == (None, False)
    assert augmentation(config.augmentation) == EnlargeCropFlip((1.0, 1.12), 0.5)


@pytest.mark.parametrize(
    ("decay", "given", "expected"),
    [
        ("step", None, 10),
        ("step", 3, 3),
        ("polynomial", None, 7),
        ("polynomial", 3, 3),
        ("none", None, 1),
    ],
)
def test_a_decay_takes_its_usual_epochs_or_those_given(decay, given, expected):
    config = HamTraining(epochs=7, decay=decay, decay_epochs=given)
    assert config.decay_epochs == expected


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        ({"decay": "cosine"}, "decay is step, polynomial or none"),
        ({"select": "loss"}, "select is auroc, tiou or tior"),
        ({"decay_epochs": 0}, "decay_epochs is at least 1"),
        ({"annotated_weight": 0.0}, "annotated_weight is above 0"),
        ({"annotated_weight": float("nan")}, "annotated_weight is above 0"),
        ({"weight_decay": -1e-4}, "weights of terms, and weight_decay, are at least 0"),
        ({"union_weight": -1.0}, "weights of terms, and weight_decay, are at least 0"),
        ({"boxes_weight": float("nan")}, "weights of terms, and weight_decay"),
        ({"weight_decay": float("nan")}, "weights of terms, and weight_decay"),
    ],
)
def test_wrong_values_of_ham_are_named(wrong, rule):
    (name, value), *_ = wrong.items()
    with pytest.raises(ValueError, match=rf"^{rule}.*Received: .*{name}={value!r}"):
        HamTraining(**wrong)


def test_all_broken_rules_are_told_at_once():
    with pytest.raises(ValueError, match=r"decay is step.*; select is auroc"):
        HamTraining(decay="cosine", select="loss")


def test_hrcam_is_trained_as_published():
    config = HrcamTraining()
    assert (config.optimizer, config.learning_rate) == ("adadelta", 1.0)
    assert config.align_weight == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_configuration_has_a_name_and_survives_json(kind):
    config = kind(seed=3, epochs=5, batch_size=2, optimizer="sgd", learning_rate=0.05)
    assert config.name == "sgd0.05-b2-e5-s3"
    assert kind(**json.loads(json.dumps(dataclasses.asdict(config)))) == config


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"batch_size": 0}, {"seed": -1}])
def test_counts_are_in_their_ranges(kind, wrong):
    with pytest.raises(ValueError, match="epochs and batch_size are at least 1, seed"):
        kind(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"patience": 0},
        {"factor": 0.0},
        {"factor": 1.0},
        {"factor": float("nan")},
        {"stop_rate": -1e-9},
        {"stop_rate": float("nan")},
    ],
)
def test_the_schedule_is_in_its_ranges(wrong):
    with pytest.raises(ValueError, match="patience is at least 1, factor between"):
        MapTraining(**wrong)


@pytest.mark.parametrize("weight", [-0.1, float("nan")])
def test_a_weight_is_not_negative(weight):
    with pytest.raises(ValueError, match="align_weight is at least 0"):
        HrcamTraining(align_weight=weight)


def test_a_rate_may_fall_for_ever():
    assert MapTraining(stop_rate=0.0).stop_rate == 0


# Three phases


def test_the_explainer_classifier_is_trained_as_published():
    first, second, third = ExplainerTraining().phases
    assert [one.name for one in (first, second, third)] == list(PHASES)
    assert [one.folder for one in (first, second, third)] == [
        "phase1-classifier",
        "phase2-explainer",
        "phase3-both",
    ]
    values = ("epochs", "alpha", "classifier_rate", "explainer_rate", "patience")
    for phase, expected in (
        (first, (10, 1.0, 0.01, 0.0, 100)),
        (second, (10, 0.25, 0.0, 0.01, 100)),
        (third, (60, 0.9, 0.01, 0.01, 10)),
    ):
        assert tuple(getattr(phase, name) for name in values) == expected
        assert (phase.optimizer, phase.decay) == ("sgd", "plateau")
    config = ExplainerTraining()
    assert (config.beta, config.gamma, config.budget) == (0.9, 1.0, 0.0)
    assert (config.weight_decay, config.min_delta) == (1e-4, 1e-4)
    assert (config.loss, config.weak_everywhere) == ("hybrid", False)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"epochs": 4}, (4, 4, 4)),
        ({"epochs": [4]}, (4, 4, 4)),
        ({"epochs": [1, 2, 3]}, (1, 2, 3)),
        ({"optimizer": "adam"}, ("adam", "adam", "adam")),
        ({"decay": ("none", "none", "cosine")}, ("none", "none", "cosine")),
    ],
)
def test_what_is_of_a_phase_takes_one_value_or_three(given, expected):
    ((name, _),) = given.items()
    config = ExplainerTraining(**given)
    assert getattr(config, name) == expected
    assert tuple(getattr(phase, name) for phase in config.phases) == expected


def test_three_phases_have_a_name_and_survive_json():
    config = ExplainerTraining(epochs=(1, 2, 3), batch_size=4, seed=5)
    assert config.name == "hybrid-e1,2,3-b4-s5"
    read = json.loads(json.dumps(dataclasses.asdict(config)))
    assert ExplainerTraining(**read) == config


NAN = float("nan")


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        ({"epochs": 0}, "every phase has at least 1 epoch"),
        ({"epochs": (10, 0, 10)}, "every phase has at least 1 epoch"),
        ({"epochs": (10, 1.5, 10)}, "every phase has at least 1 epoch"),
        ({"patience": (9, 9, 0)}, "patience is at least 1 epoch"),
        ({"alpha": (1, 1.01, 1)}, "alpha lies in 0 to 1"),
        ({"alpha": (1, -0.01, 1)}, "alpha lies in 0 to 1"),
        ({"alpha": NAN}, "alpha lies in 0 to 1"),
        ({"classifier_rate": (0.1, 0.1, 0.1)}, "learning rates are above 0 where"),
        ({"classifier_rate": (0.0, 0.0, 0.1)}, "learning rates are above 0 where"),
        ({"classifier_rate": (0.1, -0.1, 0.1)}, "learning rates are above 0 where"),
        ({"classifier_rate": (0.1, NAN, 0.1)}, "learning rates are above 0 where"),
        ({"explainer_rate": 0.1}, "learning rates are above 0 where a part learns"),
        ({"explainer_rate": (0.0, 0.1, 0.0)}, "learning rates are above 0 where"),
        ({"explainer_rate": (0.0, -0.1, 0.1)}, "learning rates are above 0 where"),
        ({"optimizer": ("sgd", "sgd", "lion")}, "optimizer is adadelta, adam or sgd"),
        ({"decay": ("none", "none", "step")}, "decay is plateau, cosine or none"),
        ({"loss": "supervised"}, "loss is hybrid or unsupervised"),
        ({"beta": 1.1}, "beta lies in 0 to 1, budget in 0 to below 1"),
        ({"budget": 1.0}, "beta lies in 0 to 1, budget in 0 to below 1"),
        ({"gamma": -1.0}, "gamma, min_delta and weight_decay are at least 0"),
        ({"min_delta": NAN}, "gamma, min_delta and weight_decay are at least 0"),
        ({"weight_decay": NAN}, "gamma, min_delta and weight_decay are at least 0"),
        ({"accuracy_drop": 1.5}, "accuracy_drop and aug_prob lie in 0 to 1"),
        ({"aug_prob": -0.5}, "accuracy_drop and aug_prob lie in 0 to 1"),
        ({"batch_size": 0}, "batch_size is at least 1, seed at least 0"),
        ({"seed": -1}, "batch_size is at least 1, seed at least 0"),
    ],
)
def test_wrong_values_of_a_phase_are_named(wrong, rule):
    ((name, _),) = wrong.items()
    with pytest.raises(ValueError, match=rf"^{rule}.*Received: .*{name}="):
        ExplainerTraining(**wrong)


@pytest.mark.parametrize(
    "name",
    ["epochs", "alpha", "classifier_rate", "explainer_rate", "optimizer", "decay"],
)
@pytest.mark.parametrize("count", [0, 2, 4])
def test_lists_of_a_wrong_length_are_refused(name, count):
    value = getattr(ExplainerTraining(), name)[0]
    with pytest.raises(
        ValueError, match=rf"^{name} takes one value for all .*Received: {count} values"
    ):
        ExplainerTraining(**{name: [value] * count})
