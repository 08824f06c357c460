"""Writing so that nothing is lost, run folders, and what follows from seeds and logs."""

import errno
import os
import re
import signal
import subprocess
import sys
import threading
import tomllib
from pathlib import Path

import h5py
import pytest
from experiments import experiment, make_epoch

from imgcls import environment, seeds
from imgcls.errors import DataError, UserError
from imgcls.io import files
from imgcls.monitor_settings import EarlyStopping
from imgcls.run import Run
from imgcls.run_lookup import find_run_or_family, find_runs, open_run
from imgcls.training import history
from imgcls.training.new_run import create_run
from imgcls.verbs.runs import list_runs


def test_a_file_is_replaced_atomically(tmp_path):
    path = tmp_path / "file"
    files.write_text(path, "old")

    def write_half():
        with files.replace_file(path) as stream:
            stream.write(b"half of the new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert path.read_text() == "old"
    files.write_text(path, "new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, "the disk is full: cannot write"),
        (errno.EDQUOT, "the disk is full"),
        (errno.EACCES, "cannot write"),
        (errno.EROFS, "cannot write"),
        (errno.ENAMETOOLONG, "cannot write"),
        (errno.ENOENT, "cannot write"),
    ],
)
def test_a_full_or_unwritable_disk_is_a_user_error_and_leaves_the_old_file(
    tmp_path, number, message
):
    path = tmp_path / "file"
    files.write_text(path, "old")
    with pytest.raises(UserError, match=message), files.replace_file(path):
        raise OSError(number, os.strerror(number))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def write_folder(path, text, error=None):
    with files.replace_folder(path) as temporary:
        (temporary / "inner").mkdir()
        (temporary / "inner" / "file").write_text(text)
        if error:
            raise error


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "folder"
    write_folder(path, "old")
    (path / "evaluation").mkdir()
    write_folder(path, "new")
    assert [each.relative_to(tmp_path).as_posix() for each in sorted(tmp_path.rglob("*"))] == [
        "folder",
        "folder/inner",
        "folder/inner/file",
    ]
    assert (path / "inner" / "file").read_text() == "new"


@pytest.mark.parametrize("error", [RuntimeError(), OSError(errno.ENOSPC, "full")])
def test_a_folder_that_cannot_be_filled_leaves_the_old_one(tmp_path, error):
    path = tmp_path / "folder"
    write_folder(path, "old")
    with pytest.raises((RuntimeError, UserError), match=r"^$|the disk is full: cannot write"):
        write_folder(path, "new", error)
    assert (path / "inner" / "file").read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_lock_can_be_acquired_while_others_rename_its_folder(tmp_path):
    errors = []

    def take(name):
        try:
            for number in range(150):
                with files.hold_lock(tmp_path / "folder" / "lock"):
                    (tmp_path / "folder").rename(tmp_path / f"{name}-{number}")
        except OSError as error:
            errors.append(error)

    threads = [threading.Thread(target=take, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(list(tmp_path.iterdir())) == 450


HOLDER = """
import os, pathlib, sys, time
from imgcls.io import files

with files.hold_lock(pathlib.Path(sys.argv[1])):
    child = os.fork()
    if child:
        print(child, flush=True)
    time.sleep(600)
"""


def test_a_lock_is_released_when_its_holder_is_killed_even_if_a_child_survives(tmp_path, capsys):
    lock = tmp_path / "lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, lock], stdout=subprocess.PIPE, text=True
    )
    child = int(holder.stdout.readline())
    try:
        assert files.is_locked(lock)
        threading.Timer(0.5, holder.kill).start()
        with files.hold_lock(lock):
            assert holder.wait() == -signal.SIGKILL
            os.kill(child, 0)
    finally:
        os.kill(child, signal.SIGKILL)
        holder.communicate()
    assert f"waiting for another process that is using {tmp_path}" in capsys.readouterr().err
    assert not files.is_locked(lock)


def test_is_locked_does_not_create_the_file(tmp_path):
    assert not files.is_locked(tmp_path / "folder" / "lock")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["folder", "link to nowhere"])
def test_a_path_that_cannot_be_locked_is_a_user_error(tmp_path, kind):
    lock = tmp_path / "lock"
    if kind == "folder":
        lock.mkdir()
    else:
        lock.symlink_to(tmp_path / "missing" / "file")
    with pytest.raises(UserError, match="cannot write"), files.hold_lock(lock):
        pass


def test_sub_seeds_differ_by_name_and_by_seed_and_stay_the_same():
    found = {seeds.derive_seed(seed, name) for seed in range(5) for name in seeds.NAMES}
    assert len(found) == 5 * len(seeds.NAMES)
    assert all(0 <= seed < 2**31 for seed in found)
    assert seeds.derive_seed(0, "split") == 877757775
    with pytest.raises(ValueError, match="no sub-seed is named 'splits'"):
        seeds.derive_seed(0, "splits")


def test_runs_are_numbered_in_order(workspace):
    settings = experiment(workspace)
    assert [create_run(settings).folder.name for _ in range(11)][-2:] == ["10", "11"]
    assert [run.folder.name for run in find_runs("tiny")] == [str(i) for i in range(1, 12)]
    assert [row["status"] for row in list_runs()] == ["created"] * 11


@pytest.mark.parametrize("content", ['{"status": "fin', '{"a": 1}'])
def test_a_damaged_run_is_listed_with_the_others(workspace, content):
    first, second = (create_run(experiment(workspace)) for _ in range(2))
    first.status_file.write_text(content)
    assert [(row["run"], row["status"]) for row in list_runs()] == [
        (str(first.folder), "damaged"),
        (str(second.folder), "created"),
    ]


def test_a_new_run_reads_back_its_experiment(workspace):
    settings = experiment(workspace, "seed=3")
    run = create_run(settings, workspace / "deep" / "run")
    assert open_run(run.folder).experiment == settings
    assert run.log == []


def test_the_newest_finished_run_of_an_experiment_is_found(workspace):
    settings = experiment(workspace)
    for state in ("finished", "finished", "interrupted"):
        create_run(settings).write_status(state)
    run, found = find_run_or_family(
        workspace / "experiment.yaml", ["evaluate.bootstrap_samples=200"]
    )
    assert run.folder.name == "2"
    assert found.evaluate.bootstrap_samples == 200


def test_an_unfinished_run_is_refused_with_the_command_that_finishes_it(workspace):
    run = create_run(experiment(workspace))
    with pytest.raises(
        DataError,
        match=(
            r"is created, not finished; run `imgcls train runs/tiny/1/config\.yaml --run"
            r" runs/tiny/1` first"
        ),
    ):
        find_run_or_family(run.folder, [])


def test_a_folder_that_is_not_a_run_is_rejected(workspace):
    (workspace / "empty").mkdir()
    for name, reason in (("empty", "has no config.yaml"), ("missing", "does not exist")):
        with pytest.raises(UserError, match=reason):
            open_run(workspace / name)


def test_the_lock_of_a_run_ends_with_its_holder(workspace):
    run = create_run(experiment(workspace))
    with (
        run.lock(),
        pytest.raises(UserError, match="another process trains"),
        Run(run.folder).lock(),
    ):
        pass
    with run.lock():
        pass


def epochs(**values):
    name, numbers = values.popitem()
    return [make_epoch(epoch=i + 1, **{name: number}) for i, number in enumerate(numbers)]


@pytest.mark.parametrize(
    ("losses", "stops"),
    [
        ([1.0, 1.0, 1.0], True),
        ([1.0, 1.0], False),
        ([1.0, 0.95, 0.92], True),
        ([1.0, 0.8, 0.7], False),
        ([1.0, 1.1, 0.5, 0.6], False),
        ([1.0, 0.5, 0.45, 0.44], True),
        ([], False),
    ],
)
def test_early_stopping_counts_epochs_without_enough_improvement(losses, stops):
    settings = EarlyStopping(monitor="val_loss", patience=2, min_delta=0.1)
    assert history.should_stop(epochs(val_loss=losses), settings) == stops


def test_the_environment_says_what_a_run_was_made_with():
    runtime = environment.read_runtime()
    first = environment.describe(5, ["/CPU:0"], runtime, [], None)
    assert (first.seed, first.devices, first.gpus) == (5, ["/CPU:0"], [])
    assert first.versions["h5py"] == h5py.__version__
    assert first.cores == len(os.sched_getaffinity(0))
    second = environment.describe(6, [], runtime, ["a:1", "b:1"], first)
    third = environment.describe(7, [], runtime, [], second)
    assert [start.seed for start in (*third.earlier_starts, third)] == [5, 6, 7]
    assert third.earlier_starts[1].workers == ["a:1", "b:1"]


def test_every_dependency_that_can_change_a_number_is_recorded():
    text = (Path(environment.__file__).parent.parent / "pyproject.toml").read_text()
    required = {
        re.match(r"[\w-]+", each)[0] for each in tomllib.loads(text)["project"]["dependencies"]
    }
    for_people_alone = {"matplotlib", "pyyaml", "rich", "typer", "filelock"}
    assert set(environment.PACKAGES) == (required - for_people_alone) | {"imgcls"}
