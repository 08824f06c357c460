"""A dry run: does all that a training does, finds its mistakes, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy
import pytest
from experiments import MIRRORED, TINY, command, write_experiment
from PIL import Image

from imgcls.errors import DataError, OutOfMemoryError
from imgcls.io import refused_folders
from imgcls.io.signals import keep_interrupts
from imgcls.rehearsal import scratch
from imgcls.rehearsal.options import Rehearsal
from imgcls.run import Run
from imgcls.store import data_workers
from imgcls.training import checkpoint_file, model_file
from imgcls.verbs.prepare import prepare
from imgcls.verbs.rehearse import rehearse

DRY = Rehearsal("dry_run", "experiment.yaml")


def list_files():
    return sorted(path for path in Path().rglob("*") if path != Path("experiment.yaml"))


def test_a_dry_run_says_what_would_be_trained_and_leaves_nothing_behind(digits):
    Path("runs").mkdir()
    before = list_files()
    found = rehearse(DRY, digits("train.epochs=3", "train.micro_batch_size=64"))
    assert list_files() == before
    expected = {
        "classes": 10,
        "train_images": 1294,
        "validation_images": 144,
        "image_shape": [8, 8, 1],
        "parameters": 4 * 9 + 4 + (4 * 16 * 8 + 8) + (8 * 10 + 10),
        "batch_size": 256,
        "micro_batch_size": 64,
        "accumulation_steps": 4,
        "epochs": 3,
        "steps_per_epoch": 6,
        "total_steps": 18,
        "next": "imgcls train experiment.yaml",
    }
    assert {name: found[name] for name in expected} == expected
    assert found["first_step_seconds"] > found["step_seconds"] > 0  # it compiles
    assert found["epoch_seconds"] == 6 * found["step_seconds"]
    assert 0 < found["validation_batch_loss"] < 10
    assert found["checkpoint_mb"] > 3 * 4 * found["parameters"] / 1e6  # with Adam's two moments
    assert found["model_mb"] > 4 * found["parameters"] / 1e6
    assert found["peak_memory_mib"]["host"] > 100


def test_without_a_runs_folder_none_is_made(digits):
    experiment = digits("train.select_weights=last", "data.validation=0.0")
    prepare(experiment)
    before = list_files()
    assert rehearse(DRY, experiment)["validation_batch_loss"] is None
    assert list_files() == before


@pytest.mark.parametrize(
    ("overrides", "expected", "problem"),
    [
        (["model.filters=[4,4,4,4,4]"], 2, "too small for a total stride of 32"),
        (["train.schedule={name: cosine, warmup: 500 steps}"], 2, "the training has 12 steps"),
        ([MIRRORED, "train.batch_size=255"], 2, "not a multiple of the 2 devices"),
        (["train.strategy={name: multi_worker}"], 2, "--dry-run works in one process"),
        (["data.store_dir=nowhere"], 3, "imgcls prepare"),
        (["train.optimizer={name: sgd, learning_rate: 1.0e+30}"], 4, "not finite"),
    ],
)
def test_mistakes_end_as_they_would_end_a_training(digits, overrides, expected, problem):
    store = digits().data.store_dir
    Path("runs").mkdir()
    before = list_files()
    changes = [f"data.store_dir={store}", *overrides]
    options = [word for each in changes for word in ("--set", each)]
    exit_code, stdout, stderr = command("train", "experiment.yaml", "--dry-run", *options)
    assert (exit_code, stdout) == (expected, ""), stderr
    assert problem in stderr
    assert list_files() == before


def test_a_validation_split_that_is_needed_and_empty_is_found(digits):
    experiment = digits("data.validation=0.0")
    prepare(experiment)
    with pytest.raises(Exception, match="the validation split is empty"):
        rehearse(DRY, experiment)


def test_a_checkpoint_that_cannot_be_read_back_is_found(digits, monkeypatch):
    write = checkpoint_file.write

    def write_half(path, *arguments):
        write(path, *arguments)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    monkeypatch.setattr(checkpoint_file, "write", write_half)
    with pytest.raises(DataError):
        rehearse(DRY, digits())
    assert list_files() == []


def test_a_model_file_that_cannot_be_loaded_is_found(digits, monkeypatch):
    save = model_file.save_model

    def save_half(model, description, path):
        save(model, description, path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    monkeypatch.setattr(model_file, "save_model", save_half)
    with pytest.raises(DataError, match=r"model\.keras"):
        rehearse(DRY, digits())
    assert list_files() == []


def test_no_command_takes_a_dry_run_for_a_run(digits):
    with scratch.make_run(digits()) as run:
        assert run.folder.name.startswith(".")
        assert run.experiment == digits()
        assert command("runs")[1] == ""
    assert list_files() == []


def test_what_a_killed_dry_run_left_is_removed_by_the_next_one_but_not_one_that_goes_on(
    digits, capsys
):
    with scratch.make_run(digits()) as going_on:
        abandoned = Path(f"{scratch.PREFIX}abandoned")
        Run(abandoned).write_status("created")
        with scratch.make_run(digits()):
            assert not abandoned.exists()
        assert going_on.config_file.exists()
    assert capsys.readouterr().err == (
        f"note: removed {abandoned}, which a dry run that was killed had left\n"
    )


def test_a_folder_that_cannot_be_removed_is_named(digits, capsys, monkeypatch):
    def refuse(folder):
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(refused_folders.shutil, "rmtree", refuse)
    with scratch.make_run(digits()) as run:
        folder = run.folder
    assert f"cannot remove {folder} (Permission denied)" in capsys.readouterr().err


@pytest.fixture
def photos(workspace):
    """An experiment on PNG files that data workers decode."""
    generator = numpy.random.default_rng(0)
    for index in range(40):
        folder = Path("photos") / "ab"[index % 2]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = generator.integers(0, 256, (16, 16, 3)).astype(numpy.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    content = {
        **TINY,
        "data": {"name": "folder", "path": "photos", "size": [8, 8], "storage": "encoded"},
        "augment": [{"name": "random_resized_crop"}],
        "train": {"epochs": 1, "batch_size": 8, "data_workers": 1},
    }
    path = write_experiment(workspace, content)
    assert command("prepare", path)[0] == 0
    return path


def test_a_dry_run_whose_data_worker_is_killed_leaves_nothing_behind(photos, monkeypatch):
    before = list_files()
    start = subprocess.Popen

    def start_and_kill(arguments, **options):
        process = start(["sleep", "60"], **options)
        process.kill()
        process.wait()
        return process

    with monkeypatch.context() as patch:
        patch.setattr(data_workers.subprocess, "Popen", start_and_kill)
        exit_code, _, stderr = command("train", photos, "--dry-run")
    assert exit_code == OutOfMemoryError.exit_code, stderr
    assert "data workers ended" in stderr
    assert list_files() == before


def test_an_interrupt_that_a_finalizer_loses_is_raised_at_the_end_of_the_block(monkeypatch):
    class Finalized:
        def __del__(self):
            signal.raise_signal(signal.SIGTERM)

    def run():
        with keep_interrupts():
            Finalized()
            lost.append("not raised yet")

    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    handler = signal.getsignal(signal.SIGTERM)
    lost: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        run()
    assert lost == ["not raised yet"]
    assert signal.getsignal(signal.SIGTERM) is handler


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.full)]
)
def test_a_signal_ends_a_dry_run_which_leaves_nothing_behind(photos, number):
    before = list_files()
    line = [sys.executable, "-m", "imgcls.cli", "train", str(photos), "--dry-run"]
    with subprocess.Popen(line, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 120
        while not (found := list(Path().glob(f"{scratch.PREFIX}*/config.yaml"))):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.005)
        os.kill(process.pid, number)
        _, stderr = process.communicate(timeout=120)
    assert (process.returncode, list_files()) == (75, before), stderr
    assert len(found) == 1


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--dry-run", "--overfit", "5"], "--overfit and --dry-run exclude each other"),
        (["--find-learning-rate", "--dry-run"], "--find-learning-rate and --dry-run exclude"),
        (["--dry-run", "--run", "x"], "it cannot be combined with --run"),
        (["--overfit", "5", "--seeds", "1,2"], "it cannot be combined with --seeds"),
        (["--overfit", "5", "--num-seeds", "2"], "it cannot be combined with --num-seeds"),
        (["--find-learning-rate", "--folds", "2"], "it cannot be combined with --folds"),
        (["--dry-run", "--workers", "a:1", "--rank", "0"], "with --workers and --rank"),
        (["--overfit", "0"], "--overfit 0: needs a number of training images, at least 1"),
    ],
)
def test_options_that_exclude_each_other_are_named(workspace, options, problem):
    write_experiment(workspace, TINY)
    exit_code, _, stderr = command("train", "experiment.yaml", *options)
    assert exit_code == 2
    assert problem in stderr
