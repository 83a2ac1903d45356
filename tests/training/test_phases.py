"""Three phases: what learns, what is handed on, what ends them, two rates."""

import dataclasses
import logging
import math

import h5py
import keras
import numpy as np
import pytest

import kerasloc
from kerasloc.models.explainer import explainer_classifier
from kerasloc.runs import read_history
from kerasloc.training import phases
from kerasloc.training.configs import ExplainerTraining
from kerasloc.training.phases import TwoRates, freeze, two_rates, white_bound
from kerasloc.weights import read_arrays

FOLDERS = ("phase1-classifier", "phase2-explainer", "phase3-both")
PARTS = ({"classifier"}, {"explainer"}, {"classifier", "explainer"})


def arrays(path):
    """Every array of a weight file, by layer and number."""
    found = read_arrays(path)
    return {f"{n}/{k}": a for n, layer in found.items() for k, a in layer.items()}


def part_of(name):
    return "explainer" if name.startswith("explainer_") else "classifier"


# What learns, and what is handed on


def test_frozen_parts_and_their_statistics_do_not_move_by_a_bit(explained):
    folder, start = explained
    before = arrays(start)
    assert {"explainer_bn/2", "explainer_bn/3", "bn1/2", "bn1/3"} < set(before)
    for name, moving in zip(FOLDERS, PARTS, strict=True):
        for kind in ("last", "best"):
            after = arrays(folder / name / f"{kind}.weights.h5")
            assert set(after) == set(before)
            for key, array in before.items():
                stays = np.array_equal(array, after[key])
                assert stays == (part_of(key) not in moving), (name, kind, key)
        before = after  # the best begin the next phase


def test_the_weights_of_the_run_are_the_best_of_the_last_phase(explained):
    folder, _ = explained
    expected = arrays(folder / FOLDERS[2] / "best.weights.h5")
    found = arrays(folder / "best.weights.h5")
    assert set(found) == set(expected)
    for key, array in expected.items():
        np.testing.assert_array_equal(found[key], array)


def test_the_history_of_the_run_counts_the_epochs_of_all_phases(explained):
    folder, _ = explained
    rows = read_history(folder)
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert [row["phase"] for row in rows] == [1, 1, 2, 2, 3, 3]
    own = [row for name in FOLDERS for row in read_history(folder / name)]
    assert [row["epoch"] for row in own] == [1, 2, 1, 2, 1, 2]
    for row, expected in zip(rows, own, strict=True):
        assert {**row, "epoch": 0} == {**expected, "epoch": 0, "phase": row["phase"]}
    names = ("loss", "accuracy", "classification_loss", "explanation_loss")
    scores = {*names, "explanation_mean"}
    scores |= {f"val_{name}" for name in scores}
    assert all(scores < set(row) for row in rows)


def test_both_rates_fall_on_a_plateau_and_are_in_the_history(explained):
    rows = read_history(explained[0] / FOLDERS[2])
    for part in ("classifier", "explainer"):
        rates = [row[f"learning_rate_{part}"] for row in rows]
        # the second epoch still has what the first began with
        assert rates == pytest.approx([0.01, 0.01])
    with h5py.File(explained[0] / FOLDERS[2] / "last.weights.h5") as file:
        kept = file["optimizer/optimizers"]
        assert len(kept) == 2
        for own in kept.values():
            assert float(own["vars/1"][()]) == pytest.approx(0.002)


def test_every_phase_can_be_loaded(explained, squares):
    folder, _ = explained
    for name in (*FOLDERS, "."):
        wrapper = kerasloc.load(folder / name)
        assert wrapper.config.class_names == ("très grand", "pas là")
        for layer, own in read_arrays(folder / name / "best.weights.h5").items():
            for key, array in own.items():
                weight = wrapper.model.get_layer(layer).weights[int(key)]
                np.testing.assert_array_equal(weight.numpy(), array)


# What ends a phase, and what may be the best


def test_a_phase_of_black_explanations_is_an_error_each_time(squares, tmp_path):
    how = {"init_bias": -9.0, "epochs": (1, 3, 1), "explainer_rate": (0, 1e-9, 1e-9)}
    ways_out = "a larger --alpha.*--explainer-rate.*--epochs or --auto-stop"
    for _ in "ab":
        with pytest.raises(
            ValueError, match=f"black or white.*explainer .alpha 0.75.*{ways_out}"
        ):
            squares.train(tmp_path, **how)
        assert len(read_history(tmp_path / FOLDERS[1])) == 1  # of three
    assert not (tmp_path / FOLDERS[2]).exists()


def test_without_an_epoch_that_is_good_enough_the_start_is_handed_on(
    squares, tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(phases, "_accuracy", lambda *_: 2.0)
    squares.train(tmp_path)
    expected = arrays(tmp_path / FOLDERS[0] / "best.weights.h5")
    for name in FOLDERS[1:]:
        found = arrays(tmp_path / name / "best.weights.h5")
        for key, array in expected.items():
            np.testing.assert_array_equal(found[key], array)
        last = arrays(tmp_path / name / "last.weights.h5")
        assert not np.array_equal(last["explainer_conv/0"], found["explainer_conv/0"])
    for phase in ("explainer", "both"):
        assert f"epoch of phase {phase} had a validation accuracy of 1.8" in caplog.text
    assert caplog.text.count("the weights it began with are handed on") == 2


@pytest.mark.parametrize(
    ("accuracy", "mean", "good"),
    [
        (0.8, 0.5, True),
        (0.79, 0.5, False),
        (1.0, 0.0, False),
        (1.0, 0.0009, False),
        (1.0, 0.0011, True),
        (1.0, 1.0, False),
        (math.nan, 0.5, False),
        (1.0, math.nan, False),
    ],
)
def test_the_best_are_accurate_and_explain_something(accuracy, mean, good):
    logs = {"val_accuracy": accuracy, "val_explanation_mean": mean}
    assert phases._eligible(0.8)(logs) is good


def stops_of(phase, **changes):
    config = ExplainerTraining(**changes)
    chosen = config.phases[("classifier", "explainer", "both").index(phase)]
    return [type(one).__name__ for one in phases._stops(chosen, config)]


def test_a_phase_has_the_stops_that_it_is_to_have():
    assert stops_of("classifier") == ["EarlyStop"]
    assert stops_of("explainer") == stops_of("both") == ["EarlyStop", "Collapse"]
    auto = {"auto_stop": True}
    assert stops_of("classifier", **auto) == ["EarlyStop", "LossFell"]
    assert stops_of("explainer", **auto) == ["EarlyStop", "Collapse", "LossFell"]
    assert stops_of("both", **auto) == ["EarlyStop", "Collapse"]


def test_automatic_stops_look_at_their_own_loss():
    config = ExplainerTraining(auto_stop=True)
    for phase, name, share in (
        (0, "classification_loss", 0.25),
        (1, "explanation_loss", 0.2),
    ):
        stop = phases._stops(config.phases[phase], config)[-1]
        assert not stop.look({name: 2.0})
        assert not stop.look({name: 2.0 * share + 0.01})
        assert stop.look({name: 2.0 * share})


# Black explanations


@pytest.mark.parametrize(
    ("loss", "classes", "bound"),
    [("hybrid", 2, 0.73), ("unsupervised", 2, 0.57), ("hybrid", 4, 0.58)],
)
def test_the_bound_is_that_of_the_specification(loss, classes, bound):
    config = ExplainerTraining(loss=loss)
    assert white_bound(config, classes) == pytest.approx(bound, abs=0.006)


@pytest.mark.parametrize(("classes", "budget"), [(2, 0.0), (5, 0.3)])
def test_at_the_bound_black_costs_as_much_as_white(classes, budget):
    config = ExplainerTraining(budget=budget, gamma=0.7)
    alpha = white_bound(config, classes)
    white = (1 - alpha) * (config.beta * (1 - budget) + config.gamma)
    assert alpha * math.log(classes) == pytest.approx(white)


def test_published_alphas_are_warned_of_and_safe_ones_are_not(caplog):
    phases.warn_of_collapse(ExplainerTraining(), 2)
    assert "alpha 0.25 of phase explainer lies below 0.73" in caplog.text
    assert len(caplog.records) == 1
    assert caplog.records[0].levelno == logging.WARNING
    caplog.clear()
    phases.warn_of_collapse(ExplainerTraining(alpha=(0.1, 0.75, 0.74)), 2)
    assert not caplog.records  # the classifier's phase explains nothing


# Which layers, which rates


def phase_of(name, optimizer="sgd", decay="none", epochs=2):
    """A phase with the rates 0.3 (classifier) and 0.01 (explainer) where they learn."""
    config = ExplainerTraining(
        epochs=epochs,
        optimizer=optimizer,
        decay=decay,
        classifier_rate=(0.3, 0, 0.3),
        explainer_rate=(0, 0.01, 0.01),
    )
    return next(one for one in config.phases if one.name == name)


@pytest.fixture(scope="module")
def real():
    """The smallest of the real networks."""
    return explainer_classifier((16, 16, 3), 2, "vgg")


def test_a_phase_trains_its_part_of_the_real_network(real):
    for phase, parts in zip(("classifier", "explainer", "both"), PARTS, strict=True):
        freeze(real, phase)
        learning = {x.name for x in real.layers if x.trainable_variables}
        expected = {
            x.name for x in real.layers if x.weights and part_of(x.name) in parts
        }
        assert learning == expected
        assert len(learning) > 10


def test_each_part_of_the_real_network_has_its_rate(real):
    freeze(real, "both")
    made = two_rates(phase_of("both"), 1, 0.0)
    made.build(real.trainable_variables)
    for layer in real.layers:
        for variable in layer.trainable_variables:
            own = made.optimizers[made._var_to_optimizer_idx[made._var_key(variable)]]
            assert own.name == part_of(layer.name)
            expected = {"classifier": 0.3, "explainer": 0.01}[own.name]
            assert float(own.learning_rate) == pytest.approx(expected)


START = {"explainer_a": [2.0, -1.0, 0.5], "fc": [-0.5, 1.5, 3.0]}
GRADIENTS = np.array([[0.2, 0.4, -0.3], [-0.4, 0.1, 0.2]], "float32")


def variable(name):
    return keras.Variable(np.array(START[name], "float32"), name=name)


@pytest.mark.parametrize("l2", [0.0, 0.3])
@pytest.mark.parametrize("name", ["sgd", "adadelta", "adam"])
def test_each_part_moves_as_with_an_optimizer_of_its_own(name, l2):
    both = {part: variable(part) for part in START}
    alone = {part: variable(part) for part in START}
    made = two_rates(phase_of("both", name), 1, l2)
    own = {
        "explainer_a": two_rates(phase_of("explainer", name), 1, l2),
        "fc": two_rates(phase_of("classifier", name), 1, l2),
    }
    for gradient in GRADIENTS:
        tensor = keras.ops.convert_to_tensor(gradient)
        made.apply([tensor] * 2, list(both.values()))
        for part, single in own.items():
            single.apply([tensor], [alone[part]])
            np.testing.assert_array_equal(both[part].numpy(), alone[part].numpy())
    moved = {part: both[part].numpy() - START[part] for part in START}
    assert np.abs(moved["fc"]).max() > 5 * np.abs(moved["explainer_a"]).max() > 0


@pytest.mark.parametrize("name", ["classifier", "explainer", "both"])
def test_cosine_ends_near_0(name):
    made = two_rates(phase_of(name, decay="cosine"), 10, 0.0)
    parts = {part: variable(part) for part in START}
    zeros = [keras.ops.zeros(3)] * 2
    for _ in range(19):
        made.apply(zeros, list(parts.values()))
    each = made.optimizers if name == "both" else [made]
    first = {"classifier": 0.3, "explainer": 0.01}
    for own in each:
        begin = first[own.name if name == "both" else name]
        assert 0 < float(own.learning_rate) < 0.01 * begin
    made.apply(zeros, list(parts.values()))
    assert [float(own.learning_rate) for own in each] == [0] * len(each)


@pytest.mark.parametrize("wrapped", [False, True])
def test_rates_fall_together(wrapped):
    made = two_rates(phase_of("both"), 1, 0.0)
    seen = keras.optimizers.LossScaleOptimizer(made) if wrapped else made
    before = float(seen.learning_rate)
    seen.learning_rate = before / 4
    assert float(seen.learning_rate) == pytest.approx(before / 4)
    rates = {own.name: float(own.learning_rate) for own in made.optimizers}
    assert rates == pytest.approx({"classifier": 0.075, "explainer": 0.0025})


def test_two_rates_survive_their_description():
    made = two_rates(phase_of("both", "adadelta"), 1, 0.3)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(made))
    assert type(again) is TwoRates
    for own, other in zip(made.optimizers, again.optimizers, strict=True):
        assert (own.name, own.l2, own.rho) == (other.name, other.l2, other.rho)
        assert float(own.learning_rate) == float(other.learning_rate)


def test_a_phase_has_an_order_of_its_own(squares):
    config = dataclasses.make_dataclass("Config", ["seed"])(7)
    seeds = [
        phases._seeded({"train_config": config}, n)["train_config"].seed
        for n in (0, 1, 2)
    ]
    assert seeds[0] == 7
    assert len(set(seeds)) == 3
