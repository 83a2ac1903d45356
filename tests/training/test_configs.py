"""How a network is trained: published values, names, ranges."""

import dataclasses
import json

import pytest

from kerasloc.training.configs import HrcamTraining, MapTraining, TrainingConfig


def test_maps_are_trained_as_published():
    config = MapTraining()
    assert (config.epochs, config.batch_size) == (40, 64)
    assert (config.optimizer, config.learning_rate) == ("adam", 1e-4)
    assert (config.patience, config.factor, config.stop_rate) == (1, 0.2, 1e-6)
    assert (config.start, config.freeze_encoder) == (None, False)


def test_hrcam_is_trained_as_published():
    config = HrcamTraining()
    assert (config.optimizer, config.learning_rate) == ("adadelta", 1.0)
    assert config.align_weight == 0


@pytest.mark.parametrize("kind", [TrainingConfig, HrcamTraining, MapTraining])
def test_a_configuration_has_a_name_and_survives_json(kind):
    config = kind(seed=3, epochs=5, batch_size=2, optimizer="sgd", learning_rate=0.05)
    assert config.name == "sgd0.05-b2-e5-s3"
    assert kind(**json.loads(json.dumps(dataclasses.asdict(config)))) == config


@pytest.mark.parametrize("kind", [TrainingConfig, HrcamTraining, MapTraining])
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
