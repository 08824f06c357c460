"""Learning rates against their formulas; optimizers against a step computed by hand."""

import math

import numpy
import pytest

from imgcls import parts
from imgcls.backend import keras, tf
from imgcls.errors import UserError


def rates(name, steps, **settings):
    """Return the learning rate of each step; an epoch has five."""
    part = parts.load("schedules", name)
    settings = part.Settings(name=name, **settings)
    return part.compute(settings, 0.5, numpy.arange(steps), steps, 5).tolist()


def test_constant_is_constant():
    assert rates("constant", 4) == [0.5] * 4


def test_constant_climbs_linearly_and_stays():
    numpy.testing.assert_allclose(
        rates("constant", 10, warmup="40%"), [0, 0.125, 0.25, 0.375, *[0.5] * 6], rtol=1e-6
    )


@pytest.mark.parametrize("name", parts.list_names("schedules"))
@pytest.mark.parametrize(
    ("warmup", "steps"), [("20%", 4), ("7 steps", 7), ("1 step", 1), ("2 epochs", 10), ("0.1%", 0)]
)
def test_the_rate_climbs_for_as_many_steps_as_the_warmup_says(name, warmup, steps):
    found = rates(name, 20, warmup=warmup)
    assert found.index(max(found)) == steps
    numpy.testing.assert_allclose(
        found[: steps + 1], [0.5 * i / (steps or 1) for i in range(steps)] + [0.5], rtol=1e-6
    )


@pytest.mark.parametrize("name", parts.list_names("schedules"))
def test_the_rate_starts_at_its_peak_without_a_warmup(name):
    assert rates(name, 20)[0] == rates(name, 20, warmup=None)[0] == 0.5


@pytest.mark.parametrize("name", parts.list_names("schedules"))
@pytest.mark.parametrize("warmup", ["21 steps", "5 epochs"])
def test_a_warmup_longer_than_the_training_is_refused(name, warmup):
    assert len(rates(name, 20, warmup="20 steps")) == 20
    message = f"train.schedule.warmup is {warmup}, but the training has 20 steps; give at most"
    with pytest.raises(UserError, match=message):
        rates(name, 20, warmup=warmup)


def test_cosine_follows_its_formula_after_the_climb():
    steps, warmup, floor = 100, 10, 0.1
    expected = [0.5 * step / warmup for step in range(warmup)]
    expected += [
        0.5
        * (floor + (1 - floor) * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))) / 2)
        for step in range(warmup, steps)
    ]
    numpy.testing.assert_allclose(
        rates("cosine", steps, warmup="10%", final_fraction=floor), expected, rtol=1e-5, atol=1e-8
    )


@pytest.mark.parametrize("warmup_steps", [0, 1, 30])
def test_schedules_are_those_of_keras(warmup_steps):
    keras_schedules = keras.optimizers.schedules
    expected = {
        "constant": keras_schedules.PolynomialDecay(0.0, warmup_steps, end_learning_rate=0.5)
        if warmup_steps
        else lambda step: 0.5,
        "cosine": keras_schedules.CosineDecay(
            0.0 if warmup_steps else 0.5,
            100 - warmup_steps,
            alpha=0.25,
            warmup_target=0.5 if warmup_steps else None,
            warmup_steps=warmup_steps,
        ),
    }
    warmup = f"{warmup_steps} steps" if warmup_steps else None
    for name in parts.list_names("schedules"):
        settings = {"final_fraction": 0.25} if name == "cosine" else {}
        keras_rates = [float(expected[name](step)) for step in range(100)]
        numpy.testing.assert_allclose(
            rates(name, 100, warmup=warmup, **settings), keras_rates, rtol=1e-5
        )


@pytest.mark.parametrize("name", parts.list_names("schedules"))
def test_the_rate_of_a_step_does_not_depend_on_the_steps_asked_for(name):
    part = parts.load("schedules", name)
    settings = part.Settings(name=name, warmup="20%")
    alone = [part.compute(settings, 0.5, numpy.array([step]), 20, 5)[0] for step in range(20)]
    assert rates(name, 20, warmup="20%") == alone


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("warmup", ["90%", "100%"])
def test_schedules_survive_the_shortest_trainings(steps, warmup):
    for name in parts.list_names("schedules"):
        assert all(math.isfinite(rate) for rate in rates(name, steps, warmup=warmup))


@pytest.mark.parametrize("name", parts.list_names("optimizers"))
def test_optimizers_ask_for_the_learning_rate_of_each_step(name):
    part, variable = parts.load("optimizers", name), keras.Variable([2.0], name="kernel")
    current = []
    optimizer = part.build(part.Settings(name=name), lambda: tf.constant(current[-1]))
    optimizer.build([variable])
    current.append(0.0)
    optimizer.apply([tf.constant([0.3])], [variable])
    assert float(variable[0]) == 2.0
    current.append(0.1)
    optimizer.apply([tf.constant([0.3])], [variable])
    assert float(variable[0]) < 2.0


@pytest.mark.parametrize(
    ("name", "first_step"),
    [
        ("sgd", lambda gradient: 0.1 * (1 + 0.9) * gradient),
        ("adam", lambda gradient: 0.1 * gradient / (abs(gradient) + 1e-7)),
        ("adamw", lambda gradient: 0.1 * gradient / (abs(gradient) + 1e-7) + 0.1 * 0.01 * 2.0),
    ],
)
def test_the_first_step_follows_the_paper(name, first_step):
    part = parts.load("optimizers", name)
    variable = keras.Variable([2.0], name="kernel")
    optimizer = part.build(part.Settings(name=name, learning_rate=0.1), 0.1)
    optimizer.build([variable])
    optimizer.apply([tf.constant([0.3])], [variable])
    assert float(variable[0]) == pytest.approx(2.0 - first_step(0.3), rel=1e-5)


def test_weight_decay_excludes_biases_and_batch_norm():
    part = parts.load("optimizers", "adamw")
    variables = [keras.Variable([2.0], name=name) for name in ("bias", "gamma", "beta", "kernel")]
    optimizer = part.build(part.Settings(name="adamw", weight_decay=0.5), 0.1)
    optimizer.build(variables)
    optimizer.apply([tf.constant([0.0])] * 4, variables)
    assert [float(variable[0]) for variable in variables] == pytest.approx([2.0, 2.0, 2.0, 1.9])


@pytest.mark.parametrize(("name", "decay"), [("adam", 0.0), ("adamw", 0.25)])
def test_five_steps_follow_the_paper(name, decay):
    part = parts.load("optimizers", name)
    settings = part.Settings.model_validate(
        {"name": name, **({"weight_decay": decay} if decay else {})}
    )
    rate = 2.0**-7
    optimizer = part.build(settings, rate)
    expected = numpy.random.default_rng(0).normal(size=(3, 4))
    variable = keras.Variable(expected, dtype="float64", name="kernel")
    optimizer.build([variable])
    first, second = numpy.zeros((3, 4)), numpy.zeros((3, 4))
    for step in range(1, 6):
        gradient = numpy.random.default_rng(step).normal(size=(3, 4))
        optimizer.apply([tf.constant(gradient)], [variable])
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        expected = expected * (1 - rate * decay)
        expected -= (
            rate
            * numpy.sqrt(1 - 0.999**step)
            / (1 - 0.9**step)
            * first
            / (numpy.sqrt(second) + 1e-7)
        )
    numpy.testing.assert_allclose(variable.numpy(), expected, rtol=1e-9)
