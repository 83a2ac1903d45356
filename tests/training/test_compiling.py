"""How models are compiled: precision, devices, losses, optimizers and their rates."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasloc.configs import NetworkConfig
from kerasloc.losses import MaskedBinaryCrossentropy
from kerasloc.models.explainer import explainer_classifier
from kerasloc.training import compiling
from kerasloc.training.compiling import (
    L2SGD,
    L2Adadelta,
    L2Adam,
    jit_compile,
    make_optimizer,
)
from kerasloc.training.configs import PRECISIONS, ExplainerTraining
from kerasloc.training.explainer import freeze
from kerasloc.training.objectives import TwoRates, two_rates
from kerasloc.training.streaming_metrics import KnownLabelAccuracy

# Precision and devices


@pytest.fixture
def float32():
    """Restore the precision."""
    yield
    keras.config.set_dtype_policy("float32")


@pytest.mark.usefixtures("float32")
@pytest.mark.parametrize("name", PRECISIONS)
def test_layers_are_built_in_the_chosen_precision(name):
    compiling.set_precision(name)
    layer = keras.layers.Dense(1)
    assert layer.compute_dtype == name.removeprefix("mixed_")
    assert layer.variable_dtype == "float32"


def test_an_unknown_precision_is_refused_and_changes_nothing():
    with pytest.raises(ValueError, match=r"float32, mixed_float16, .*'half'"):
        compiling.set_precision("half")
    assert keras.config.dtype_policy().name == "float32"


@pytest.fixture
def gpus(monkeypatch):
    """Two GPUs for TensorFlow; the list of those that were selected."""
    chosen = []
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["A", "B"])
    monkeypatch.setattr(
        tf.config, "set_visible_devices", lambda names, kind: chosen.append(names)
    )
    monkeypatch.setattr(tf.distribute, "MirroredStrategy", lambda: "mirrored")
    return chosen


@pytest.mark.parametrize(
    ("words", "visible", "strategy"),
    [
        ("0", ["A"], None),
        ("1", ["B"], None),
        (1, ["B"], None),
        ("-1", [], None),
        ("0,1", ["A", "B"], "mirrored"),
        ("1, 0", ["B", "A"], "mirrored"),
    ],
)
def test_requested_gpus_are_the_visible_ones(gpus, words, visible, strategy):
    assert compiling.select(words) == strategy
    assert gpus == [visible]


def test_without_a_choice_tensorflow_chooses(gpus):
    assert compiling.select(None) is None
    assert gpus == []


@pytest.mark.parametrize("words", ["2", "0,7", "-2", "gpu", "", "0;1", "0.5"])
def test_a_missing_gpu_is_refused(gpus, words):
    with pytest.raises(
        ValueError, match=r"TensorFlow sees 2. Received.*-1 for the CPU"
    ):
        compiling.select(words)
    assert gpus == []


# Loss and metric by kind of label


def network(multi_label):
    return NetworkConfig("pylon", ("a", "b"), (8, 8), multi_label=multi_label)


def test_the_loss_is_that_of_the_kind_of_label():
    loss = compiling.label_loss(network(multi_label=True))
    assert isinstance(loss, MaskedBinaryCrossentropy)
    single = compiling.label_loss(network(multi_label=False))
    assert isinstance(single, keras.losses.CategoricalCrossentropy)
    value = single(np.array([[0.0, 1.0]]), np.array([[0.0, np.log(3.0)]]))
    assert float(value) == pytest.approx(np.log(4 / 3))  # of logits


def test_the_accuracy_is_that_of_the_kind_of_label():
    assert type(compiling.accuracy(network(multi_label=True))) is KnownLabelAccuracy
    single = compiling.accuracy(network(multi_label=False))
    single.update_state(np.array([[0.0, 1.0]]), np.array([[0.2, 0.9]]))
    assert (single.name, float(single.result())) == ("accuracy", 1.0)


def test_xla_runs_on_a_single_gpu_only(monkeypatch):
    assert jit_compile() is False  # these tests run without a GPU or on its CPU
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [kind])
    assert jit_compile() is True
    assert jit_compile(strategy=object()) is False


# Optimizers


@pytest.mark.parametrize(
    ("name", "kind"), [("adadelta", "Adadelta"), ("adam", "Adam"), ("sgd", "SGD")]
)
def test_an_optimizer_has_its_rate(name, kind):
    made = make_optimizer(name, 0.25)
    assert type(made).__name__ == kind
    assert float(made.learning_rate) == 0.25
    assert getattr(made, "rho", 0.95) == 0.95  # Adadelta's, as published


@pytest.mark.parametrize(
    ("name", "rate"), [("lion", 1), ("adam", 0), ("adam", -1), ("adam", np.nan)]
)
def test_unknown_optimizers_and_rates_are_refused(name, rate):
    with pytest.raises(ValueError, match=f"adadelta, adam, sgd.*'{name}' with {rate}"):
        make_optimizer(name, rate)


# Weight decay in the gradient

RATE, L2 = 0.1, 0.3
START = np.array([2.0, -1.0, 0.5])
GRADIENTS = np.array([[0.2, 0.4, -0.3], [-0.4, 0.1, 0.2]])


def steps_of(made):
    """A variable after a step with each of the gradients."""
    variable = keras.Variable(START.astype("float32"))
    for gradient in GRADIENTS:
        made.apply([keras.ops.convert_to_tensor(gradient, "float32")], [variable])
    return variable.numpy()


def adam_by_hand(beta_1=0.9, beta_2=0.999, epsilon=1e-7):
    value, m, v = START.copy(), 0.0, 0.0
    for step, plain in enumerate(GRADIENTS, start=1):
        gradient = plain + L2 * value
        m = beta_1 * m + (1 - beta_1) * gradient
        v = beta_2 * v + (1 - beta_2) * gradient**2
        corrected = m / (1 - beta_1**step), v / (1 - beta_2**step)
        value -= RATE * corrected[0] / (np.sqrt(corrected[1]) + epsilon)
    return value


def sgd_by_hand():
    value, velocity = START.copy(), 0.0
    for plain in GRADIENTS:
        velocity = 0.9 * velocity - RATE * (plain + L2 * value)
        value = value + velocity
    return value


def adadelta_by_hand(rho=0.95, epsilon=1e-7):
    value, squares, moves = START.copy(), 0.0, 0.0
    for plain in GRADIENTS:
        gradient = plain + L2 * value
        squares = rho * squares + (1 - rho) * gradient**2
        move = -np.sqrt(moves + epsilon) / np.sqrt(squares + epsilon) * gradient
        moves = rho * moves + (1 - rho) * move**2
        value = value + RATE * move
    return value


@pytest.mark.parametrize(
    ("name", "kind", "by_hand", "tolerance"),
    [
        ("sgd", L2SGD, sgd_by_hand, 2e-3),
        ("adadelta", L2Adadelta, adadelta_by_hand, 2e-3),
        ("adam", L2Adam, adam_by_hand, 1e-5),
    ],
)
def test_weight_decay_is_a_part_of_the_gradient(name, kind, by_hand, tolerance):
    made = make_optimizer(name, RATE, l2=L2)
    assert type(made) is kind
    values, zero = steps_of(made), START if name != "adam" else 0.0
    # Adadelta's first moves are small
    np.testing.assert_allclose(values - zero, by_hand() - zero, rtol=tolerance)
    plain = steps_of(make_optimizer(name, RATE))
    assert (np.abs(values - plain) > 0.01 * np.abs(plain - START)).all()


def test_weight_decay_is_not_decoupled_survives_its_description_and_may_be_0():
    made = L2Adam(RATE, l2=L2, beta_1=0.8)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(made))
    assert (type(again), again.l2, again.beta_1) == (L2Adam, L2, 0.8)
    values = steps_of(made)
    np.testing.assert_array_equal(steps_of(again), values)
    decoupled = steps_of(keras.optimizers.AdamW(RATE, weight_decay=L2, beta_1=0.8))
    assert np.abs(values - decoupled).max() > 0.01
    plain = steps_of(keras.optimizers.Adam(RATE))
    weighted = steps_of(make_optimizer("adam", RATE, l2=L2))
    assert np.abs(weighted - plain).max() > 0.01
    np.testing.assert_array_equal(steps_of(L2Adam(RATE, l2=0.0)), plain)


def test_a_schedule_stands_for_the_rate():
    schedule = keras.optimizers.schedules.ExponentialDecay(0.5, 1, 0.1, staircase=True)
    for name, l2 in (("adam", L2), ("adam", 0.0), ("sgd", 0.0), ("sgd", L2)):
        made = make_optimizer(name, 0.5, schedule, l2=l2)
        steps_of(made)
        assert float(made.learning_rate) == pytest.approx(0.005)


# Two rates


def learner_of(name):
    return "explainer" if name.startswith("explainer_") else "classifier"


def phase_of(name, optimizer="sgd", decay="none", epochs=2):
    """A phase with the rates 0.3 (classifier) and 0.01 (explainer) where they learn."""
    config = ExplainerTraining(
        epochs=epochs,
        optimizer=optimizer,
        decay=decay,
        classifier_rate=(0.3, 0, 0.3),
        explainer_rate=(0, 0.01, 0.01),
    )
    return next(phase for phase in config.phases if phase.name == name)


@pytest.fixture(scope="module")
def real():
    """The smallest of the real networks."""
    return explainer_classifier((16, 16, 3), 2, "vgg")


def test_the_layers_of_the_real_network_have_their_rates(real):
    freeze(real, "both")
    made = two_rates(phase_of("both"), 1, 0.0)
    made.build(real.trainable_variables)
    for layer in real.layers:
        for variable in layer.trainable_variables:
            index = made._var_to_optimizer_idx[made._var_key(variable)]
            optimizer = made.optimizers[index]
            assert optimizer.name == learner_of(layer.name)
            expected = {"classifier": 0.3, "explainer": 0.01}[optimizer.name]
            assert float(optimizer.learning_rate) == pytest.approx(expected)


BEGIN = {"explainer_a": [2.0, -1.0, 0.5], "fc": [-0.5, 1.5, 3.0]}


def variable(name):
    return keras.Variable(np.array(BEGIN[name], "float32"), name=name)


@pytest.mark.parametrize("l2", [0.0, 0.3])
@pytest.mark.parametrize("name", ["sgd", "adadelta", "adam"])
def test_classifier_and_explainer_move_as_with_two_optimizers(name, l2):
    together = {key: variable(key) for key in BEGIN}
    alone = {key: variable(key) for key in BEGIN}
    made = two_rates(phase_of("both", name), 1, l2)
    single = {
        "explainer_a": two_rates(phase_of("explainer", name), 1, l2),
        "fc": two_rates(phase_of("classifier", name), 1, l2),
    }
    for gradient in GRADIENTS:
        tensor = keras.ops.convert_to_tensor(gradient, "float32")
        made.apply([tensor] * 2, list(together.values()))
        for key, optimizer in single.items():
            optimizer.apply([tensor], [alone[key]])
            np.testing.assert_array_equal(together[key].numpy(), alone[key].numpy())
    moved = {key: together[key].numpy() - BEGIN[key] for key in BEGIN}
    assert np.abs(moved["fc"]).max() > 5 * np.abs(moved["explainer_a"]).max() > 0


@pytest.mark.parametrize("name", ["classifier", "explainer", "both"])
def test_cosine_ends_near_0(name):
    made = two_rates(phase_of(name, decay="cosine"), 10, 0.0)
    variables = [variable(key) for key in BEGIN]
    zeros = [keras.ops.zeros(3)] * 2
    for _ in range(19):
        made.apply(zeros, variables)
    optimizers = made.optimizers if name == "both" else [made]
    first = {"classifier": 0.3, "explainer": 0.01}
    for optimizer in optimizers:
        begin = first[optimizer.name if name == "both" else name]
        assert 0 < float(optimizer.learning_rate) < 0.01 * begin
    made.apply(zeros, variables)
    assert all(float(optimizer.learning_rate) == 0 for optimizer in optimizers)


@pytest.mark.parametrize("wrapped", [False, True])
def test_rates_fall_together(wrapped):
    made = two_rates(phase_of("both"), 1, 0.0)
    seen = keras.optimizers.LossScaleOptimizer(made) if wrapped else made
    before = float(seen.learning_rate)
    seen.learning_rate = before / 4
    assert float(seen.learning_rate) == pytest.approx(before / 4)
    rates = {opt.name: float(opt.learning_rate) for opt in made.optimizers}
    assert rates == pytest.approx({"classifier": 0.075, "explainer": 0.0025})


def test_two_rates_survive_their_description():
    made = two_rates(phase_of("both", "adadelta"), 1, 0.3)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(made))
    assert type(again) is TwoRates
    for first, second in zip(made.optimizers, again.optimizers, strict=True):
        assert (first.name, first.l2, first.rho) == (second.name, second.l2, second.rho)
        assert float(first.learning_rate) == float(second.learning_rate)
