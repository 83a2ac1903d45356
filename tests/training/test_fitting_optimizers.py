"""Optimizers by name: rates, schedules, weight decay in the gradient."""

import keras
import numpy as np
import pytest

from kerasloc.training.fitting import L2SGD, L2Adadelta, L2Adam, optimizer


@pytest.mark.parametrize(
    ("name", "kind"), [("adadelta", "Adadelta"), ("adam", "Adam"), ("sgd", "SGD")]
)
def test_an_optimizer_has_its_rate(name, kind):
    made = optimizer(name, 0.25)
    assert type(made).__name__ == kind
    assert float(made.learning_rate) == 0.25


def test_adadelta_has_the_published_rho():
    assert optimizer("adadelta", 1.0).rho == 0.95


@pytest.mark.parametrize(("name", "rate"), [("lion", 1), ("adam", 0), ("adam", -1)])
def test_unknown_optimizers_and_rates_are_refused(name, rate):
    with pytest.raises(ValueError, match="adadelta, adam, sgd with a rate above 0"):
        optimizer(name, rate)


def test_a_rate_of_nan_is_refused():
    with pytest.raises(ValueError, match="rate above 0"):
        optimizer("adam", np.nan)


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
    ("name", "kind", "by_hand"),
    [("sgd", L2SGD, sgd_by_hand), ("adadelta", L2Adadelta, adadelta_by_hand)],
)
def test_weight_decay_is_a_part_of_every_optimizers_gradient(name, kind, by_hand):
    made = optimizer(name, RATE, l2=L2)
    assert type(made) is kind
    found = steps_of(made) - START  # Adadelta's first moves are small
    np.testing.assert_allclose(found, by_hand() - START, rtol=2e-3)
    plain = steps_of(optimizer(name, RATE)) - START
    assert (np.abs(found - plain) > 0.01 * np.abs(plain)).all()


def test_weight_decay_is_a_part_of_the_gradient():
    made = optimizer("adam", RATE, l2=L2)
    assert isinstance(made, L2Adam)
    found = steps_of(made)
    np.testing.assert_allclose(found, adam_by_hand(), rtol=1e-5)
    decoupled = steps_of(keras.optimizers.AdamW(RATE, weight_decay=L2))
    plain = steps_of(optimizer("adam", RATE))
    for other in (decoupled, plain):
        assert np.abs(found - other).max() > 0.01


def test_without_weight_decay_it_is_adam():
    assert type(optimizer("adam", RATE)) is keras.optimizers.Adam
    np.testing.assert_array_equal(
        steps_of(L2Adam(RATE, l2=0.0)), steps_of(keras.optimizers.Adam(RATE))
    )


def test_weight_decay_survives_its_description():
    made = L2Adam(RATE, l2=L2, beta_1=0.8)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(made))
    assert type(again) is L2Adam
    assert (again.l2, again.beta_1) == (L2, 0.8)
    np.testing.assert_array_equal(steps_of(again), steps_of(made))


def test_a_schedule_stands_for_the_rate():
    schedule = keras.optimizers.schedules.ExponentialDecay(0.5, 1, 0.1, staircase=True)
    for name, l2 in (("adam", L2), ("adam", 0.0), ("sgd", 0.0), ("sgd", L2)):
        made = optimizer(name, 0.5, schedule, l2=l2)
        steps_of(made)
        assert float(made.learning_rate) == pytest.approx(0.005)
