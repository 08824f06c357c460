"""Interrupted training: by signals, limits of time and kills; the next start ends with the same
bits.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import chaos
import pytest
from experiments import (
    RICH,
    TINY,
    assert_same_result,
    json_of,
    wait_for_a_step_inside_an_epoch,
    write_experiment,
)

from imgcls.durations import parse_duration
from imgcls.errors import Interrupted, UserError
from imgcls.io.signals import StopRequest
from imgcls.run import Run
from imgcls.verbs import train


@pytest.fixture(autouse=True)
def ignored_when_late():
    """A signal that comes after the training has ended must not end the tests."""
    previous = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGUSR1, previous)


def interrupt_once(folder, done):
    """Send this process SIGUSR1 as soon as the run in `folder` is running, until `done` is set."""

    def send():
        while not done.is_set():
            if (folder / "status.json").exists() and json.loads(
                (folder / "status.json").read_text()
            )["status"] == "running":
                os.kill(os.getpid(), signal.SIGUSR1)
                return
            time.sleep(0.005)

    threading.Thread(target=send).start()


def train_with_interruptions(settings, folder):
    """Train with a signal at the first two starts until finished; return how often it was
    interrupted.
    """
    for count in range(100):
        done = threading.Event()
        if count < 2:
            interrupt_once(folder, done)
        try:
            train.train(settings, folder)
            return count
        except Interrupted:
            status = Run(folder).status
            assert (status.status, status.exit_code) == ("interrupted", 75)
        finally:
            done.set()
    raise RuntimeError("never finished")


@pytest.mark.parametrize(
    "overrides",
    [
        (*RICH, "train.steps_per_execution=1"),
        pytest.param(
            (*RICH, "train.steps_per_execution=1", "train.precision=mixed_float16"),
            marks=pytest.mark.full,
        ),
        pytest.param(
            (*RICH, "train.steps_per_execution=1", "train.strategy={name: mirrored, replicas: 2}"),
            marks=pytest.mark.full,
        ),
        (
            "train.steps_per_execution=4",
            "train.checkpoint=3 steps",
            "train.early_stopping={patience: 1}",
            "train.optimizer={name: sgd, learning_rate: 0.5}",
        ),
        (
            *(*RICH, "train.steps_per_execution=1", "train.ema={decay: 0.8}"),
            "train.precise_batch_norm={batches: 4}",
        ),
        pytest.param(
            ("train.steps_per_execution=1", "train.plateau={patience: 1, min_delta: 0.5}"),
            marks=pytest.mark.full,
        ),
        pytest.param(
            (
                "augment=[{name: rand_augment, until: 50%}, {name: mixup}, {name: cutmix}]",
                "train.sampling={by: class}",
                "train.augmentation_repeats=2",
                "train.steps_per_execution=1",
            ),
            marks=pytest.mark.full,
        ),
    ],
    ids=["float32", "mixed_float16", "mirrored", "early_stopping", "averaged", "plateau", "mixed"],
)
def test_a_run_interrupted_in_the_middle_of_epochs_ends_with_the_same_bits(digits, overrides):
    settings = digits("train.epochs=3", *overrides)
    whole = Run(Path(train.train(settings, Path("whole"))["run"]))
    assert train_with_interruptions(settings, Path("parts")) == 2
    assert_same_result(whole, Run(Path("parts")))


def test_a_run_killed_at_its_start_can_be_started_again(digits):
    Run(Path("run")).write_status("created")
    assert train.train(digits("train.epochs=1"), Path("run"))["status"] == "finished"


def test_a_second_process_on_the_same_run_is_refused(digits):
    settings = digits()
    train.train(settings, Path("run"))
    Run(Path("run")).write_status("running", step=0)
    with Run(Path("run")).lock(), pytest.raises(UserError, match="another process trains in run"):
        train.train(settings, Path("run"))


def test_the_time_limit_stops_with_the_state_saved_and_the_next_start_continues_to_the_same_bits(
    digits,
):
    train.train(digits(*RICH), Path("whole"))
    with pytest.raises(
        Interrupted,
        match=(
            r"train\.time_limit of 0\.0001s at step 2; the state is saved, continue with:"
            r" imgcls train"
        ),
    ):
        train.train(digits(*RICH, "train.time_limit=0.0001s"), Path("parts"))
    status = Run(Path("parts")).status
    assert (status.status, status.exit_code, status.step) == ("interrupted", 75, 2)
    train.train(digits(*RICH), Path("parts"))
    assert_same_result(Run(Path("whole")), Run(Path("parts")))


def test_the_time_limit_reserves_twice_the_time_until_the_next_check():
    request = StopRequest(parse_duration("1m"), started=time.monotonic() - 40)
    assert request.reason is None
    request.record_duration("steps", 2)
    request.record_duration("end of epoch", 5)
    assert request.reason is None
    request.record_duration("end of epoch", 9)
    assert request.reason == "train.time_limit of 1m"
    assert StopRequest(None, 0.0).reason is None


def test_leftovers_of_a_killed_process_are_removed(digits):
    settings = digits("train.epochs=1")
    train.train(settings, Path("run"))
    run = Run(Path("run"))
    run.write_status("running", step=0)
    (run.checkpoint_folder / ".state-1.npz.1234.tmp").write_text("half")
    (run.folder / ".model-abc").mkdir()
    train.train(settings, Path("run"))
    assert not [path for path in run.folder.rglob(".*") if path.name != ".lock"]


def start_process(path, folder):
    return subprocess.Popen(
        [sys.executable, "-m", "imgcls.cli", "train", str(path), "--run", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.full
def test_a_kill_in_the_middle_of_writing_a_checkpoint_leaves_a_run_that_ends_with_the_same_bits(
    prepared, workspace
):
    shutil.copytree(prepared / "data", workspace / "data")
    kills, partial, difference = chaos.torment("averaged weights", workspace, kills=2, epochs=12)
    assert kills >= 2
    assert partial >= 1
    assert difference == ""


@pytest.fixture(scope="module")
def left_alone(prepared):
    """The path of an experiment long enough to be stopped, and the summary of its run without a
    stop.
    """
    content = {
        **TINY,
        "data": {"name": "digits", "store_dir": str(prepared / "data")},
        "augment": [{"name": "random_crop", "padding": 1}],
    }
    content["train"] = {
        "epochs": 40,
        "batch_size": 64,
        "steps_per_execution": 3,
        "checkpoint": "5 steps",
    }
    path = write_experiment(prepared, content, "long.yaml")
    return path, json_of("train", path, "--run", prepared / "whole")


@pytest.mark.parametrize(
    ("number", "exit_code"),
    [
        (signal.SIGKILL, -signal.SIGKILL),
        (signal.SIGTERM, 75),
        pytest.param(signal.SIGINT, 75, marks=pytest.mark.full),
    ],
    ids=["kill -9", "SIGTERM", "SIGINT"],
)
def test_a_process_stopped_inside_an_epoch_and_started_again_ends_with_the_same_bits(
    left_alone, workspace, number, exit_code
):
    path, whole = left_alone
    process = start_process(path, Path("parts"))
    wait_for_a_step_inside_an_epoch(process, Path("parts"))
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == exit_code
    assert "Traceback" not in stderr
    summary = json_of("train", path, "--run", "parts")
    assert summary["status"] == "finished"
    different = ("run", "model", "seconds", "speed")
    assert {key: value for key, value in whole.items() if key not in different} == {
        key: value for key, value in summary.items() if key not in different
    }
    assert_same_result(Run(Path(whole["run"])), Run(Path("parts")))


def test_a_second_signal_ends_the_process_in_the_middle_of_a_long_call(digits, prepared):
    content = {**TINY, "data": {"name": "digits", "store_dir": str(prepared / "data")}}
    content["model"] = {"name": "cnn", "filters": [256, 256], "kernel_sizes": [5], "dense": [8]}
    content["train"] = {"epochs": 1, "batch_size": 1, "steps_per_execution": 100_000}
    process = start_process(write_experiment(Path.cwd(), content), Path("run"))
    while not Run(Path("run")).state_files() and process.poll() is None:
        time.sleep(0.01)
    time.sleep(2)  # now it compiles, or is in its one call of 1,294 steps
    process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    assert process.poll() is None
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=60)
    assert time.monotonic() - began < 5  # the call takes longer
    assert process.returncode == 75
    assert (
        stderr.count("SIGTERM: stopping after the current steps; a second signal stops at once")
        == 1
    )
    assert [path.name for path in Run(Path("run")).state_files()] == ["state-0.npz"]


def test_a_signal_during_the_very_last_step_loses_nothing(digits):
    settings = digits("train.steps_per_execution=6", "train.epochs=1")
    whole = Run(Path(train.train(settings, Path("whole"))["run"]))
    done = threading.Event()
    interrupt_once(Path("parts"), done)
    with pytest.raises(Interrupted):
        train.train(settings, Path("parts"))
    done.set()
    assert Run(Path("parts")).status.step == 6
    train.train(settings, Path("parts"))
    assert_same_result(whole, Run(Path("parts")))


def test_sigalrm_ends_a_call_that_holds_the_gil():
    code = (
        "import ctypes\nfrom imgcls.io import signals\n"
        "with signals.restore_default_signals(1):\n    ctypes.PyDLL(None).sleep(30)\n"
    )
    began = time.monotonic()
    result = subprocess.run([sys.executable, "-c", code], check=False)
    assert result.returncode == -signal.SIGALRM
    assert time.monotonic() - began < 20
