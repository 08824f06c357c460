"""`imgcls runs` sorts and filters by any setting or metric, and writes a page of all runs."""

import sys
from pathlib import Path

import pytest
from compared_runs import make_compared
from experiments import command, json_of
from html_page import Page
from synthetic_run import make_run

from imgcls.errors import UserError
from imgcls.report.run_values import RunFilter, parse_filter
from imgcls.run import Run
from imgcls.verbs import evaluate
from imgcls.verbs.plot import plot
from imgcls.verbs.runs import RunQuery, query_runs


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with three runs below runs/: two are evaluated; tests read it only."""
    parent = tmp_path_factory.mktemp("queried")
    runs = {"a/1": (0.6, 32, "cnn"), "a/2": (0.9, 64, "cnn"), "b/1": (0.7, 64, "resnet")}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(parent)
        for name, (right, size, model) in runs.items():
            settings = {"train": {"batch_size": size}, "model": {"name": model}, "figures": []}
            run = make_compared(Path("runs") / name, right, **settings)
            if name != "b/1":
                evaluate.evaluate(run, run.experiment, "test")
        plot(Run(Path("runs/a/1")))
    return parent


@pytest.fixture
def inside(folder, monkeypatch) -> Path:
    monkeypatch.chdir(folder)
    return folder


def names(**query: object) -> list[str]:
    """Return the runs that a query finds, in its order."""
    return [row["run"].removeprefix("runs/") for row in query_runs(RunQuery(**query))]


def test_runs_are_sorted_by_a_metric_and_those_without_it_are_last(inside):
    assert names(sort="test.accuracy") == ["a/1", "a/2", "b/1"]
    assert names(sort="test.accuracy", reverse=True) == ["a/2", "a/1", "b/1"]
    assert names(sort="model", reverse=True)[0] == "b/1"
    assert sorted(names(sort="date")) == ["a/1", "a/2", "b/1"]


@pytest.mark.parametrize(
    ("where", "found"),
    [
        (["train.batch_size=64"], ["a/2", "b/1"]),
        (["train.batch_size!=64"], ["a/1"]),
        (["model=cnn", "train.batch_size>32"], ["a/2"]),
        (["test.accuracy>0"], ["a/1", "a/2"]),
        (["seconds>=1e9"], []),
        (["status=finished", "dataset=digits"], ["a/1", "a/2", "b/1"]),
        (["train.deterministic=true"], ["a/1", "a/2", "b/1"]),
        (["date>=2020-01-01"], ["a/1", "a/2", "b/1"]),
        (["date<2020-01-01"], []),
    ],
    ids=str,
)
def test_conditions_must_all_hold(inside, where, found):
    assert names(where=where) == found


def test_columns_show_what_was_asked_for_and_what_differs(inside):
    rows = query_runs(RunQuery(sort="seconds", show=["test.macro_f1"], differing=True))
    assert {"test.macro_f1", "seconds", "train.batch_size", "model.name"} <= rows[0].keys()
    assert "train.epochs" not in rows[0]
    (row,) = query_runs(
        RunQuery(where=["test.accuracy>0", "train.batch_size=64"], show=["dataset"])
    )
    assert row["dataset"] == "digits"


def test_the_text_has_the_columns_too(inside):
    _, stdout, _ = command("runs", "--where", "model=cnn", "--show", "train.batch_size")
    lines = stdout.splitlines()
    assert lines[-1].endswith("64")
    assert len(lines) == 4 or any("batch_size" in line for line in lines)


def test_without_options_the_rows_are_those_of_before(inside):
    plain = json_of("runs")
    assert [row["run"] for row in plain] == ["runs/a/1", "runs/a/2", "runs/b/1"]
    assert list(plain[0]) == [
        *("run", "status", "epochs", "selected_epoch", "val_loss", "val_accuracy"),
        *("test_accuracy", "reproduction", "mean_of"),
    ]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"sort": "test.acuracy"}, "did you mean 'test.accuracy'"),
        ({"where": ["train.batchsize=3"]}, "did you mean 'train.batch_size'"),
        ({"where": ["accuracy"]}, "needs a name, one of"),
        ({"show": ["no.such.thing.at.all"]}, "no run has a value"),
    ],
)
def test_a_wrong_name_or_condition_is_an_error_with_a_guess(inside, query, message):
    with pytest.raises(UserError, match=message):
        query_runs(RunQuery(**query))


def test_a_damaged_run_has_no_values_and_is_listed_and_named(inside, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    run = make_run(Path("runs/c/1"))
    run.log_file.write_text("{")
    make_run(Path("runs/c/2"))
    capfd.readouterr()
    assert names(sort="train.batch_size") == ["c/2", "c/1"]
    assert "note: not used: runs/c/1/log.jsonl" in capfd.readouterr().err
    assert names(where=["status=damaged"]) == ["c/1"]


def test_no_runs_are_an_empty_list_whatever_is_asked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert names(sort="test.accuracy", where=["model=cnn"]) == []


def test_conditions_compare_numbers_as_numbers():
    assert RunFilter("x", ">", "9").matches(10)
    assert RunFilter("x", "=", "1e-3").matches(0.001)
    assert not RunFilter("x", "=", "1").matches(True)
    assert RunFilter("x", "=", "true").matches(True)
    assert not RunFilter("x", "!=", "1").matches(None)
    assert parse_filter("a.b >= c d") == RunFilter("a.b", ">=", "c d")


def test_the_page_of_all_runs_leads_to_their_pages(inside):
    exit_code, _, stderr = command("runs", "--page", "--where", "model=cnn")
    assert exit_code == 0
    assert "wrote runs/index.html" in stderr
    page = Page(Path("runs/index.html"))
    links = [link["href"] for link in page.all("a") if not link["href"].startswith("#")]
    assert links == ["a/1/figures/report.html"]
    assert (Path("runs") / links[0]).is_file()
    assert "runs/a/2" in page.text
    assert "runs/b/1" not in page.text


@pytest.mark.extras
@pytest.mark.filterwarnings("default")  # MLflow's own
def test_finished_runs_are_logged_to_mlflow_once(inside, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    import mlflow

    uri = (tmp_path / "mlruns").as_uri()
    for expected in ("logged runs/a/1 to MLflow", "runs/a/1 is in MLflow already"):
        exit_code, _, stderr = command("runs", "--where", "model=cnn", "--mlflow", uri)
        assert exit_code == 0, stderr
        assert expected in stderr
    client = mlflow.MlflowClient(tracking_uri=uri)
    (experiment,) = [each for each in client.search_experiments() if each.name == "synthetic"]
    found = client.search_runs([experiment.experiment_id])
    assert sorted(each.info.run_name for each in found) == ["a/1", "a/2"]
    (first,) = [each for each in found if each.info.run_name == "a/1"]
    accuracy = Run(Path("runs/a/1")).read_evaluation("test").metrics["accuracy"]
    assert first.data.metrics["test.accuracy"] == accuracy
    assert first.data.params["train.batch_size"] == "32"
    history = client.get_metric_history(first.info.run_id, "val_loss")
    log = Run(Path("runs/a/1")).log
    assert [(each.step, each.value) for each in history] == [(e.epoch, e.val_loss) for e in log]
    names = {each.path for each in client.list_artifacts(first.info.run_id)}
    assert names == {"config.yaml", "report.html"}


def test_without_mlflow_the_error_says_how_to_install_it(inside, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    exit_code, _, stderr = command("runs", "--mlflow", "http://localhost:1")
    assert exit_code == 2
    assert "pip install 'imgcls[mlflow]'" in stderr
