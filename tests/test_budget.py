"""A budget of time plans the epochs once; the plan is what continues and reproduces."""

from pathlib import Path

import numpy
import pytest
from experiments import (
    TINY,
    assert_same_result,
    command,
    experiment,
    write_experiment,
)
from test_freezing import make_trainer
from test_micro_batches import REAL
from test_progressive_resizing import MODEL

from imgcls.errors import DataError, EpochLimit, OutOfMemoryError, ProcessRestart, UserError
from imgcls.experiment_file import read_experiment
from imgcls.io.records import write_record
from imgcls.run import Run
from imgcls.store.lookup import find_store
from imgcls.training.new_run import create_run
from imgcls.training.plan import Measurement, Plan, Speed, apply_plan, make_plan, read_plan
from imgcls.verbs import reproduce, train


def with_budget(digits, budget, *overrides):
    return digits("train.epochs=null", f"train.budget={budget}", *overrides)


def make_speed(**changes):
    numbers = {"startup": 5.0, "compilation": 3.0, "step": 0.1, "epoch_end": 2.0, **changes}
    return Speed.model_validate(numbers)


def measured(*steps):
    """Return what was measured: of each kind of phase, a step."""
    return Measurement(startup=5.0, compilation=3.0, epoch_end=2.0, steps=steps)


@pytest.mark.parametrize(("budget", "epochs"), [("22s", 1), ("33.9s", 1), ("34s", 2), ("1h", 299)])
def test_epochs_fill_the_budget_after_start_up_and_before_the_model_is_written(
    workspace, budget, epochs
):
    """10 s for start-up, compilation and the end; an epoch of 100 steps takes 12 s."""
    settings = experiment(workspace, "train.epochs=null", f"train.budget={budget}")
    plan = make_plan(settings.train.budget, measured(0.1), 100, lambda epochs: 10.0 * epochs)
    assert plan == Plan(epochs=epochs, speed=make_speed())


@pytest.mark.parametrize(("budget", "epochs"), [("67.9s", 3), ("68s", 4), ("1h", 164)])
def test_faster_phases_make_room_for_epochs(workspace, budget, epochs):
    """Three epochs of 100 steps of 0.1 s, and all later ones of 0.2 s; 10 s for the rest."""
    settings = experiment(workspace, "train.epochs=null", f"train.budget={budget}")

    def count_seconds(epochs):
        return 10.0 * min(epochs, 3) + 20.0 * max(epochs - 3, 0)

    plan = make_plan(settings.train.budget, measured(0.1, 0.2), 100, count_seconds)
    assert plan.epochs == epochs
    assert plan.speed.step == pytest.approx(count_seconds(epochs) / (100 * epochs))


def test_a_budget_too_short_for_an_epoch_is_refused_with_what_one_takes(workspace):
    settings = experiment(workspace, "train.epochs=null", "train.budget=21s")
    with pytest.raises(UserError) as caught:
        make_plan(settings.train.budget, measured(0.1), 100, lambda epochs: 10.0 * epochs)
    assert str(caught.value).startswith(
        "train.budget is 21s, but an epoch takes 12 s, after 10 s for start-up, compilation and"
        " writing the model; give at least 28s, or a smaller model"  # a quarter more than 22 s
    )


def test_a_duration_longer_than_the_planned_epochs_is_refused(workspace):
    settings = experiment(
        workspace,
        "train.epochs=null",
        "train.budget=1m",
        "train.schedule={name: cosine, warmup: 5 epochs}",
    )
    assert apply_plan(settings, 5).train.epochs == 5
    with pytest.raises(UserError, match=r"warmup is 5 epochs, but .* is 4.*budget: 1m is enough"):
        apply_plan(settings, 4)


@pytest.mark.parametrize(
    ("train_section", "message"),
    [
        ({"epochs": 3, "budget": "1m"}, "epochs is 3, but budget is 1m, which plans the epochs"),
        ({"epochs": None}, "epochs is null; give a number of epochs, or a budget such as 10m"),
        ({"budget": "3 epochs"}, "give a duration such as 30s, 55m or 2h"),
    ],
)
def test_epochs_and_budget_exclude_each_other(workspace, train_section, message):
    path = write_experiment(workspace, {**TINY, "train": train_section})
    exit_code, _, error = command("check", path)
    assert exit_code == 2
    assert message in " ".join(error.split())


def test_the_resolved_experiment_reads_back_to_the_same(workspace):
    path = write_experiment(workspace, {**TINY, "train": {"budget": "1m"}})
    settings = read_experiment(path, [])
    Path("resolved.yaml").write_text(settings.to_yaml())
    assert read_experiment(Path("resolved.yaml"), []) == settings
    assert settings.train.epochs is None


SCHEDULE = "train.schedule={name: cosine, warmup: 20%}"


def plan_two_epochs(settings, folder):
    """Create a run whose plan is made already."""
    run = create_run(settings, Path(folder))
    write_record(run.plan_file, Plan(epochs=2, speed=make_speed()))
    return run


def test_a_run_keeps_its_plan_when_it_is_continued_and_reproduced(digits):
    settings = with_budget(digits, "1h", SCHEDULE)
    run = plan_two_epochs(settings, "planned")
    with pytest.raises(EpochLimit):
        train.train(settings, run.folder, epochs=1)
    train.train(settings, run.folder)
    train.train(digits("train.epochs=2", SCHEDULE), Path("given"))
    assert_same_result(run, Run(Path("given")))
    summary = reproduce.reproduce(run, folder=Path("again"))
    assert summary["result"] == "identical"
    assert read_plan(Run(Path("again"))) == read_plan(run)


def test_measuring_changes_no_variable_and_records_a_plan(digits, capsys):
    rich = (
        *("model.batch_norm=true", "train.ema.decay=0.9", "train.precise_batch_norm.batches=2"),
        "train.freeze=[{depth: 1}, {depth: 2, until: 3 steps}]",
    )
    given = make_trainer(digits("train.epochs=2", *rich), "given")
    planned = make_trainer(with_budget(digits, "1h", *rich), "planned")
    for one, other in zip(given.model.variables, planned.model.variables, strict=True):
        numpy.testing.assert_array_equal(one.numpy(), other.numpy())
    optimizers = (each._replicated.optimizer.variables for each in (given, planned))
    for one, other in zip(*optimizers, strict=True):
        numpy.testing.assert_array_equal(one.numpy(), other.numpy())
    known = planned._replicated.optimizer._trainable_variables
    assert list(map(id, planned.model.trainable_variables)) == list(map(id, known))
    given.close()
    planned.close()
    plan = read_plan(Run(Path("planned")))
    assert plan.epochs > 10
    assert plan.speed.step > 0
    assert plan.speed.epoch_end > plan.speed.step
    assert f"train.budget 1h: {plan.epochs} epochs fit" in capsys.readouterr().err


def pretend_to_measure(monkeypatch, *steps, needed=1, error=None):
    """Let measuring return the seconds of a step of each kind of phase; it fails as long as batches
    are divided into fewer than `needed` micro-batches.
    """
    from imgcls.training.speed_test import SpeedTest

    def measure(test, started, folder, accumulation_steps):
        if accumulation_steps < needed:
            raise error
        assert len(test.phases) == len(steps)
        return Measurement(startup=0.0, compilation=0.0, epoch_end=0.0, steps=steps)

    monkeypatch.setattr(SpeedTest, "measure", measure)


@pytest.mark.parametrize(
    ("overrides", "epochs"),
    [
        (["train.freeze=[{depth: 1, until: 50%}]"], 100),  # 0.12 s an epoch of 6 steps
        (["train.freeze=[{depth: 1, until: 60 steps}]"], 73),  # 0.06 s, 0.18 s after the tenth
        (["train.freeze=[{depth: 1, until: 100 epochs}]"], 133),
        ([MODEL, "train.progressive_resizing={initial_scale: 0.5}"], 80),  # a quarter is fast
    ],
    ids=["half", "steps", "epochs", "sizes"],
)
def test_each_phase_is_planned_with_its_own_speed(digits, monkeypatch, overrides, epochs):
    pretend_to_measure(monkeypatch, 0.01, 0.03)
    make_trainer(with_budget(digits, "12.05s", *overrides), "run").close()
    assert read_plan(Run(Path("run"))).epochs == epochs


def test_a_phase_longer_than_the_budget_is_refused_and_leaves_no_run(digits, monkeypatch):
    pretend_to_measure(monkeypatch, 0.01, 0.03)
    settings = with_budget(digits, "5s", "train.freeze=[{depth: 1, until: 100 epochs}]")
    with pytest.raises(UserError, match=r"until is 100 epochs, but .* is 83;.*5s is enough for 83"):
        train.train(settings, Path("run"))
    assert not Path("run").exists()


def make_error(text=None):
    from imgcls.backend import tf

    if text:
        return tf.errors.NotFoundError(None, None, text)
    return tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor {{node x}}")


def test_out_of_memory_while_measuring_halves_the_micro_batches_of_training_too(
    digits, monkeypatch, capsys
):
    pretend_to_measure(monkeypatch, 1.0, needed=4, error=make_error())
    train.train(with_budget(digits, "13s"), Path("run"))
    run = Run(Path("run"))
    assert (run.status.status, run.status.accumulation_steps) == ("finished", 4)
    assert len(run.log) == 2
    notes = capsys.readouterr().err
    for size in (128, 64):
        assert f"while measuring the speed; continuing with micro-batches of {size}" in notes


def test_out_of_memory_in_the_steps_that_are_measured_changes_no_variable(digits, monkeypatch):
    from imgcls.training import speed_test
    from imgcls.training.steps import Steps

    execute, calls = Steps.train, []

    def fail_second(steps, *arguments):
        calls.append(steps._accumulation.steps)
        if len(calls) == 2:
            raise make_error()
        return execute(steps, *arguments)

    freeze = "train.freeze=[{depth: 1, until: 50%}]"
    given = make_trainer(digits("train.epochs=2", freeze), "given")
    monkeypatch.setattr(Steps, "train", fail_second)
    monkeypatch.setattr(speed_test, "MEASURED_SECONDS", 0.0)
    planned = make_trainer(with_budget(digits, "1h", freeze), "planned")
    assert calls[:3] == [1, 1, 2]
    for one, other in zip(given.model.variables, planned.model.variables, strict=True):
        numpy.testing.assert_array_equal(one.numpy(), other.numpy())
    assert planned._state.counters.accumulation_steps == 2
    given.close()
    planned.close()


def test_a_failure_of_a_gpus_library_while_measuring_asks_for_a_new_process(digits, monkeypatch):
    settings, run = with_budget(digits, "13s"), Run(Path("run"))
    pretend_to_measure(monkeypatch, 1.0, needed=2, error=make_error(REAL))
    with pytest.raises(ProcessRestart, match=r"No algorithm worked!.*micro-batches of 128 from"):
        train.train(settings, run.folder)
    assert (run.status.status, read_plan(run)) == ("interrupted", None)
    train.train(settings, run.folder)
    assert (run.status.status, run.status.accumulation_steps) == ("finished", 2)
    assert not run.accumulation_steps_file.exists()


def test_a_model_too_large_to_measure_with_one_image_ends_with_advice(digits, monkeypatch):
    pretend_to_measure(monkeypatch, 1.0, needed=257, error=make_error())
    with pytest.raises(OutOfMemoryError, match=r"one image at a time .*; use a smaller model"):
        train.train(with_budget(digits, "13s"), Path("run"))


def test_a_dry_run_with_a_budget_does_not_start_a_new_process(digits, monkeypatch):
    from imgcls.rehearsal import dry_run

    settings = with_budget(digits, "13s")
    pretend_to_measure(monkeypatch, 1.0, needed=2, error=make_error(REAL))
    with pytest.raises(
        OutOfMemoryError, match=r"micro-batches of 128 .*set train\.micro_batch_size"
    ):
        dry_run.run(settings, *find_store(settings))


def test_a_budget_too_short_leaves_no_run(digits):
    with pytest.raises(UserError, match=r"train\.budget is 0\.01s, but an epoch takes"):
        train.train(with_budget(digits, "0.01s"), Path("run"))
    assert not Path("run").exists()


def test_a_damaged_plan_is_refused(digits):
    settings = with_budget(digits, "1h")
    plan_two_epochs(settings, "run").plan_file.write_text("{}")
    with pytest.raises(DataError, match=r"run/plan\.json"):
        train.train(settings, Path("run"))
