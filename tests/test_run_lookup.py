"""Which runs there are, and which of them a command takes if it is given an experiment."""

from pathlib import Path

import pytest
from experiments import command, experiment, make_epoch

from imgcls.io.records import write_records
from imgcls.report.tables import WIDTH
from imgcls.run import create_run
from imgcls.verbs import train
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
    assert lines[:3] == ["run      runs/tiny/1", "status   finished", "epochs   3"]
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
