"""The report of a search, from study.json alone: the best, the figures, the page, the text."""

import itertools
import random
from types import SimpleNamespace
from typing import Any

import pytest
from experiments import command
from html_page import Page

from imgcls.figures import _style
from imgcls.io.records import read_record, write_record
from imgcls.tuning import drawings, page, progress, text_report
from imgcls.tuning.folder import StudyFolder
from imgcls.tuning.record import (
    Confirmation,
    SearchedRange,
    StudyRecord,
    TrialRecord,
    find_best,
)

RATE, MODEL, DROPOUT = "train.optimizer.learning_rate", "model", "model.dropout"
ONE = {"val_accuracy": "maximize"}
TWO = {"val_accuracy": "maximize", "multiply_adds": "minimize"}


def make_trial(number: int, **changes: Any) -> TrialRecord:
    """Return a finished trial, in which some fields are changed."""
    fields = {
        "number": number,
        "state": "finished",
        "parameters": {RATE: 10 ** -(1 + number % 4), MODEL: "cnn", DROPOUT: 0.1},
        "values": {"val_accuracy": 0.5 + 0.01 * number},
        "runs": {},
        "stds": {"val_accuracy": None},
        "is_allowed": True,
        "epochs": [],
        "seconds": 3.0,
        "reason": "",
    }
    return TrialRecord.model_validate(fields | changes)


def make_study(folder: Any, trials: list[TrialRecord], **changes: Any) -> StudyRecord:
    """Return the record of a search of three keys."""
    objective = changes.pop("objective", ONE)
    keys = [
        SearchedRange(key=RATE, low=1e-4, high=1e-1, log=True, choices=[]),
        SearchedRange(key=MODEL, low=None, high=None, log=False, choices=["cnn", "resnet"]),
        SearchedRange(key=DROPOUT, low=0, high=0.5, log=False, choices=[]),
    ]
    fields = {
        "study": str(folder),
        "experiment": "digits",
        "objective": objective,
        "sampler": "tpe",
        "pruner": None,
        "optuna": "5.0.0",
        "wanted": 40,
        "seconds": 60.0,
        "is_finished": True,
        "space": keys,
        "trials": trials,
        "best": find_best(trials, objective),
        "importances": {RATE: 0.7, MODEL: 0.2, DROPOUT: 0.1},
        "confirmation": None,
    }
    return StudyRecord.model_validate(fields | changes)


@pytest.fixture
def study(tmp_path):
    """A search of which every kind of trial is known."""
    others = [
        make_trial(4, state="pruned", values={}, epochs=[(1, 0.3)], reason="pruned after epoch 1"),
        make_trial(5, state="failed", values={}, reason="diverged: the loss is not finite"),
        make_trial(6, parameters={RATE: 0.01, MODEL: "resnet"}),
        make_trial(7, is_allowed=False),
        make_trial(8, state="running", values={}, seconds=None),
    ]
    return make_study(tmp_path, [*map(make_trial, range(4)), *others])


def test_the_best_trial_is_allowed_and_finished(study):
    assert study.best == [6]


def test_of_equal_trials_the_first_is_the_best():
    trials = [make_trial(number, values={"val_accuracy": 0.5}) for number in range(3)]
    assert find_best(trials, ONE) == [0]
    assert find_best([], ONE) == []


def test_the_front_is_that_of_every_pair_compared():
    source = random.Random(0)
    trials = [
        make_trial(
            number,
            values={"val_accuracy": source.random(), "multiply_adds": source.random()},
        )
        for number in range(40)
    ]
    dominated = {
        one.number
        for one, other in itertools.permutations(trials, 2)
        if other.values["val_accuracy"] > one.values["val_accuracy"]
        and other.values["multiply_adds"] < one.values["multiply_adds"]
    }
    assert find_best(trials, TWO) == [
        each.number for each in trials if each.number not in dominated
    ]


def test_the_record_is_read_back(study, tmp_path):
    path = tmp_path / "study.json"
    write_record(path, study)
    assert read_record(path, StudyRecord, "") == study


def test_every_figure_is_drawn_and_on_the_page(study, tmp_path):
    page.write_page(study)
    folder = StudyFolder(tmp_path)
    names = ["history", "importances", "slices", "parallel_coordinates"]
    assert Page(folder.page).list_figures() == names
    assert all(folder.figure_file(name).stat().st_size > 5000 for name in names)


def test_two_objectives_have_a_figure_of_the_front(tmp_path):
    values = [(0.5, 3.0), (0.6, 4.0), (0.4, 5.0)]
    trials = [
        make_trial(i, values={"val_accuracy": one, "multiply_adds": other})
        for i, (one, other) in enumerate(values)
    ]
    study = make_study(tmp_path, trials, objective=TWO)
    assert study.best == [0, 1]
    with _style.apply_style():
        figure = drawings.list_figures(study)["pareto"](study)
    front = figure.axes[0].lines[1]
    assert list(zip(front.get_ydata(), front.get_xdata(), strict=True)) == values[:2]


def test_the_history_rises_to_the_best(study):
    with _style.apply_style():
        figure = drawings.draw_history(study)
    (best,) = [line for line in figure.axes[0].lines if line.get_label() == "best so far"]
    assert list(best.get_ydata()) == sorted(best.get_ydata())
    assert best.get_ydata()[-1] == 0.56


def test_without_a_finished_trial_there_is_no_figure(tmp_path):
    study = make_study(tmp_path, [make_trial(0, state="failed", values={}, reason="a: b")])
    assert drawings.list_figures(study) == {}
    assert "No trial is finished" in text_report.format_report(study)


def test_the_report_says_what_was_tried_and_that_the_best_looks_too_good(study):
    text = text_report.format_report(study)
    assert "9 of 40: 6 finished, 1 pruned, 1 failed, 1 running" in text
    assert "trial 6: val_accuracy 0.5600" in text
    assert "trial 5 failed: diverged: the loss is not finite" in text
    assert "too good on average" in text
    assert "--confirm 5 tells" in text
    assert all(len(line) <= 80 for line in text.splitlines())


def test_a_confirmation_is_in_the_report_and_on_the_page(study, tmp_path):
    confirmation = Confirmation(
        own="a",
        best="b",
        trial=6,
        seeds=[1, 2],
        own_accuracy=0.5,
        best_accuracy=0.6,
        sentence="b is better: ...",
        comparison="c",
    )
    study = study.model_copy(update={"confirmation": confirmation})
    text = " ".join(text_report.format_report(study).split())
    assert "own values 0.5000, trial 6 0.6000. b is better: ..." in text
    assert "--confirm" not in text
    page.write_page(study)
    assert "b is better: ..." in StudyFolder(tmp_path).page.read_text()


def test_columns_are_named_by_the_last_word_where_that_is_enough(study):
    assert text_report.name_columns(study) == {
        RATE: "learning_rate",
        MODEL: "model",
        DROPOUT: "dropout",
    }


def test_the_table_of_the_terminal_shows_the_best_what_runs_and_the_time_left(study):
    from rich.console import Console

    epochs = [SimpleNamespace(log=[1, 2, 3])]
    job = SimpleNamespace(number=8, proposals={RATE: 0.012345}, list_runs=lambda: epochs)
    table = progress.make_table(study, SimpleNamespace(running=[job]), 3723.0)
    console = Console(width=100, color_system=None)
    with console.capture() as capture:
        console.print(table)
    lines = dict(line.split(None, 1) for line in capture.get().splitlines())
    assert lines["best"].strip() == "trial 6: val_accuracy 0.5600"
    assert lines["time"].strip() == "1:02:03"
    assert lines["left"].strip() == "about 0:01:36"  # 32 trials of 3 s
    assert "trial 8" in capture.get()
    assert "epoch 3  train.optimizer.learning_rate 0.01235" in capture.get()


def test_a_log_has_a_line_for_each_trial(study):
    assert progress.format_trial(study.trials[4], study) == (
        "trial 4: pruned in 3 s  best: trial 6  pruned after epoch 1"
    )
    assert progress.format_trial(study.trials[6], study).startswith(
        "trial 6: val_accuracy 0.5600 in 3 s  best: trial 6  train.optimizer.learning_rate 0.01"
    )


def test_an_experiment_without_a_search_is_refused_before_anything_is_imported(tmp_path):
    path = tmp_path / "experiment.yaml"
    path.write_text("name: a\ndata: {name: digits}\nmodel: {name: cnn}\n")
    exit_code, stdout, stderr = command("tune", path)
    assert (exit_code, stdout) == (2, "")
    assert "has no section tune; add one" in stderr
