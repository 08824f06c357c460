"""Which runs there are, and which of them a command takes if it is given an experiment."""

import os
import shlex
import zipfile
from pathlib import Path

import pytest
from experiments import (
    command,
    describe_data,
    describe_model,
    experiment,
    json_of,
    make_epoch,
)

from imgcls.errors import DataError
from imgcls.io.records import write_record, write_records
from imgcls.report.tables import WIDTH
from imgcls.run_lookup import find_run_or_family, require_finished
from imgcls.training import resume
from imgcls.training.model_description import MEMBER
from imgcls.training.new_run import create_run
from imgcls.training.reproduction import Reproduction
from imgcls.verbs import train, train_family
from imgcls.verbs.runs import list_runs


def make_run(folder: Path, state: str, *overrides: str):
    """Return a run of the tiny experiment, whose second of three epochs is the best."""
    run = create_run(experiment(folder, *overrides))
    run.write_status(state)
    results = [(0.5, 0.9), (0.75, 0.4), (0.75, 0.8)]
    log = [
        make_epoch(epoch=number, val_accuracy=accuracy, val_loss=loss, stage_seconds={"steps": 1.0})
        for number, (accuracy, loss) in enumerate(results, 1)
    ]
    write_records(run.log_file, log)
    describe_data(run, ["a", "b"], {"train": 20, "validation": 10, "test": 0})
    with zipfile.ZipFile(run.model_file, "w") as archive:
        archive.writestr(MEMBER, describe_model(run.data.classes, run.data.shape).model_dump_json())
    return run


def mark(run, epochs=None):
    write_record(run.reproduction_file, Reproduction(run="runs/tiny/1", epochs=epochs))
    return run


@pytest.mark.parametrize("state", ["finished", "interrupted"])
@pytest.mark.parametrize(
    ("select_weights", "shown"), [("best", (2, 0.4, 0.75)), ("last", (3, 0.8, 0.75))]
)
def test_a_run_is_listed_with_the_results_of_its_selected_epoch(
    workspace, state, select_weights, shown
):
    make_run(workspace, state, f"train.select_weights={select_weights}")
    (row,) = list_runs()
    assert (row["status"], row["epochs"]) == (state, 3)
    assert (row["selected_epoch"], row["val_loss"], row["val_accuracy"]) == shown


def test_a_run_with_a_damaged_experiment_is_listed_as_damaged(workspace):
    make_run(workspace, "finished").config_file.write_text("name: [")
    assert [row["status"] for row in list_runs()] == ["damaged"]


@pytest.mark.parametrize(
    ("epochs", "what"), [(None, "runs/tiny/1"), (2, "runs/tiny/1 up to epoch 2")]
)
def test_a_reproduction_is_listed_with_what_it_reproduces(workspace, epochs, what):
    make_run(workspace, "finished")
    mark(make_run(workspace, "interrupted"), epochs)
    rows = json_of("runs")
    assert rows[0]["reproduction"] is None
    assert rows[1]["reproduction"] == {"run": "runs/tiny/1", "epochs": epochs}
    assert command("runs")[1].endswith(f"\n\nruns/tiny/2 reproduces {what}\n")


def test_a_damaged_mark_makes_the_run_damaged_and_still_a_reproduction(workspace):
    original, again = (make_run(workspace, "finished") for _ in range(2))
    again.reproduction_file.write_text("{")
    assert [row["status"] for row in list_runs()] == ["finished", "damaged"]
    assert find_run_or_family(workspace / "experiment.yaml")[0] == original


def test_an_experiment_means_no_reproduction_to_eval_and_plot(workspace):
    original = make_run(workspace, "finished")
    mark(make_run(workspace, "finished"))
    assert find_run_or_family(workspace / "experiment.yaml")[0] == original


def test_a_note_says_which_run_stands_for_an_experiment_and_what_was_passed_over(workspace, capsys):
    make_run(workspace, "finished", "seed=5")  # older: it would not be taken anyway
    make_run(workspace, "finished")
    newest = make_run(workspace, "finished")
    for state, override in [
        ("interrupted", "seed=0"),
        ("failed", "seed=0"),
        ("finished", "seed=6"),
    ]:
        make_run(workspace, state, override)
    mark(make_run(workspace, "finished"))
    experiment(workspace)
    assert find_run_or_family(workspace / "experiment.yaml")[0] == newest
    assert capsys.readouterr() == (
        "",
        "note: runs/tiny/3 is the newest of 2 finished runs with these settings; newer runs passed"
        " over: 2 unfinished, 1 with other settings, 1 made by `reproduce`\n",
    )


def test_the_note_is_short_if_there_is_one_run(workspace, capsys):
    make_run(workspace, "finished")
    find_run_or_family(workspace / "experiment.yaml")
    note = "note: runs/tiny/1 is the only finished run with these settings\n"
    assert capsys.readouterr().err == note


def test_without_a_run_to_take_the_error_counts_the_others(workspace):
    make_run(workspace, "interrupted")
    mark(make_run(workspace, "finished"))
    make_run(workspace, "finished").status_file.write_text("{")
    with pytest.raises(
        DataError,
        match=r"\(other runs: 1 unfinished, 1 made by `reproduce`, 1 unreadable; give the folder of"
        r" a finished one to use it\); run `imgcls train ",
    ):
        find_run_or_family(workspace / "experiment.yaml")


def test_train_continues_a_reproduction_only_if_its_folder_is_given(workspace):
    settings = experiment(workspace)
    make_run(workspace, "finished")
    again = mark(make_run(workspace, "interrupted"))
    assert resume.find_run_to_continue(settings, None) is None
    assert resume.find_run_to_continue(settings, again.folder) == again


def test_train_continues_the_newest_run_before_a_reproduction(workspace):
    unfinished = make_run(workspace, "interrupted")
    mark(make_run(workspace, "finished"))
    assert resume.find_run_to_continue(experiment(workspace), None) == unfinished


def test_a_reproduction_is_marked_before_its_folder_counts_as_a_run(workspace, monkeypatch):
    """Whatever is left of it after a crash is never taken for a run of the experiment."""
    written = []
    replace = os.replace
    monkeypatch.setattr(
        os, "replace", lambda old, new: (written.append(Path(new).name), replace(old, new))
    )
    run = create_run(experiment(workspace), None, Reproduction(run="runs/tiny/1", epochs=1))
    assert written.index(run.reproduction_file.name) < written.index(run.config_file.name)
    assert run.can_be_recreated()


def test_the_list_of_runs_fits_a_terminal(workspace):
    make_run(workspace, "interrupted", "name=fashion_cnn")
    lines = command("runs")[1].splitlines()
    assert len(lines) == 3, "a header of two lines, and a run"
    assert max(map(len, lines)) <= WIDTH


def test_the_summary_has_the_results_of_the_selected_and_of_the_last_epoch(workspace):
    run = make_run(workspace, "finished")
    summary = train.summarize(run)
    for name, epoch in (("selected", run.log[1]), ("last", run.log[2])):
        names = {"epoch", "loss", "accuracy", "val_loss", "val_accuracy"}
        assert summary[name] == epoch.model_dump(include=names)


def test_the_summary_says_in_text_which_epoch_its_results_are_of(workspace):
    lines = train.format_summary(train.summarize(make_run(workspace, "finished"))).splitlines()
    assert [line.split() for line in lines[:2]] == [["run", "runs/tiny/1"], ["status", "finished"]]
    assert lines[-3:] == [
        "results   epoch    loss  accuracy  val_loss  val_accuracy",
        "selected      2  1.0000    0.5000    0.4000        0.7500",
        "last          3  1.0000    0.5000    0.8000        0.7500",
    ]
    assert max(map(len, lines)) <= WIDTH


def test_the_summary_has_one_epoch_if_the_last_is_selected(workspace):
    summary = train.summarize(make_run(workspace, "finished", "train.select_weights=last"))
    assert (summary["selected"]["epoch"], summary["last"]) == (3, None)
    assert train.format_summary(summary).splitlines()[-1].startswith("selected      3")


def test_a_run_that_diverged_is_refused_with_advice_that_can_help(workspace):
    run = make_run(workspace, "running")
    run.write_status("failed", exit_code=4)
    with pytest.raises(DataError, match="its training diverged, and would again; give another run"):
        require_finished(run)
    run.write_status("failed", exit_code=3)
    with pytest.raises(DataError, match="is failed, not finished; run `imgcls train "):
        require_finished(run)


def test_a_trained_run_is_followed_by_a_command_that_can_be_pasted(workspace):
    summary = train.summarize(make_run(workspace, "finished"))
    for folder in ("runs/tiny/1", "my runs/1"):
        *_, last = train_family.format_report({**summary, "run": folder}).splitlines()
        assert shlex.split(last) == ["next:", "imgcls", "eval", folder]
