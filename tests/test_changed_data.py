"""Data that change while they are in use: training and evaluation end in one line, and nothing that
was computed from them stays.
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from experiments import (
    RICH,
    SGD,
    TINY,
    assert_same_result,
    command,
    experiment,
    wait_for_a_step_inside_an_epoch,
    write_experiment,
)

from imgcls.errors import DataError
from imgcls.io import files, terminal
from imgcls.run import Run
from imgcls.store import lookup
from imgcls.store.store import Store
from imgcls.training import data_changes
from imgcls.verbs import prepare, train

EPOCHS = 3
SHARED = (*RICH, f"train.epochs={EPOCHS}")


def overwrite(path):
    with path.open("rb+") as stream:
        stream.write(bytes(path.stat().st_size))


def replace(path):
    shutil.copy2(path, path.with_name("copy"))
    path.with_name("copy").replace(path)


CHANGES = {
    "overwritten": (overwrite, "was written to"),
    "truncated": (lambda path: os.truncate(path, 100), "changed from 115,008 to 100 bytes"),
    "replaced": (replace, "was replaced by another file"),
    "removed": (Path.unlink, "was removed"),
    "touched": (os.utime, "was written to"),
}
"""Changes of a file, and how they are described."""
STREAMING = "train.device_cache_mib=0"
WITHIN_EPOCHS = "train.checkpoint=2 steps"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A run whose data did not change, with its store."""
    folder = tmp_path_factory.mktemp("undisturbed")
    settings = experiment(folder, f"data.store_dir={folder / 'data'}", *SHARED)
    prepare.prepare(settings)
    train.train(settings, folder / "run")
    return Run(folder / "run")


@pytest.fixture
def images(undisturbed, workspace):
    """The file with the images of a copy of that store, in the current folder."""
    shutil.copytree(undisturbed.folder.parent / "data", "data")
    return next(Path("data").glob("digits-*/images.u8"))


@pytest.fixture
def change_after(monkeypatch, images):
    """Return a function that has the images changed after an epoch, once that is on disk.

    It returns a list, to which the content of the checkpoint folder at that time is added.
    """

    def arrange(epoch, change):
        before = []
        log = terminal.TrainingProgress.print_epoch

        def log_and_change(progress, line):
            log(progress, line)
            if line.startswith(f"epoch {epoch}/"):
                while len(Run(Path("run")).log) < epoch:
                    time.sleep(0.001)
                before.append(read_folder(Path("run/checkpoint")))
                change(images)

        monkeypatch.setattr(terminal.TrainingProgress, "print_epoch", log_and_change)
        return before

    return arrange


PROGRESS = ("epoch", "note: model")
"""How the lines begin that every training prints."""


def read_folder(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def train_here(*overrides):
    """Train in the folder `run` by command; return the exit code and the lines but `PROGRESS`."""
    write_experiment(Path(), TINY)
    options = [word for each in (*SHARED, *overrides) for word in ("--set", each)]
    exit_code, _, stderr = command("train", "experiment.yaml", "--run", "run", *options)
    return exit_code, [line for line in stderr.splitlines() if not line.startswith(PROGRESS)]


@pytest.mark.parametrize(
    ("name", "epoch", "overrides"),
    [
        ("overwritten", 1, [WITHIN_EPOCHS]),
        ("truncated", 1, [STREAMING]),
        ("replaced", EPOCHS - 1, []),
        ("removed", EPOCHS - 1, [STREAMING]),
        ("touched", EPOCHS, []),
    ],
)
def test_a_change_ends_training_in_one_line_and_leaves_what_was_saved_before(
    images, change_after, name, epoch, overrides
):
    change, description = CHANGES[name]
    before = change_after(epoch, change)
    exit_code, lines = train_here(*overrides)
    message = (
        f"{images} {description} while it was in use; run `imgcls prepare` again, and then the same"
        " command"
    )
    assert (exit_code, lines) == (3, [f"imgcls: {message}"])
    run = Run(Path("run"))
    assert (run.status.status, run.status.exit_code) == ("failed", 3)
    assert (run.status.reason, run.status.step) == (message, 6 * epoch)
    assert [read_folder(run.checkpoint_folder)] == before
    assert not run.model_file.exists()


def test_after_prepare_the_run_continues_to_the_bits_of_one_that_was_not_disturbed(
    images, change_after, undisturbed
):
    change_after(2, overwrite)
    assert train_here()[0] == 3
    exit_code, lines = train_here()
    assert (exit_code, len(lines)) == (3, 1)
    assert f"the SHA-256 of {images} has changed" in lines[0]
    prepare.prepare(experiment(Path(), *SHARED))
    assert train_here()[0] == 0
    assert_same_result(Run(Path("run")), undisturbed)


def test_files_too_large_to_verify_at_each_start_are_verified_to_continue_and_to_prepare(
    images, change_after, monkeypatch, capsys
):
    monkeypatch.setattr(Store.verify, "__defaults__", (100,))
    change_after(2, overwrite)
    assert train_here()[0] == 3
    exit_code, lines = train_here()
    assert (exit_code, len(lines)) == (3, 1)
    assert f"the SHA-256 of {images} has changed" in lines[0]
    prepare.prepare(experiment(Path(), *SHARED))
    assert f"the SHA-256 of {images} has changed" in capsys.readouterr().err
    assert train_here()[0] == 0


@pytest.mark.parametrize("policy", ["null", "{retries: 2}"])
def test_divergence_on_changed_data_is_no_reason_to_lower_the_learning_rate(
    images, monkeypatch, policy
):
    from imgcls.training.divergence import DivergenceDetector

    check, before = DivergenceDetector.check_steps, []

    def change_and_check(*arguments):
        before.append(read_folder(Path("run/checkpoint")))
        overwrite(images)
        check(*arguments)

    monkeypatch.setattr(DivergenceDetector, "check_steps", change_and_check)
    exit_code, lines = train_here(f"train.optimizer={SGD % 1e20}", f"train.on_divergence={policy}")
    assert (exit_code, len(lines)) == (3, 1)
    assert "images.u8 was written to while it was in use" in lines[0]
    assert read_folder(Path("run/checkpoint")) == before[-1]
    assert Run(Path("run")).status.retries == []


def test_a_change_during_verification_is_noticed(images, monkeypatch):
    compute = files.compute_sha256

    def compute_and_change(path):
        digest = compute(path)
        if path == images:
            overwrite(path)
        return digest

    monkeypatch.setattr(files, "compute_sha256", compute_and_change)
    with pytest.raises(DataError, match=r"images.u8 was written to while it was in use"):
        lookup.find_store(experiment(Path()))


@pytest.mark.parametrize("name", CHANGES)
def test_no_predictions_are_saved_from_data_that_changed_meanwhile(
    images, undisturbed, monkeypatch, name
):
    from imgcls.evaluation import inference

    change, description = CHANGES[name]
    predict = inference.predict

    def change_and_predict(*arguments, **options):
        change(images)
        return predict(*arguments, **options)

    monkeypatch.setattr(inference, "predict", change_and_predict)
    shutil.copytree(undisturbed.folder, "run")
    exit_code, stdout, stderr = command("eval", "run", "--set", "data.store_dir=data")
    assert (exit_code, stdout) == (3, "")
    assert f"{images} {description} while it was in use" in stderr
    assert not Run(Path("run")).predictions_file("test").exists()


def test_a_worker_ends_if_only_the_data_of_another_one_has_changed(images):
    class OtherHasChanged:
        """The collectives of a worker beside one that has noticed a change."""

        def all_reduce_max(self, *values):
            return [max(value, 1.0) for value in values]

    store, _ = lookup.find_store(experiment(Path()))
    with pytest.raises(DataError, match="data of another worker changed while"):
        data_changes.require_unchanged(store, OtherHasChanged())
    images.unlink()
    with pytest.raises(DataError, match=r"images.u8 was removed while"):
        data_changes.require_unchanged(store, OtherHasChanged())


def test_a_process_whose_images_are_truncated_ends_by_itself(images):
    path = write_experiment(Path(), TINY)
    arguments = ["train", str(path), "--run", "run", "--set", "train.epochs=1000"]
    options = ["train.batch_size=64", STREAMING, WITHIN_EPOCHS]
    arguments += [word for each in options for word in ("--set", each)]
    process = subprocess.Popen(
        [sys.executable, "-m", "imgcls.cli", *arguments], stderr=subprocess.PIPE, text=True
    )
    wait_for_a_step_inside_an_epoch(process, Path("run"))
    os.truncate(images, 100)
    _, stderr = process.communicate(timeout=120)
    lines = [line for line in stderr.splitlines() if not line.startswith(PROGRESS)]
    assert (process.returncode, len(lines)) == (3, 1)
    assert f"{images} changed from 115,008 to 100 bytes" in lines[0]
    assert Run(Path("run")).status.status == "failed"
