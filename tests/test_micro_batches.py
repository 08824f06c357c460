"""Micro-batches add up to the batch, and are halved where memory does not suffice."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy
import pytest
from experiments import (
    FLOAT64,
    MIRRORED,
    TINY,
    assert_same_result,
    weights,
    write_experiment,
)

from imgcls.errors import Interrupted, OutOfMemoryError, ProcessRestart, UserError
from imgcls.io import restart
from imgcls.io.signals import StopRequest
from imgcls.run import Run
from imgcls.training import micro_batches
from imgcls.verbs import train


@pytest.mark.parametrize(
    "overrides",
    [("train.micro_batch_size=64",), ("train.micro_batch_size=64", MIRRORED)],
    ids=["one_device", "mirrored"],
)
def test_micro_batches_add_up_to_the_global_batch(digits, overrides):
    train.train(digits(*FLOAT64), Path("whole"))
    train.train(digits(*FLOAT64, *overrides), Path("parts"))
    whole, parts = Run(Path("whole")), Run(Path("parts"))
    assert parts.status.accumulation_steps == (2 if MIRRORED in overrides else 4)
    for one, other in zip(whole.log, parts.log, strict=True):
        for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
            assert getattr(one, name) == pytest.approx(getattr(other, name), abs=1e-12)
    for one, other in zip(weights(whole), weights(parts), strict=True):
        numpy.testing.assert_allclose(one, other, atol=1e-12)


@pytest.mark.parametrize(
    ("overrides", "parts"),
    [
        (("train.micro_batch_size=64", "model.batch_norm=true"), 4),
        (("train.micro_batch_size=64", "model.batch_norm=true", MIRRORED), 2),
        (("train.micro_batch_size=64",), None),
        (("model.batch_norm=true",), None),
    ],
)
def test_a_note_says_once_that_batch_norm_sees_parts_of_a_batch_and_only_where_it_does(
    digits, capsys, overrides, parts
):
    train.train(digits("train.epochs=1", *overrides), Path("run"))
    notes = [line for line in capsys.readouterr().err.splitlines() if "batch norm" in line]
    said = (
        f"note: batches of 256 images are divided into {parts} micro-batches, and model cnn has"
        " batch norm, which computes its statistics over the "
    )
    assert [note.partition(" images of each")[0] for note in notes] == (
        [f"{said}{256 // parts}"] if parts else []
    )


def test_a_micro_batch_that_does_not_divide_the_batch_is_refused_with_those_that_do(digits):
    with pytest.raises(
        UserError,
        match=r"micro_batch_size is 100, .* 256 .* use one of 1, 2, 4, 8, 16, 32, 64, 128, 256",
    ):
        train.train(digits("train.micro_batch_size=100"))


REAL = (
    "No algorithm worked!  Error messages:\n  Profiling failure on CUDNN engine eng11{}: UNKNOWN:"
    " CUDNN_STATUS_ALLOC_FAILED\nin external/xla/xla/stream_executor/cuda/cuda_dnn.cc(5333):"
    " 'status'\n\t [[{{node functional_1/conv2d_1/convolution}}]] [Op:__inference_run_steps_800]"
)
"""As TensorFlow prints it, in issue 60713 of its repository."""


def test_a_failure_of_a_gpus_library_asks_for_a_new_process_with_half_the_micro_batch(
    digits, monkeypatch
):
    from imgcls.backend import tf
    from imgcls.training.steps import Steps

    execute, failures = Steps.train, []

    def fail_once(steps, iterator, step, *rest):
        if step == 4 and not failures:
            failures.append(step)
            raise tf.errors.NotFoundError(None, None, REAL)
        return execute(steps, iterator, step, *rest)

    monkeypatch.setattr(Steps, "train", fail_once)
    settings = digits("train.epochs=1", "train.checkpoint=2 steps")
    with pytest.raises(
        ProcessRestart, match=r"out of memory \(No algorithm worked!.*of 128"
    ) as caught:
        train.train(settings, Path("run"))
    run = Run(Path("run"))
    assert caught.value.exit_code == 75
    assert (run.status.status, run.status.step) == ("interrupted", 4)
    train.train(settings, Path("run"))
    assert (run.status.status, run.status.accumulation_steps) == ("finished", 2)
    assert not run.accumulation_steps_file.exists()


def test_a_signal_during_the_failing_steps_stops_instead_of_starting_a_new_process(
    digits, monkeypatch
):
    from imgcls.backend import tf
    from imgcls.training.steps import Steps

    def fail(*arguments):
        monkeypatch.setattr(StopRequest, "reason", "SIGTERM")
        raise tf.errors.NotFoundError(None, None, REAL)

    monkeypatch.setattr(Steps, "train", fail)
    with pytest.raises(Interrupted, match=r"SIGTERM, out of memory .*of 128") as caught:
        train.train(digits("train.epochs=1"), Path("run"))
    assert not isinstance(caught.value, ProcessRestart)
    assert Run(Path("run")).accumulation_steps_file.exists()


FAILING = f"""
from imgcls.training.steps import Steps
execute = Steps.train

def fail(steps, iterator, step, *rest):
    from imgcls.backend import tf
    if steps._accumulation.steps < 4:
        raise tf.errors.NotFoundError(None, None, {REAL!r})
    return execute(steps, iterator, step, *rest)

Steps.train = fail
from imgcls.cli.main import main
main()
"""
"""A command line whose steps fail, in each process anew, until a batch is divided into four."""


@pytest.mark.full
@pytest.mark.parametrize(
    "family",
    [(), ("--num-seeds", "1")],
    ids=["run", "family"],
)
def test_the_command_continues_in_new_processes_to_the_bits_of_that_micro_batch_size(
    digits, prepared, workspace, family
):
    content = {**TINY, "data": {"name": "digits", "store_dir": str(prepared / "data")}}
    path = write_experiment(workspace, content)
    command = [sys.executable, "-c", FAILING, "train", path, "--run", "restarted", *family]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    for size in (128, 64):
        assert result.stderr.count(f"micro-batches of {size} from now on; continuing in a new") == 1
    run = Run(Path("restarted", *(["seed-0"] if family else [])))
    assert (run.status.status, run.status.accumulation_steps) == ("finished", 4)
    train.train(digits("train.micro_batch_size=64"), Path("given"))
    assert_same_result(Run(Path("given")), run)


def test_a_new_process_counts_the_time_limit_from_the_first_start(monkeypatch):
    monkeypatch.setenv(restart.STARTED, f"{os.getpid()} 12.5")
    restart.mark_start()
    assert restart.get_start() == 12.5
    monkeypatch.setenv(restart.STARTED, f"{os.getppid()} 12.5")  # inherited from another command
    restart.mark_start()
    assert time.monotonic() - 60 < restart.get_start() <= time.monotonic()


@pytest.mark.parametrize("text", micro_batches.LIBRARY_FAILURES)
def test_errors_of_a_gpus_libraries_for_lack_of_memory_are_out_of_memory(text):
    from imgcls.backend import tf

    for kind in (tf.errors.NotFoundError, tf.errors.InternalError, tf.errors.UnknownError):
        error = kind(None, None, f"first line\n  with {text} {{{{node x}}}}")
        assert micro_batches.is_out_of_memory(error, is_single=False)
        assert text in micro_batches.extract_reason(error)


@pytest.mark.parametrize(
    ("rows", "present", "expected"),
    [(128, 1, 2), (128, 64, 128), (6, 1, 2), (6, 2, 6), (9, 1, 3), (7, 1, 7)],
)
def test_out_of_memory_asks_for_equal_parts_of_at_most_half_the_size(rows, present, expected):
    from imgcls.backend import tf

    error = tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor {{node x}}")
    assert micro_batches.increase_accumulation_steps(rows, present, error) == expected
    with pytest.raises(
        OutOfMemoryError,
        match=(
            r"out of memory with one image at a time \(OOM when allocating tensor\); use a smaller"
        ),
    ):
        micro_batches.increase_accumulation_steps(rows, rows, error)
