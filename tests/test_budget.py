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

from imgcls.errors import DataError, EpochLimit, UserError
from imgcls.experiment_file import read_experiment
from imgcls.io.records import write_record
from imgcls.run import Run, create_run
from imgcls.training.plan import Plan, Speed, apply_plan, make_plan, read_plan
from imgcls.verbs import reproduce, train


def with_budget(digits, budget, *overrides):
    return digits("train.epochs=null", f"train.budget={budget}", *overrides)


def make_speed(**changes):
    numbers = {"startup": 5.0, "compilation": 3.0, "step": 0.1, "epoch_end": 2.0, **changes}
    return Speed.model_validate(numbers)


@pytest.mark.parametrize(("budget", "epochs"), [("22s", 1), ("33.9s", 1), ("34s", 2), ("1h", 299)])
def test_epochs_fill_the_budget_after_start_up_and_before_the_model_is_written(
    workspace, budget, epochs
):
    """10 s for start-up, compilation and the end; an epoch of 100 steps takes 12 s."""
    settings = experiment(workspace, "train.epochs=null", f"train.budget={budget}")
    assert make_plan(settings.train.budget, make_speed(), 100).epochs == epochs


def test_a_budget_too_short_for_an_epoch_is_refused_with_what_one_takes(workspace):
    settings = experiment(workspace, "train.epochs=null", "train.budget=21s")
    with pytest.raises(UserError) as caught:
        make_plan(settings.train.budget, make_speed(), 100)
    assert str(caught.value).startswith(
        "train.budget is 21s, but an epoch takes 12 s, after 10 s for start-up, compilation and"
        " writing the model; give at least 22 s"
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


def test_a_budget_too_short_leaves_a_run_without_a_plan(digits):
    with pytest.raises(UserError, match=r"train\.budget is 0\.01s, but an epoch takes"):
        train.train(with_budget(digits, "0.01s"), Path("run"))
    assert read_plan(Run(Path("run"))) is None


def test_a_damaged_plan_is_refused(digits):
    settings = with_budget(digits, "1h")
    plan_two_epochs(settings, "run").plan_file.write_text("{}")
    with pytest.raises(DataError, match=r"run/plan\.json"):
        train.train(settings, Path("run"))
