"""What a search refuses, and which failures of a trial it records, with a stand-in for training."""

import re
import shutil
import sqlite3
import sys

import pytest
from experiments import command
from searches import behave, list_starts, read_search, search, write_search

from imgcls.errors import DataError, Interrupted, UserError
from imgcls.io import files
from imgcls.tuning import database

pytestmark = pytest.mark.extras


@pytest.fixture
def store(prepared):
    """The folder of the digits' store."""
    return prepared / "data"


@pytest.fixture(scope="module")
def finished(prepared, tmp_path_factory):
    """The folder of a finished search."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        path = write_search(folder, prepared / "data", trials=1)
        search(path)
    return folder


def test_failures_are_recorded_and_the_search_goes_on(store, workspace):
    behave(
        **{
            "1": {"exit": 4, "message": "the loss is not finite"},
            "2": {"exit": 5, "message": "no memory"},
            "3": {"exit": 1, "message": "a bug"},
        }
    )
    record = search(write_search(workspace, store, trials=5))
    assert [trial.state for trial in record.trials] == ["finished", *["failed"] * 3, "finished"]
    assert record.trials[1].reason == "diverged: the loss is not finite"
    assert record.trials[2].reason == "out of memory: no memory"
    assert record.trials[3].reason == "exit code 1: a bug"


def test_a_trial_that_is_killed_goes_on_from_its_checkpoint(store, workspace):
    behave(**{"1": {"kill_after": 1}})
    record = search(write_search(workspace, store))
    assert [trial.state for trial in record.trials] == ["finished"] * 4
    assert list_starts() == [0, 1, 1, 2, 3]


def test_a_trial_that_is_killed_twice_without_progress_has_failed(store, workspace):
    behave(**{"1": {"exit": 75, "message": "interrupted"}})
    record = search(write_search(workspace, store))
    assert [trial.state for trial in record.trials] == ["finished", "failed", *["finished"] * 2]
    assert list_starts() == [0, 1, 1, 2, 3]


@pytest.mark.parametrize(
    ("behavior", "error", "message"),
    [
        ({"2": {"exit": 3, "message": "the store is damaged"}}, DataError, "trial 2 cannot go on"),
        ({"2": {"exit": 2, "message": files.DISK_IS_FULL}}, UserError, "the disk is full"),
        ({"0": {"exit": 2, "message": "too deep"}}, UserError, "own values, trial 0, cannot be"),
    ],
)
def test_what_every_trial_would_fail_by_stops_the_search(
    behavior, error, message, store, workspace
):
    path = write_search(workspace, store)
    behave(**behavior)
    with pytest.raises(error, match=message):
        search(path)
    behave()
    record = search(path)
    assert [trial.state for trial in record.trials] == ["finished"] * 4


def test_a_trial_on_other_data_is_not_counted(store, workspace):
    path = write_search(workspace, store)
    behave(**{"2": {"fingerprint": "0" * 64}})
    with pytest.raises(DataError, match="trial 2 was trained on other data"):
        search(path)
    with pytest.raises(DataError, match="trial 2 was trained on other data"):
        search(path)
    behave()
    shutil.rmtree(workspace / "study" / "trials" / "2")
    assert [trial.state for trial in search(path).trials] == ["finished"] * 4


@pytest.mark.parametrize(
    ("text", "is_start", "kind", "message"),
    [
        ("database or disk is full", False, UserError, "the disk is full: cannot write the study"),
        ("unable to open database file", True, UserError, "cannot reach the study's database"),
        ("disk I/O error", False, Interrupted, "lost the study's database sqlite:///study.db"),
    ],
)
def test_errors_of_the_database_are_one_line(text, is_start, kind, message):
    from sqlalchemy.exc import OperationalError

    cause = OperationalError("INSERT", None, sqlite3.OperationalError(text))
    with (
        pytest.raises(kind, match=message) as caught,
        database.explain_errors("sqlite:///study.db", is_start),
    ):
        raise cause
    assert "\n" not in str(caught.value)


def test_values_that_do_not_go_together_are_a_failed_trial(store, workspace):
    space = {"train.augmentation_repeats": [1, 3], "train.batch_size": [128, 129]}
    path = write_search(workspace, store, space=space, sampler={"name": "grid"}, trials=None)
    with pytest.raises(UserError, match="augmentation_repeats is 3, but batch_size is 256"):
        read_search(path)
    path = write_search(
        workspace,
        store,
        space={**space, "train.augmentation_repeats": [1, 2]},
        sampler={"name": "grid"},
        trials=None,
    )
    record = search(path, ["train.batch_size=128"])
    failed = [trial for trial in record.trials if trial.state == "failed"]
    assert [trial.parameters["train.batch_size"] for trial in failed] == ["129"]
    assert "do not go together" in failed[0].reason


@pytest.mark.parametrize(
    ("changes", "count", "message"),
    [
        ({}, 1, "--confirm 1: needs a whole number of seeds from 2"),
        ({"folds": 3}, 5, "the folds of tune.folds may contain its images"),
    ],
)
def test_a_confirmation_that_is_not_possible_is_refused_first(
    changes, count, message, store, workspace
):
    with pytest.raises(UserError, match=message):
        search(write_search(workspace, store, **changes), confirm=count)
    assert not (workspace / "starts.txt").exists()


OTHERS = {
    "an experiment": ["model.filters=[8]"],
    "a space": ["tune.space={train.batch_size: [128, 512]}"],
    "a direction": ["tune.objective={val_loss: minimize}"],
    "a sampler": ["tune.sampler=random"],
}


@pytest.mark.parametrize("overrides", OTHERS.values(), ids=OTHERS)
def test_the_study_of_another_search_is_refused(overrides, finished):
    folder = finished
    with pytest.raises(UserError, match="is of another search; choose another folder"):
        search(folder / "experiment.yaml", [*overrides, "tune.trials=2"])


def test_a_study_of_another_optuna_is_refused(finished, monkeypatch):
    import optuna

    folder = finished
    monkeypatch.setattr(optuna, "__version__", "5.9.9")
    with pytest.raises(UserError, match=r"optuna: '5.* there, '5.9.9' here"):
        search(folder / "experiment.yaml")


def test_a_folder_with_other_files_is_refused(store, workspace):
    (workspace / "study").mkdir()
    (workspace / "study" / "notes.txt").touch()
    with pytest.raises(UserError, match="exists, but is not a study"):
        search(write_search(workspace, store))


def test_a_damaged_database_is_one_line(store, workspace):
    (workspace / "study").mkdir()
    (workspace / "study" / "study.db").write_text("not a database, but long enough for a header")
    with pytest.raises(UserError, match="cannot reach the study's database sqlite"):
        search(write_search(workspace, store))


def test_data_that_is_not_prepared_is_said(workspace):
    with pytest.raises(DataError, match="imgcls prepare"):
        search(write_search(workspace, workspace / "nowhere"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--jobs", "0"], "needs a whole number from 1"),
        (["--jobs", "1000"], "cores, and each job needs one"),
        (["--storage", "postgresql://h/d"], "--storage needs --study DIR"),
        (["--study", "s", "--storage", "mysql://h/d"], "needs the address of a PostgreSQL"),
        (
            ["--study", "s", "--storage", "postgresql://u:secret@127.0.0.1:9/d"],
            r"cannot reach the study's database postgresql\+psycopg://u:\*\*\*@127.0.0.1:9/d",
        ),
    ],
)
def test_wrong_options_are_one_line(options, message, store, workspace):
    path = write_search(workspace, store)
    exit_code, stdout, stderr = command("tune", path, *options)
    assert (exit_code, stdout) == (2, "")
    lines = [line for line in stderr.splitlines() if not line.startswith("note: ")]
    assert len(lines) == 1
    assert re.search(message, lines[0]), lines


def test_without_optuna_the_extra_is_named(store, workspace, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UserError, match=r"pip install 'imgcls\[tune\]'"):
        search(write_search(workspace, store))
