"""Learning-rate schedules against their formulas, and those of Keras and torch."""

import math

import numpy
import pytest
from experiments import experiment

from imgcls import parts
from imgcls.backend import keras
from imgcls.errors import UserError
from imgcls.training import build

WITH_WARMUP = [
    name
    for name in parts.list_names("schedules")
    if "warmup" in parts.load("schedules", name).Settings.model_fields
]
LATE = {"step": {"milestones": ["19 steps"]}}
"""Settings with which a schedule stays at its peak after the warm-up."""


def rates(name, steps, **settings):
    """Return the learning rate of each step; an epoch has five."""
    part = parts.load("schedules", name)
    settings = part.Settings.model_validate({"name": name, **settings})
    return part.compute(settings, 0.5, numpy.arange(steps), steps, 5).tolist()


def test_constant_is_constant():
    assert rates("constant", 4) == [0.5] * 4


def test_constant_climbs_linearly_and_stays():
    numpy.testing.assert_allclose(
        rates("constant", 10, warmup="40%"), [0, 0.125, 0.25, 0.375, *[0.5] * 6], rtol=1e-6
    )


@pytest.mark.parametrize("name", WITH_WARMUP)
@pytest.mark.parametrize(
    ("warmup", "steps"), [("20%", 4), ("7 steps", 7), ("1 step", 1), ("2 epochs", 10), ("0.1%", 0)]
)
def test_the_rate_climbs_for_as_many_steps_as_the_warmup_says(name, warmup, steps):
    found = rates(name, 20, warmup=warmup, **LATE.get(name, {}))
    assert found.index(max(found)) == steps
    numpy.testing.assert_allclose(
        found[: steps + 1], [0.5 * i / (steps or 1) for i in range(steps)] + [0.5], rtol=1e-6
    )


@pytest.mark.parametrize("name", WITH_WARMUP)
def test_the_rate_starts_at_its_peak_without_a_warmup(name):
    assert rates(name, 20)[0] == rates(name, 20, warmup=None)[0] == 0.5


@pytest.mark.parametrize("name", WITH_WARMUP)
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


KERAS = {
    "constant": ({}, lambda steps: lambda step: 0.5),
    "cosine": (
        {"final_fraction": 0.25},
        lambda steps: keras.optimizers.schedules.CosineDecay(0.5, steps, alpha=0.25),
    ),
    "polynomial": (
        {"final_fraction": 0.25, "power": 2.0},
        lambda steps: keras.optimizers.schedules.PolynomialDecay(
            0.5, steps, end_learning_rate=0.125, power=2.0
        ),
    ),
    "step": (
        {"every": "20 steps", "gamma": 0.5},
        lambda steps: keras.optimizers.schedules.ExponentialDecay(0.5, 20, 0.5, staircase=True),
    ),
}
"""Settings of each schedule with a warm-up, and Keras's schedule for the steps after it."""


@pytest.mark.parametrize("warmup_steps", [0, 1, 30])
@pytest.mark.parametrize("name", WITH_WARMUP)
def test_after_a_linear_warmup_schedules_are_those_of_keras(name, warmup_steps):
    settings, make = KERAS[name]
    after = make(100 - warmup_steps)
    expected = [0.5 * step / warmup_steps for step in range(warmup_steps)]
    expected += [float(after(step)) for step in range(100 - warmup_steps)]
    warmup = f"{warmup_steps} steps" if warmup_steps else None
    numpy.testing.assert_allclose(rates(name, 100, warmup=warmup, **settings), expected, rtol=1e-5)


def test_a_polynomial_of_power_1_is_a_line():
    numpy.testing.assert_allclose(rates("polynomial", 5), [0.5, 0.4, 0.3, 0.2, 0.1], rtol=1e-12)


def test_step_decay_lowers_the_rate_at_its_milestones():
    """As torch's MultiStepLR: from the step of the milestone on."""
    expected = [0.5] * 10 + [0.05] * 3 + [0.005] * 7
    found = rates("step", 20, milestones=["13 steps", "2 epochs"])
    numpy.testing.assert_allclose(found, expected, rtol=1e-12)
    numpy.testing.assert_allclose(rates("step", 20), rates("step", 20, milestones=["50%", "75%"]))


def test_a_milestone_in_the_warmup_lowers_what_is_climbed_to():
    found = rates("step", 20, milestones=["2 steps"], warmup="4 steps", gamma=0.5)
    numpy.testing.assert_allclose(found, [0, 0.125, 0.125, 0.1875, *[0.25] * 16], rtol=1e-12)


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"milestones": ["2 epochs", "4 epochs"]}, "milestones: 4 epochs"),
        ({"milestones": ["20 steps"]}, "milestones: 20 steps"),
        ({"milestones": ["100%"]}, "milestones: 100%"),
        ({"every": "4 epochs"}, "every: 4 epochs"),
        ({"every": "15 steps", "warmup": "5 steps"}, "every: 15 steps"),
    ],
)
def test_a_step_decay_that_is_longer_than_the_training_is_refused(settings, key):
    with pytest.raises(
        UserError, match=rf"{key} is not within the training, which has 4 epochs of 5 steps"
    ):
        rates("step", 20, **settings)


def test_default_milestones_are_in_the_resolved_settings_unless_there_is_an_interval():
    settings = parts.load("schedules", "step").Settings
    assert [str(each) for each in settings(name="step").milestones] == ["50%", "75%"]
    assert settings.model_validate({"name": "step", "every": "2 epochs"}).milestones is None
    again = settings.model_validate(settings(name="step").model_dump())
    assert again == settings(name="step")


def test_milestones_and_an_interval_are_refused():
    with pytest.raises(ValueError, match="has both milestones and every"):
        rates("step", 20, milestones=["50%"], every="10%")


@pytest.mark.parametrize(
    ("total", "settings"),
    [
        (40, {}),
        (20, {"pct_start": 0.25, "div_factor": 5.0, "final_div_factor": 20.0}),
        (30, {"pct_start": 0.1, "anneal_strategy": "linear"}),
    ],
)
def test_one_cycle_is_the_one_of_torch(total, settings):
    """The loop over two phases of OneCycleLR.get_lr, as torch documents it."""
    chosen = {"pct_start": 0.3, "div_factor": 25.0, "final_div_factor": 1e4, **settings}
    first = 0.5 / chosen["div_factor"]
    last = first / chosen["final_div_factor"]
    top = float(chosen["pct_start"] * total) - 1
    expected = []
    for step in range(total):
        start, end, rate, target = (
            (0, top, first, 0.5) if step <= top else (top, total - 1, 0.5, last)
        )
        progress = (step - start) / (end - start)
        if chosen.get("anneal_strategy") == "linear":
            expected.append((target - rate) * progress + rate)
        else:
            expected.append(target + (rate - target) / 2 * (1 + math.cos(math.pi * progress)))
    numpy.testing.assert_allclose(rates("one_cycle", total, **settings), expected, rtol=1e-12)
    assert expected[-1] == pytest.approx(last)


@pytest.mark.parametrize("name", parts.list_names("schedules"))
def test_the_rate_of_a_step_does_not_depend_on_the_steps_asked_for(name):
    part = parts.load("schedules", name)
    warmup = {"warmup": "20%"} if name in WITH_WARMUP else {}
    settings = part.Settings(name=name, **warmup)
    alone = [part.compute(settings, 0.5, numpy.array([step]), 20, 5)[0] for step in range(20)]
    assert rates(name, 20, **warmup) == alone


@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("warmup", [None, "90%", "100%"])
def test_schedules_survive_the_shortest_trainings(steps, warmup):
    for name in parts.list_names("schedules"):
        settings = {"warmup": warmup} if name in WITH_WARMUP else {}
        assert all(0 <= rate <= 0.5 for rate in rates(name, steps, **settings))


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ("milestones: [1 epoch, 30 epochs]", "milestones.1"),
        ("every: 30 epochs", "every"),
        ("warmup: 30 epochs", "warmup"),
    ],
)
def test_a_schedule_that_is_longer_than_the_epochs_is_refused_before_training(
    tmp_path, settings, key
):
    with pytest.raises(UserError, match=f"schedule.{key} is 30 epochs, but train.epochs is 2"):
        experiment(tmp_path, f"train.schedule={{name: step, {settings}}}")


@pytest.mark.parametrize(
    "schedule", [*parts.list_names("schedules"), "{name: step, milestones: [19 steps]}"]
)
def test_a_training_of_0_epochs_needs_no_schedule(tmp_path, schedule):
    changes = ("train.epochs=0", "train.head_init=linear_probe", f"train.schedule={schedule}")
    build.build_schedule(experiment(tmp_path, *changes), 0)
