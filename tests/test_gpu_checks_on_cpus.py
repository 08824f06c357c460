"""Each check of `make gpu` runs here, on two logical devices of the CPU in place of GPUs."""

import dataclasses
import os

import fake_gpus
import pytest
from gpu_stand_in import CPUS

from bench.gpu import (
    _process,
    augmentation,
    memory_of_one_gpu,
    out_of_memory,
    soft_placement,
)
from imgcls.device import usable
from imgcls.experiment_file import read_experiment

full = pytest.mark.full


@pytest.fixture
def folder(tmp_path):
    """A folder for a check."""
    path = tmp_path / "check"
    path.mkdir()
    return path


@pytest.mark.parametrize(("uuids", "outcome"), [([0], "ok"), ([0, 1], "FAILED")])
def test_memory_of_other_gpus_is_a_failure(folder, monkeypatch, uuids, outcome):
    """An executable in the place of `nvidia-smi` names this process, which trains on the CPU."""
    usable.list_usable_gpus()  # once per process, so before these GPUs, which TensorFlow cannot use
    processes = [f"{os.getpid()}, {fake_gpus.make_uuid(index)}, 1234" for index in uuids]
    lines = [*map(fake_gpus.make_line, (0, 1)), *processes]
    fake_gpus.install_nvidia_smi(monkeypatch, folder, "\n".join(lines))
    (row,) = memory_of_one_gpu.measure(CPUS, folder)
    assert (row.expected, row.outcome) == ("1 of 2", outcome)


def make_expectations():
    """Return for each check that runs in a process the outcomes of its rows on a CPU."""
    return [
        ("augmentation", {"ok"}),
        ("doctor", {"ok", "-"}),
        ("epoch", {"ok", "FAILED"}),  # by its time, which is not tested
        ("mirrored", {"ok"}),
        ("out_of_memory", {"ok"}),
        ("repeated_run", {"ok"}),
        ("soft_placement", {"ok"}),
    ]


def test_augmented_batches_are_compared_byte_for_byte(folder, monkeypatch):
    (path,) = augmentation.write_experiments(folder, ["random_crop"]).values()
    experiment = read_experiment(path)
    assert augmentation.is_same(experiment, "CPU:1")
    read = augmentation.read_batches

    def read_other_crops(experiment, device):
        changes = ["augment.0.padding=3"] if device == "CPU:1" else []
        return read(read_experiment(path, changes), device)

    monkeypatch.setattr(augmentation, "read_batches", read_other_crops)
    assert not augmentation.is_same(experiment, "CPU:1")


@full
@pytest.mark.parametrize(
    ("name", "outcomes"), make_expectations(), ids=[name for name, _ in make_expectations()]
)
def test_each_check_runs_on_a_cpu(tmp_path, name, outcomes):
    """Its process does not divide the CPU, which has one device then."""
    target = dataclasses.replace(CPUS, devices=("CPU:0", "CPU:1"))
    rows = _process.run_check(name, target, tmp_path / name)
    assert rows
    assert name not in {row.check for row in rows}, "it ended with an exception, or its process did"
    skipped = {row.check for row in rows if row.outcome == "skipped"}
    assert skipped <= {"an epoch of keras_hub, soft placement off"}  # which needs an extra
    assert {row.outcome for row in rows if row.check not in skipped} <= outcomes


@full
def test_a_trace_of_a_cpu_has_no_copies_which_is_said(tmp_path):
    (row,) = _process.run_check("bus_traffic", CPUS, tmp_path / "bus")
    assert row.outcome == "FAILED"
    assert "the trace has no copies between host and device: is CUPTI installed?" in row.measured


@full
def test_a_batch_that_fits_is_no_proof(folder):
    (row,) = out_of_memory.measure(dataclasses.replace(CPUS, large_batch=128), folder)
    assert (row.measured, row.outcome) == ("finished, with micro-batches of 128", "FAILED")


@full
def test_a_precision_that_does_not_train_is_named(folder, monkeypatch):
    monkeypatch.setattr(soft_placement, "PRECISIONS", ("float32", "float8"))
    row = soft_placement.measure_model("cnn", folder)
    assert row.outcome == "FAILED"
    assert "float8" in row.measured
    assert "float32:" not in row.measured
