"""Three phases: trainable layers, weights between phases, ends, resumed runs."""

import json
import logging
import math
import shutil

import h5py
import keras
import numpy as np
import pytest

import kerasloc
from kerasloc.data.pipeline import PipelineConfig
from kerasloc.models.explainer import explainer_classifier
from kerasloc.runs import Run, read_history
from kerasloc.training.compiling import Feed
from kerasloc.training.configs import ExplainerTraining
from kerasloc.training.explainer import (
    eligible_above,
    freeze,
    seeded_feed,
    stops,
    warn_of_collapse,
    white_bound,
)
from kerasloc.weights import read_arrays
from tests.training.helpers import arrays, assert_equal_weights, rows_of
from tests.training.squares import Impatient, SquaresTrainer

FOLDERS = ("phase1-classifier", "phase2-explainer", "phase3-both")
LEARNERS = ({"classifier"}, {"explainer"}, {"classifier", "explainer"})


def learner_of(name):
    return "explainer" if name.startswith("explainer_") else "classifier"


# Trainable layers, and weights between phases


def test_frozen_parts_and_their_statistics_do_not_move_by_a_bit(explained):
    folder, start = explained
    before = arrays(start)
    assert {"explainer_bn/2", "explainer_bn/3", "bn1/2", "bn1/3"} < set(before)
    for name, moving in zip(FOLDERS, LEARNERS, strict=True):
        for kind in ("last", "best"):
            after = arrays(folder / name / f"{kind}.weights.h5")
            assert set(after) == set(before)
            for key, array in before.items():
                stays = np.array_equal(array, after[key])
                assert stays == (learner_of(key) not in moving), (name, kind, key)
        before = after  # the best begin the next phase


def test_the_weights_of_the_run_are_the_best_of_the_last_phase(explained):
    folder, _ = explained
    assert_equal_weights(
        folder / FOLDERS[2] / "best.weights.h5", folder / "best.weights.h5"
    )


def test_the_history_of_the_run_counts_the_epochs_of_all_phases(explained):
    folder, _ = explained
    rows = read_history(folder)
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert [row["phase"] for row in rows] == [1, 1, 2, 2, 3, 3]
    by_phase = [row for name in FOLDERS for row in read_history(folder / name)]
    assert [row["epoch"] for row in by_phase] == [1, 2, 1, 2, 1, 2]
    for row, expected in zip(rows, by_phase, strict=True):
        assert {**row, "epoch": 0} == {**expected, "epoch": 0, "phase": row["phase"]}
    names = ("loss", "accuracy", "classification_loss", "explanation_loss")
    scores = {*names, "explanation_mean"}
    scores |= {f"val_{name}" for name in scores}
    assert all(scores < set(row) for row in rows)


def test_both_rates_fall_on_a_plateau_and_are_in_the_history(explained):
    rows = read_history(explained[0] / FOLDERS[2])
    for learner in ("classifier", "explainer"):
        rates = [row[f"learning_rate_{learner}"] for row in rows]
        # the second epoch still has the rate of the first
        assert rates == pytest.approx([0.01, 0.01])
    with h5py.File(explained[0] / FOLDERS[2] / "last.weights.h5") as file:
        optimizers = file["optimizer/optimizers"]
        assert len(optimizers) == 2
        for optimizer in optimizers.values():
            assert float(optimizer["vars/1"][()]) == pytest.approx(0.002)


def test_every_phase_can_be_loaded(explained, squares):
    folder, _ = explained
    for name in (*FOLDERS, "."):
        wrapper = kerasloc.load(folder / name)
        assert wrapper.config.class_names == ("très grand", "pas là")
        for layer, saved in read_arrays(folder / name / "best.weights.h5").items():
            for key, array in saved.items():
                weight = wrapper.model.get_layer(layer).weights[int(key)]
                np.testing.assert_array_equal(weight.numpy(), array)


# Ends of a phase, and eligible weights


def test_a_phase_of_black_explanations_is_an_error_each_time(squares, tmp_path):
    black = {"init_bias": -9.0, "epochs": (1, 3, 1)}
    ways_out = "a larger --alpha.*--explainer-rate.*--epochs or --auto-stop"
    for _ in "ab":
        with pytest.raises(
            ValueError, match=f"black or white.*explainer .alpha 0.75.*{ways_out}"
        ):
            squares(tmp_path, explainer_rate=(0, 1e-9, 1e-9), **black)
        assert len(read_history(tmp_path / FOLDERS[1])) == 1  # of three
    assert not (tmp_path / FOLDERS[2]).exists()


class Accurate(SquaresTrainer):
    """Phases that start with an accuracy that no epoch reaches."""

    def accuracy(self, fitted, feed):
        return 2.0


def test_without_an_eligible_epoch_the_initial_weights_of_a_phase_stay(
    squares, tmp_path, caplog
):
    squares(tmp_path, Accurate)
    first = tmp_path / FOLDERS[0] / "best.weights.h5"
    for name in FOLDERS[1:]:
        best = tmp_path / name / "best.weights.h5"
        assert_equal_weights(first, best)
        last = arrays(tmp_path / name / "last.weights.h5")
        assert not np.array_equal(
            last["explainer_conv/0"], arrays(best)["explainer_conv/0"]
        )
    for phase in ("explainer", "both"):
        assert f"epoch of phase {phase} had a validation accuracy of 1.8" in caplog.text
    assert caplog.text.count("its initial weights are kept") == 2


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
    assert eligible_above(0.8)(logs) is good


def stops_of(phase, **changes):
    config = ExplainerTraining(**changes)
    chosen = config.phases[("classifier", "explainer", "both").index(phase)]
    return [type(stop).__name__ for stop in stops(chosen, config)]


def test_phases_have_their_stops():
    assert stops_of("classifier") == ["EarlyStop"]
    assert stops_of("explainer") == stops_of("both") == ["EarlyStop", "Collapse"]
    auto = {"auto_stop": True}
    assert stops_of("classifier", **auto) == ["EarlyStop", "LossFell"]
    assert stops_of("explainer", **auto) == ["EarlyStop", "Collapse", "LossFell"]
    assert stops_of("both", **auto) == ["EarlyStop", "Collapse"]


def test_automatic_stops_compare_the_loss_of_their_phase():
    config = ExplainerTraining(auto_stop=True)
    for phase, name, share in (
        (0, "classification_loss", 0.25),
        (1, "explanation_loss", 0.2),
    ):
        stop = stops(config.phases[phase], config)[-1]
        assert not stop.ends({name: 2.0})
        assert not stop.ends({name: 2.0 * share + 0.01})
        assert stop.ends({name: 2.0 * share})


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
    warn_of_collapse(ExplainerTraining(), 2)
    assert "alpha 0.25 of phase explainer lies below 0.73" in caplog.text
    assert len(caplog.records) == 1
    assert caplog.records[0].levelno == logging.WARNING
    caplog.clear()
    warn_of_collapse(ExplainerTraining(alpha=(0.1, 0.75, 0.74)), 2)
    assert not caplog.records  # the classifier's phase explains nothing


# Layers and order of a phase


def test_phases_train_their_layers_of_the_real_network():
    real = explainer_classifier((16, 16, 3), 2, "vgg")
    for phase, learners in zip(
        ("classifier", "explainer", "both"), LEARNERS, strict=True
    ):
        freeze(real, phase)
        learning = {x.name for x in real.layers if x.trainable_variables}
        expected = {
            x.name for x in real.layers if x.weights and learner_of(x.name) in learners
        }
        assert learning == expected
        assert len(learning) > 10


def test_phases_have_different_orders():
    config = PipelineConfig((8, 8), seed=7)
    feed = Feed(None, None, config, config)
    seeds = [seeded_feed(feed, number).train_config.seed for number in range(3)]
    assert seeds[0] == 7
    assert len(set(seeds)) == 3


# Resumed runs

OPTIONS = {"patience": (1, 1, 9), "min_delta": 9.0}


class Killed(keras.callbacks.Callback):
    """Die within the second epoch of a phase, after a step."""

    armed = True

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.epoch == 1 and self.armed:
            raise KeyboardInterrupt


class Dying(Impatient):
    """Training whose process dies in the second epoch of some phases."""

    phases: tuple[str, ...] = ()

    def logs(self, run, model, feed):
        callback = Killed()
        callback.armed = run.folder.name in self.phases
        return [callback]


@pytest.mark.slow
def test_a_run_that_dies_in_every_phase_equals_an_uninterrupted_one(
    squares, explained, tmp_path
):
    for number, name in enumerate(FOLDERS):
        Dying.phases = (name,)
        with pytest.raises(KeyboardInterrupt):
            squares(tmp_path, Dying, epochs=(9, 9, 2), **OPTIONS)
        done = [len(rows_of(tmp_path / folder)) for folder in FOLDERS]
        assert done == [2] * number + [1] + [0] * (2 - number)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.glob("phase[12]*/*.csv")}
    squares(tmp_path, Impatient, epochs=(9, 9, 2), **OPTIONS)
    for path, time in before.items():
        assert path.stat().st_mtime_ns == time  # an ended phase stays
    through, _ = explained
    for name in (".", *FOLDERS):
        for row, expected in zip(
            rows_of(tmp_path / name), rows_of(through / name), strict=True
        ):
            assert row == pytest.approx(expected, rel=1e-5)
        for kind in ("best",) if name == "." else ("best", "last"):
            file = f"{kind}.weights.h5"
            assert_equal_weights(
                tmp_path / name / file, through / name / file, 1e-6, 1e-6
            )


@pytest.fixture
def copy(explained, tmp_path):
    """Folder of a finished run that may be changed."""
    return shutil.copytree(explained[0], tmp_path / "copy")


def test_a_finished_run_is_trained_no_further(squares, copy):
    files = sorted(copy.glob("phase*/*.weights.h5"))
    before = [path.stat().st_mtime_ns for path in files]
    rows = rows_of(copy)
    squares(copy, epochs=(9, 9, 2), **OPTIONS)
    assert len(files) == 6
    assert [path.stat().st_mtime_ns for path in files] == before
    assert rows_of(copy) == rows


def test_more_epochs_resume_the_last_phase(squares, copy):
    early = [rows_of(copy / name) for name in FOLDERS]
    squares(copy, epochs=(9, 9, 3), **OPTIONS)
    later = [rows_of(copy / name) for name in FOLDERS]
    assert later[:2] == early[:2]
    assert later[2][:2] == early[2]
    assert len(later[2]) == 3
    # with the momentum and the rates that the second epoch ended with
    assert later[2][2]["learning_rate_classifier"] == pytest.approx(0.002)
    assert [row["epoch"] for row in rows_of(copy)] == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("begun", ["all", "first"])
def test_a_run_of_other_settings_is_refused_and_says_which(copy, begun):
    if begun == "first":  # dead in its first phase: no weights of the run yet
        (copy / "best.weights.h5").unlink()
        for name in FOLDERS[1:]:
            shutil.rmtree(copy / name)
    config = json.loads((copy / "config.json").read_text())
    config["training"]["alpha"] = [1, 0.5, 0.74]
    with pytest.raises(
        ValueError, match=r"training\.alpha: .*0\.75.*before.*0\.5.*now"
    ):
        Run(copy, config).__enter__()


class Ends(keras.callbacks.Callback):
    """Die as soon as an epoch begins."""

    def on_epoch_begin(self, epoch, logs=None):
        raise KeyboardInterrupt


class DyingAtOnce(SquaresTrainer):
    """Training whose process dies after the first phase at the latest."""

    spared = ""

    def logs(self, run, model, feed):
        return [] if self.spared and self.spared in run.folder.name else [Ends()]


class DyingAfterTheFirst(DyingAtOnce):
    spared = "phase1"


def test_a_phase_that_ended_early_stays_ended(squares, copy):
    for name in FOLDERS[1:]:
        shutil.rmtree(copy / name)
    before = rows_of(copy / FOLDERS[0])
    with pytest.raises(KeyboardInterrupt):
        squares(copy, DyingAtOnce, epochs=(9, 9, 2), **OPTIONS)
    assert rows_of(copy / FOLDERS[0]) == before
    assert (copy / FOLDERS[1]).is_dir()  # that is where it died


def test_a_seed_decides_a_run(squares, explained, tmp_path):
    first = rows_of(explained[0] / FOLDERS[0])[0]
    for seed in (0, 1):
        folder = tmp_path / str(seed)
        with pytest.raises(KeyboardInterrupt):
            squares(folder, DyingAfterTheFirst, seed=seed, **OPTIONS)
        (row,) = rows_of(folder / FOLDERS[0])
        assert (row == first) == (seed == 0)
