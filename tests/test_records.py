"""What imgcls writes to disk is read back, and whatever else lies in its place is named in one
line.
"""

import json
import shutil
from pathlib import Path

import pytest
from damage import ARRAYS, JSON, assert_refused_in_one_line
from experiments import command, make_runtime
from synthetic_run import make_run

from imgcls import environment, parts
from imgcls.audit import runner
from imgcls.environment import Environment
from imgcls.evaluation import predictions
from imgcls.evaluation.record import Evaluation
from imgcls.io.records import read_record, write_record
from imgcls.run import Run
from imgcls.store.lookup import open_run_store
from imgcls.store.manifest import DataDescription, Manifest
from imgcls.store.store import open_store
from imgcls.training.accumulation_request import RequestedAccumulation
from imgcls.training.history import EpochLog
from imgcls.training.status import Status
from imgcls.verbs import evaluate


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A folder with an evaluated run that diverged and went on, and its audited store."""
    run = make_run(tmp_path_factory.mktemp("whole") / "run", evaluate={"bootstrap_samples": 100})
    store, split = open_run_store(run.data, run.experiment.data.store_dir)
    report, _ = runner.run_checks(store, split, parts.make_all_default_settings("checks"))
    runner.save_report(report, store, split.key)
    divergence = {"epoch": 1, "step": 3, "learning_rate": 0.1, "images": ["a", "\udcff"]}
    retries = [{**divergence, "learning_rate_factor": 0.5}]
    run.write_status("finished", step=50, retries=retries, exit_code=0)
    gpu = {"name": "NVIDIA L4", "compute_capability": "8.9", "driver": None}
    runtime = make_runtime(gpus=[gpu], variables={"TF_A": "b"})
    first = environment.describe(0, ["GPU"], runtime, [], None)
    write_record(run.environment_file, environment.describe(0, ["CPU"], runtime, ["a:1"], first))
    write_record(run.accumulation_steps_file, RequestedAccumulation(accumulation_steps=4))
    evaluate.evaluate(run, run.experiment, "test")
    return run.folder.parent


@pytest.fixture
def run(whole, workspace) -> Run:
    """A copy of that run, in the current folder, with its store beside it."""
    shutil.copytree(whole / "data", "data")
    shutil.copytree(whole / "run", "runs/synthetic/1")
    run = Run(Path("runs/synthetic/1"))
    text = run.config_file.read_text()
    run.config_file.write_text(text.replace(str(whole / "data"), "data"))
    return run


def read_accumulation_steps(run):
    return read_record(run.accumulation_steps_file, RequestedAccumulation, "delete it")


def store_of(run):
    return open_store(next(Path("data").glob("digits-*")))


FILES = {
    "status.json": (lambda run: run.status_file, lambda run: run.status, Status),
    "data.json": (lambda run: run.data_file, lambda run: run.data, DataDescription),
    "environment.json": (
        lambda run: run.environment_file,
        lambda run: run.environment,
        Environment,
    ),
    "log.jsonl": (lambda run: run.log_file, lambda run: run.log, EpochLog),
    "metrics.json": (
        lambda run: run.metrics_file("test"),
        lambda run: run.read_evaluation("test"),
        Evaluation,
    ),
    "accumulation_steps.json": (
        lambda run: run.accumulation_steps_file,
        read_accumulation_steps,
        RequestedAccumulation,
    ),
    "manifest.json": (lambda run: store_of(run).folder / "manifest.json", store_of, Manifest),
}
"""By their names: where each file is, what reads it, and its model."""


@pytest.mark.parametrize("name", FILES)
def test_an_intact_file_has_the_keys_of_its_model_and_round_trips(name, run):
    find, read, model = FILES[name]
    before = find(run).read_bytes()
    found = read(run)
    for line in before.splitlines() if name == "log.jsonl" else [before]:
        assert list(json.loads(line)) == list(model.model_fields)
    if isinstance(found, model):
        write_record(find(run), found)
        assert find(run).read_bytes() == before


@pytest.mark.parametrize("damage", JSON)
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_json_file_is_explained_in_one_line(name, damage, run):
    find, read, _ = FILES[name]
    path = find(run)
    JSON[damage](path)
    if (name, damage) == ("log.jsonl", "empty"):
        assert read(run) == []  # a log before its first epoch
        return
    assert_refused_in_one_line(lambda: read(run), path)


def list_keys(value, prefix=()):
    """Return the location of each key of the objects in a JSON value whose keys are fixed."""
    free = {"audits", "sizes", "sha256", "metrics", "per_class", "tables", "matrices"}
    free |= {"intervals", "wilson_intervals", "versions", "libraries", "variables", "checks"}
    found = []
    for key, inner in value.items():
        found.append((*prefix, key))
        if isinstance(inner, dict) and (key not in free or (key == "sizes" and "train" in inner)):
            found += list_keys(inner, (*prefix, key))
        if isinstance(inner, list) and inner and isinstance(inner[0], dict):
            found += list_keys(inner[0], (*prefix, key, 0))
    return found


def remove_key(value, location):
    for step in location[:-1]:
        value = value[step]
    del value[location[-1]]


@pytest.mark.parametrize("name", FILES)
def test_each_missing_key_is_named(name, run):
    find, read, _ = FILES[name]
    path, text = find(run), find(run).read_text()
    first = text.splitlines()[0] if name == "log.jsonl" else text
    for location in list_keys(json.loads(first)):
        value = json.loads(first)
        remove_key(value, location)
        path.write_text(json.dumps(value) + "\n")
        if location == ("format",):
            continue  # of format 1, which tests/test_formats.py is about
        message = assert_refused_in_one_line(lambda: read(run), path)
        assert f"{location[-1]} is missing" in message


MISTAKES = {
    "status.json": [
        ({"step": "x"}, "step: should be an integer, got 'x'"),
        ({"step": 1.0}, "step: should be an integer, got 1.0"),
        ({"step": -1}, "step: should be greater than or equal to 0, got -1"),
        ({"status": "done"}, "status: should be 'created', 'running', "),
        ({"retries": 3}, "retries: should be a list, got 3"),
        ({"retries": [3]}, "retries[0]: should be an object, got 3"),
        ({"reason": None}, "reason: should be text, got null"),
    ],
    "data.json": [
        ({"classes": ["a", "b"]}, "class_counts.train has 3 classes, but there are 2"),
        ({"shape": [8, 8]}, "shape[2] is missing"),
        ({"shape": [8, 8, 1, 1]}, "shape: should have at most 3 items, got 4"),
        ({"mean": [1.0]}, "mean and std have 1 and 3 channels, but shape is [8, 10, 3]"),
        ({"mean": ["x"]}, "mean[0]: should be a number, got 'x'"),
        ({"fingerprint": "f"}, "fingerprint: "),
        ({"sizes": {"train": 1, "validation": 1, "test": 1}}, "sizes.train is 1, but"),
    ],
    "metrics.json": [
        ({"classes": ["a"]}, "has 3 classes, but there are 1"),
        ({"metrics": {"accuracy": "x"}}, "metrics.accuracy: should be a number, got 'x'"),
        ({"intervals": {"accuracy": [0.1]}}, "intervals.accuracy[1] is missing"),
    ],
    "manifest.json": [
        ({"classes": ["a", "b"]}, "class_counts.train has 3 classes, but there are 2"),
        ({"sizes": {}}, "sizes and sha256 do not list the same files"),
    ],
}


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [(name, *mistake) for name, mistakes in MISTAKES.items() for mistake in mistakes],
)
def test_a_wrong_value_is_explained_with_its_location(name, changes, words, run):
    find, read, _ = FILES[name]
    path = find(run)
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    assert words in assert_refused_in_one_line(lambda: read(run), path)


def test_a_line_of_the_log_is_named(run):
    lines = run.log_file.read_text().splitlines()
    lines[2] = lines[2].replace('"epoch": 3', '"epoch": "x"')
    run.log_file.write_text("\n".join(lines) + "\n")
    message = assert_refused_in_one_line(lambda: run.log, run.log_file)
    assert "(line 3: epoch: should be an integer, got 'x'); run the training command" in message


@pytest.mark.parametrize("damage", ARRAYS)
@pytest.mark.parametrize("name", ["predictions.npz", "split"])
def test_damaged_arrays_are_explained_in_one_line(name, damage, run):
    store, key = store_of(run), run.data.split
    path, read = {
        "predictions.npz": (
            run.predictions_file("test"),
            lambda: predictions.load(run, "test"),
        ),
        "split": (store.get_split_file(key), lambda: store.read_split(key)),
    }[name]
    read()
    ARRAYS[damage](path)
    assert_refused_in_one_line(read, path)


@pytest.mark.parametrize("damage", JSON)
@pytest.mark.parametrize("name", ["status.json", "log.jsonl", "metrics.json", "data.json"])
def test_one_damaged_run_never_hides_the_others(name, damage, run):
    shutil.copytree(run.folder, "runs/synthetic/2")
    JSON[damage](FILES[name][0](run))
    exit_code, stdout, _ = command("runs", "--json")
    assert exit_code == 0
    harmless = name == "data.json" or (name, damage) == ("log.jsonl", "empty")
    states = [row["status"] for row in json.loads(stdout)]
    assert states == ["finished" if harmless else "damaged", "finished"]


@pytest.mark.parametrize("damage", ["not JSON", "folder", "dangling link", "deep"])
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("status.json", ["eval", "runs/synthetic/1"]),
        ("data.json", ["eval", "runs/synthetic/1"]),
        ("metrics.json", ["plot", "runs/synthetic/1", "roc"]),
        ("manifest.json", ["audit", "runs/synthetic/1"]),
        ("status.json", ["train", "runs/synthetic/1/config.yaml", "--run", "runs/synthetic/1"]),
    ],
)
def test_a_command_that_needs_a_damaged_file_says_so_in_one_line(name, damage, arguments, run):
    path = FILES[name][0](run)
    JSON[damage](path)
    exit_code, stdout, stderr = command(*arguments)
    assert exit_code == 3
    lines = [line for line in stderr.splitlines() if not line.startswith("note:")]
    assert stdout == ""
    assert len(lines) == 1
    assert str(path) in lines[0]


@pytest.mark.parametrize("damage", ["not UTF-8", "folder", "dangling link", "number", "truncated"])
def test_a_damaged_config_is_named_in_one_line(damage, run):
    JSON[damage](run.config_file)
    assert_refused_in_one_line(lambda: run.experiment, run.config_file)
    exit_code, _, stderr = command("eval", run.folder)
    assert exit_code == 3
    assert len(stderr.splitlines()) == 1


@pytest.mark.parametrize("damage", ARRAYS)
def test_damaged_predictions_leave_out_their_figures_and_are_told_when_asked_for(damage, run):
    ARRAYS[damage](run.predictions_file("test"))
    exit_code, _, stderr = command("plot", run.folder, "roc")
    assert exit_code == 3
    assert len(stderr.splitlines()) == 1
    assert "predictions.npz" in stderr


def test_a_page_without_its_log_shows_the_rest(run):
    run.log_file.write_text("{")
    exit_code, _, stderr = command("plot", run.folder, "roc")
    assert exit_code == 0
    assert "note: the page has no log: " in stderr
    page = run.report_page.read_text()
    assert "its last line is truncated" in page
    assert "Metrics, test split" in page
