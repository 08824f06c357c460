"""Two real processes on 127.0.0.1 train one model; when one stops, dies or freezes, both end."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy
import pytest
from experiments import (
    TINY,
    assert_same_result,
    free_addresses,
    json_of,
    wait_for_a_step_inside_an_epoch,
    weights,
    write_experiment,
)

from imgcls.run import Run
from imgcls.training.history import RESULTS


@pytest.fixture
def spread(prepared, workspace):
    """Return the path of an experiment for two workers, with changes to `train`."""

    def write(name="spread.yaml", strategy="multi_worker", **train):
        settings = {
            "epochs": 2,
            "batch_size": 64,
            "steps_per_execution": 3,
            "strategy": {"name": strategy},
            **train,
        }
        content = {
            **TINY,
            "data": {"name": "digits", "store_dir": str(prepared / "data")},
            "augment": [{"name": "random_crop", "padding": 1}],
            "train": settings,
        }
        content["model"] = {**TINY["model"], "batch_norm": True}
        return write_experiment(workspace, content, name)

    return write


@pytest.fixture
def start():
    """Return a function that starts the two workers of a run, in the order of their ranks; none
    outlives the test.

    `second` are options that the second one alone gets.
    """
    started = []

    def start_two(path, folder, verb="train", *more, second=()):
        workers = ",".join(free_addresses(2))
        command = [
            sys.executable,
            "-m",
            "imgcls.cli",
            verb,
            str(path),
            "--run",
            str(folder),
            *more,
            "--workers",
            workers,
            "--rank",
        ]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        two = [subprocess.Popen([*command, *own], **streams) for own in (["0"], ["1", *second])]
        started.extend(two)
        return two

    yield start_two
    for process in started:
        process.kill()
        process.communicate()


def finish(started, timeout=120):
    """Return the exit codes and what the processes wrote, by rank."""
    spoken = [process.communicate(timeout=timeout) for process in started]
    return [process.returncode for process in started], spoken


def test_one_worker_is_a_cluster_too(spread, workspace):
    words = [
        "train",
        str(spread(epochs=1)),
        "--run",
        "one",
        "--workers",
        *free_addresses(1),
        "--rank",
        "0",
    ]
    result = subprocess.run(
        [sys.executable, "-m", "imgcls.cli", *words], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(Run(Path("one")).environment_file.read_text())["workers"] == [words[5]]


def test_two_workers_train_to_the_weights_of_one_device_and_the_first_alone_writes_and_speaks(
    spread, start
):
    settings = {
        "precision": "float64",
        "precise_batch_norm": {"batches": 5},
        "select_weights": "soup",
        "freeze": [{"depth": 1, "until": "30 steps"}],
    }
    path = spread(**settings)
    statuses, [(result, _), silence] = finish(start(path, Path("two")))
    assert statuses == [0, 0]
    assert "val_accuracy" in result
    assert silence == ("", "")
    json_of("train", spread("one.yaml", "one_device", **settings), "--run", "one")
    for mine, theirs in zip(Run(Path("one")).log, Run(Path("two")).log, strict=True):
        for name in (*RESULTS, "train_mode_loss", "eval_mode_loss"):
            assert getattr(mine, name) == pytest.approx(getattr(theirs, name), rel=1e-12)
    for mine, theirs in zip(weights(Run(Path("one"))), weights(Run(Path("two"))), strict=True):
        numpy.testing.assert_allclose(mine, theirs, rtol=1e-12, atol=1e-12)
    assert len(json.loads(Run(Path("two")).environment_file.read_text())["workers"]) == 2
    # It is finished: nothing is left to do, and nobody waits.
    assert finish(start(path, Path("two")))[0] == [0, 0]


@pytest.mark.full
def test_two_workers_reproduce_a_run_and_its_first_epoch(spread, start):
    path = spread(precision="float64")
    assert finish(start(path, Path("two")))[0] == [0, 0]
    for more in ((), ("--epochs", "1")):
        statuses, [(result, _), silence] = finish(
            start(Path("two"), Path(f"again{len(more)}"), "reproduce", *more)
        )
        assert statuses == [0, 0]
        assert "difference        -" in result
        assert silence == ("", "")


@pytest.mark.full
@pytest.mark.parametrize(
    ("victim", "precision"),
    [(0, "float32"), pytest.param(1, "mixed_float16", marks=pytest.mark.full)],
)
def test_a_worker_that_dies_ends_the_other_and_starting_all_again_continues_to_the_same_bits(
    spread, start, victim, precision
):
    path = spread(epochs=5, checkpoint="5 steps", precision=precision)
    started = start(path, Path("run"))
    wait_for_a_step_inside_an_epoch(started[0], Path("run"))
    started[victim].kill()
    began = time.monotonic()
    statuses, spoken = finish(started)
    assert time.monotonic() - began < 30
    assert (statuses[victim], statuses[1 - victim]) == (-signal.SIGKILL, 75)
    assert "imgcls: another worker ended or does not respond" in spoken[1 - victim][1]
    assert (
        "start all 2 workers again with the same commands to continue run" in spoken[1 - victim][1]
    )
    assert "Traceback" not in spoken[1 - victim][1]
    status = Run(Path("run")).status
    assert (status.status, status.step > 0) == (
        ("running" if victim == 0 else "interrupted"),
        True,
    )
    assert len(Run(Path("run")).state_files()) == 2
    for folder in ("run", "whole"):
        assert finish(start(path, Path(folder)))[0] == [0, 0]
    assert_same_result(Run(Path("run")), Run(Path("whole")))


@pytest.mark.full
def test_a_worker_that_freezes_ends_the_other(spread, start):
    started = start(spread(epochs=1000, checkpoint="5 steps"), Path("run"))
    wait_for_a_step_inside_an_epoch(started[0], Path("run"))
    started[1].send_signal(signal.SIGSTOP)
    began = time.monotonic()
    try:
        _, stderr = started[0].communicate(timeout=60)
    finally:
        started[1].kill()
    assert time.monotonic() - began < 30
    assert started[0].returncode == 75
    assert "another worker ended or does not respond" in stderr
    assert (Run(Path("run")).status.status, Run(Path("run")).status.exit_code) == (
        "interrupted",
        75,
    )


@pytest.mark.full
def test_a_signal_to_any_worker_stops_all_with_the_state_saved(spread, start):
    path = spread(epochs=1000, checkpoint="5 steps")
    started = start(path, Path("run"))
    wait_for_a_step_inside_an_epoch(started[0], Path("run"))
    started[1].send_signal(signal.SIGTERM)
    statuses, spoken = finish(started)
    assert statuses == [75, 75]
    assert "stopped with another worker at step" in spoken[0][1]
    assert "SIGTERM at step" in spoken[1][1]
    status = Run(Path("run")).status
    assert (status.status, status.exit_code) == ("interrupted", 75)
    assert Run(Path("run")).state_files()[0].name == f"state-{status.step}.npz"


@pytest.mark.full
def test_a_mistake_that_the_model_shows_ends_both_workers_and_leaves_no_run(spread, start):
    statuses, spoken = finish(start(spread(freeze=[{"layers": "nothing"}]), Path("run")))
    assert statuses == [2, 2], spoken
    for _, stderr in spoken:
        assert "train.freeze.0.layers is 'nothing'" in stderr
    assert not Path("run").exists()


@pytest.mark.full
def test_the_time_limit_of_one_worker_stops_all_with_the_state_saved(spread, start):
    started = start(spread(epochs=1000), Path("run"), second=("--set", "train.time_limit=30s"))
    statuses, spoken = finish(started)
    assert statuses == [75, 75], spoken
    assert "stopped with another worker at step" in spoken[0][1]
    assert "train.time_limit of 30s at step" in spoken[1][1]
    status = Run(Path("run")).status
    assert (status.status, status.exit_code, status.step > 0) == ("interrupted", 75, True)
    assert Run(Path("run")).state_files()[0].name == f"state-{status.step}.npz"


@pytest.mark.full
def test_both_workers_start_from_the_weights_that_the_chief_reads(spread, start, workspace):
    still = {"optimizer": {"name": "sgd", "learning_rate": 1e-30}, "epochs": 1}
    learning = {"optimizer": {"name": "adamw", "learning_rate": 0.005}, "epochs": 3}
    model = ("--set", "model.dropout=0", "--set", "model.dense=[32]")
    json_of("train", spread("source.yaml", "one_device", **learning), "--run", "source", *model)
    weights_of = (*model, "--set", "model.weights=source")
    codes, spoken = finish(start(spread(**still), "two", "train", *weights_of))
    assert codes == [0, 0], spoken
    json_of("train", spread("one.yaml", "one_device", **still), "--run", "one", *weights_of)
    one, two, random = (Run(Path(name)).log[0] for name in ("one", "two", "source"))
    assert one.loss < random.loss - 0.5
    assert two.loss == pytest.approx(one.loss, rel=1e-3)
    assert two.val_loss == pytest.approx(one.val_loss, rel=1e-3)
