"""Runs and stores of other versions are refused in one line, before anything else of them is read,
and stand in nobody's way.
"""

import json
import shutil
from pathlib import Path

import numpy
import pytest
from experiments import change_json, command, experiment, json_of

from imgcls.errors import DataError
from imgcls.io.records import FormatError
from imgcls.run import Run
from imgcls.store import lookup
from imgcls.store.store import open_store
from imgcls.training.new_run import create_run
from imgcls.verbs import evaluate, prepare, train

OLD_CONFIG = "name: tiny\ndata: {name: digits, store: data}\nmodel: {name: cnn}\n"
"""With a key that has another name since."""


def make_old_run(folder: Path) -> None:
    """Write what a run of format 1 was: its status has no format."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(OLD_CONFIG)
    (folder / "status.json").write_text(json.dumps({"status": "finished", "step": 12}))
    (folder / "log.jsonl").write_text("{}\n")


def make_store_old(folder: Path) -> None:
    """Make a store what one of format 2 was: its splits name their arrays otherwise."""
    change_json(folder / "manifest.json", format=2)
    (folder / "image_statistics.npy").rename(folder / "looks.npy")
    for path in (folder / "splits").glob("*.npz"):
        with numpy.load(path) as archive:
            arrays = dict(archive)
        arrays["sides"] = arrays.pop("assignments")
        arrays["deviation"] = arrays.pop("std")
        numpy.savez(path, **arrays)


@pytest.mark.parametrize(
    "arguments",
    [
        ["eval", "runs/tiny/1"],
        ["plot", "runs/tiny/1"],
        ["reproduce", "runs/tiny/1"],
        ["audit", "runs/tiny/1"],
        ["train", "experiment.yaml", "--run", "runs/tiny/1"],
        ["train", "runs/tiny/1/config.yaml"],
        ["check", "runs/tiny/1/config.yaml"],
    ],
    ids=" ".join,
)
def test_an_old_run_is_refused_in_one_line_that_names_its_format(arguments, workspace):
    experiment(workspace)
    make_old_run(Path("runs/tiny/1"))
    exit_code, stdout, stderr = command(*arguments)
    assert (exit_code, stdout) == (3, "")
    assert stderr == (
        "imgcls: runs/tiny/1 is a run of format 1; this imgcls reads format 5: continue it with the"
        " imgcls that wrote it, or train a new run\n"
    )


def test_a_python_caller_is_refused_an_old_run_in_the_same_line(workspace):
    make_old_run(Path("runs/tiny/1"))
    with pytest.raises(FormatError, match="runs/tiny/1 is a run of format 1; this imgcls reads"):
        evaluate.evaluate(Run(Path("runs/tiny/1")))


@pytest.mark.parametrize("status", ["{}", "[]", "not JSON", '{"status": "finished"', None])
def test_mistakes_of_an_experiment_are_named_whatever_lies_beside_it(workspace, status):
    Path("config.yaml").write_text(OLD_CONFIG)
    if status is not None:
        Path("status.json").write_text(status)
    exit_code, _, stderr = command("check", "config.yaml")
    assert exit_code == 2
    assert "config.yaml:2:22: unknown key 'store' in data; allowed: name, store_dir" in stderr


def test_a_run_of_a_later_version_is_refused(workspace):
    run = create_run(experiment(workspace))
    change_json(run.status_file, format=6, later={"a": 1})
    with pytest.raises(FormatError) as caught:
        _ = run.status
    assert str(caught.value) == (
        "runs/tiny/1 is a run of format 6; this imgcls reads format 5: a later version wrote it;"
        " update imgcls"
    )
    assert (caught.value.exit_code, caught.value.folder_format) == (3, 6)


def test_old_runs_are_listed_by_their_format_and_hide_no_other(workspace):
    make_old_run(Path("runs/tiny/1"))
    create_run(experiment(workspace))
    assert [row["status"] for row in json_of("runs")] == ["format 1", "created"]


def test_an_experiment_is_evaluated_and_trained_beside_an_old_run(digits, capsys):
    settings = digits("train.epochs=1")
    make_old_run(Path("runs/tiny/1"))
    assert train.train(settings)["run"] == "runs/tiny/2"
    assert "not used: runs/tiny/1 is a run of format 1" in capsys.readouterr().err
    make_old_run(Path("runs/tiny/3"))
    overrides = ["train.epochs=1", f"data.store_dir={settings.data.store_dir}"]
    options = [word for override in overrides for word in ("--set", override)]
    exit_code, _, stderr = command("eval", "experiment.yaml", *options)
    assert exit_code == 0
    assert "note: not used: runs/tiny/3 is a run of format 1" in stderr
    assert Run(Path("runs/tiny/2")).metrics_file("test").exists()


def test_an_old_store_is_refused_in_one_line_that_names_its_format(workspace):
    folder = Path(prepare.prepare(experiment(workspace)).folder)
    make_store_old(folder)
    with pytest.raises(FormatError) as caught:
        open_store(folder)
    assert str(caught.value) == (
        f"{folder} is a store of format 2; this imgcls reads format 5: delete the folder {folder}"
        " and run `imgcls prepare` again"
    )


def test_training_on_an_old_store_only_is_refused_in_that_line(workspace):
    make_store_old(Path(prepare.prepare(experiment(workspace)).folder))
    exit_code, stdout, stderr = command("train", "experiment.yaml")
    assert (exit_code, stdout) == (3, "")
    assert len(stderr.splitlines()) == 1
    assert "is a store of format 2; this imgcls reads format 5" in stderr


def test_data_is_prepared_beside_an_old_store_which_stays(workspace, capsys):
    settings = experiment(workspace)
    folder = Path(prepare.prepare(settings).folder)
    old = folder.with_name("digits-000000000000")
    shutil.move(folder, old)
    make_store_old(old)
    report = prepare.prepare(settings)
    assert f"not used: {old} is a store of format 2" in capsys.readouterr().err
    assert not report.reused
    assert lookup.find_store(settings)[0].folder == Path(report.folder) == folder
    assert json.loads((old / "manifest.json").read_text())["format"] == 2


def test_an_old_store_of_the_same_content_is_replaced_and_split_anew(workspace, capsys):
    settings = experiment(workspace)
    first = prepare.prepare(settings)
    make_store_old(Path(first.folder))
    again = prepare.prepare(settings)
    assert "replacing a store and its splits: data/digits-" in capsys.readouterr().err
    assert again.fingerprint == first.fingerprint
    assert again.split_sha256 == first.split_sha256
    store, split = lookup.find_store(settings)
    store.verify(max_bytes=None)
    assert len(split.assignments) == store.count


def test_a_store_of_a_later_version_is_not_replaced(workspace):
    settings = experiment(workspace)
    folder = Path(prepare.prepare(settings).folder)
    change_json(folder / "manifest.json", format=6)
    with pytest.raises(DataError, match=r"is a store of format 6; .*update imgcls"):
        prepare.prepare(settings)
    assert json.loads((folder / "manifest.json").read_text())["format"] == 6
