"""`make gpu`: each of its checks runs here on devices of the CPU, and says what it would say of a
GPU that does not keep what it promises.
"""

import dataclasses
import importlib
import math
import re
import subprocess
import sys

import fake_gpus
import pytest
from gpu_stand_in import CPUS, FOUND
from source_code import ROOT

from bench.gpu import (
    __main__,
    _environment,
    _process,
    bus_traffic,
    doctor,
    memory_of_one_gpu,
    mirrored,
    repeated_run,
)
from bench.gpu._row import Row, format_table
from imgcls.device import driver
from imgcls.device.usable import UsableGpu


def measure(check, target, folder):
    """Return the rows of a check that runs in this process, by their names."""
    return {row.check: row for row in check.measure(target, folder)}


def test_all_files_are_checks_and_each_says_what_it_measures():
    assert _process.CHECKS == (
        "augmentation",
        "bus_traffic",
        "doctor",
        "epoch",
        "memory_of_one_gpu",
        "mirrored",
        "out_of_memory",
        "repeated_run",
        "soft_placement",
    )
    for name in _process.CHECKS:
        assert importlib.import_module(f"bench.gpu.{name}").__doc__


def test_the_page_on_gpus_says_when_each_check_fails():
    page = (ROOT / "docs" / "gpu.md").read_text()
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == set(_process.CHECKS)


def test_without_a_gpu_one_line_says_so_with_exit_code_2():
    done = subprocess.run(
        [sys.executable, "-m", "bench.gpu"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("make gpu: there is no GPU here")


def test_rows_are_a_table_in_markdown():
    rows = [Row("a | b", "two\nlines", "<= 1", "ok"), Row("c", "d", "-", "-")]
    assert format_table(rows).splitlines() == [
        "| check | measured | expected | outcome |",
        "|---|---|---|---|",
        "| a \\| b | two lines | <= 1 | ok |",
        "| c | d | - | - |",
    ]


@pytest.fixture
def folder(tmp_path):
    """A folder for a check."""
    path = tmp_path / "check"
    path.mkdir()
    return path


def test_an_exception_is_a_row_that_says_failed(folder):
    _process.write_rows("epoch", dataclasses.replace(CPUS, images=-1), folder)
    (row,) = _process.read_rows(folder)
    assert row == Row(
        "epoch", "ValueError: negative dimensions are not allowed", "no exception", "FAILED"
    )


def test_a_check_whose_process_ends_or_hangs_has_failed(tmp_path):
    (ended,) = _process.run_check("nothing", CPUS, tmp_path / "ended")
    assert ended == Row("nothing", "the process ended with exit code 1", "ends by itself", "FAILED")
    (hung,) = _process.run_check("epoch", CPUS, tmp_path / "hung", timeout=0.01)
    assert hung == Row("epoch", "did not end within 0.01 s", "ends by itself", "FAILED")


def test_one_failed_check_is_exit_code_6_after_the_whole_table(monkeypatch, capsys):
    gpus = (UsableGpu(None, make_gpu(0)),)
    rows = {"a": [Row("a", "1", "2", "FAILED")], "b": [Row("b", "1", "1", "ok")]}
    monkeypatch.setattr(_environment, "find_gpus", lambda: gpus)
    monkeypatch.setattr(_process, "run_check", lambda name, *_: rows[name])
    assert __main__.main(["b"]) == 0
    capsys.readouterr()
    assert __main__.main(["a", "b"]) == 6
    stdout = capsys.readouterr().out
    assert "- GPUs: 0: NVIDIA H100 80GB HBM3 (compute capability 9.0, 81,559 MiB)\n" in stdout
    assert stdout.endswith("| a | 1 | 2 | FAILED |\n| b | 1 | 1 | ok |\n")


def make_gpu(index, used="0"):
    """Return a GPU as the driver would describe it."""
    return driver._parse_line(fake_gpus.make_line(index, used=used))


def test_the_target_is_all_gpus_with_a_gibibyte_of_the_first():
    target = __main__.make_target([UsableGpu(None, make_gpu(index)) for index in (0, 1)])
    assert target.devices == ("GPU:0", "GPU:1")
    assert target.overrides == ("train.gpu_memory=0.0126",)


PROCESSES = """\
4711, GPU-1, 1234
4711, GPU-0, [N/A]
815, GPU-0, 40000
"""
"""As `nvidia-smi --help-query-compute-apps` describes the fields; written by hand."""


def test_the_memory_of_each_process_is_read_from_what_nvidia_smi_prints():
    assert memory_of_one_gpu.parse_processes(PROCESSES) == {
        4711: {"GPU-1": 1234, "GPU-0": 0},
        815: {"GPU-0": 40000},
    }


def test_where_processes_are_hidden_the_gpus_count_whose_memory_grows():
    before = (make_gpu(0, "40000"), make_gpu(1, "3"))
    now = (make_gpu(0, "40010"), make_gpu(1, "1503"))
    assert memory_of_one_gpu.find_growth(before, now) == {fake_gpus.make_uuid(1): 1500}


def make_trace(folder, *copies):
    """Write a trace with copies, (kind, bytes), as OpenXLA's cupti_collector.cc writes them; this
    one was made by hand, since no GPU was there.
    """
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    space = xplane_pb2.XSpace()
    space.planes.add(name="/host:CPU")
    plane = space.planes.add(name="/device:GPU:0")
    names = plane.stat_metadata
    names[1].name = "memcpy_details"
    names[2].name = "correlation_id"
    line = plane.lines.add(name="Stream #14(MemcpyH2D,MemcpyD2H)")
    for number, (kind, size) in enumerate(copies, 10):
        plane.event_metadata[number].name = kind
        details = f"kind_src:pageable kind_dst:device size:{size} dest:0 async:1"
        names[number].name = details
        event = line.events.add(metadata_id=number)
        event.stats.add(metadata_id=2, uint64_value=7)
        event.stats.add(metadata_id=1, ref_value=number)
    path = folder / "plugins" / "profile" / "now" / "host.xplane.pb"
    path.parent.mkdir(parents=True)
    path.write_bytes(space.SerializeToString())


def test_the_bytes_of_copies_are_added_up_by_their_direction(folder):
    make_trace(folder, ("MemcpyH2D", 4096), ("MemcpyD2H", 48), ("MemcpyH2D", 4))
    assert bus_traffic.read_copies(folder) == {"MemcpyH2D": 4100, "MemcpyD2H": 48}


def test_the_rows_of_bus_traffic_compare_a_step_with_its_batch(folder, monkeypatch):
    """A split that is sent in every step has failed, and so has a trace without copies."""
    batch = 128 * (28 * 28 + 12)
    copied = {"augmented": (batch, 48), "in-memory": (60 * batch, 48)}

    def trace(path):
        to_device, to_host = copied[path.stem]
        make_trace(path.parent / path.stem, ("MemcpyH2D", 10 * to_device), ("MemcpyD2H", to_host))
        return bus_traffic.read_copies(path.parent / path.stem), 10

    monkeypatch.setattr(bus_traffic, "trace_epoch", trace)
    monkeypatch.setattr(
        bus_traffic, "write_noise_experiment", lambda folder, name, *_: folder / name
    )
    rows = measure(bus_traffic, CPUS, folder)
    assert {name: row.outcome for name, row in rows.items()} == {
        "bytes to the device in a step, augmented": "ok",
        "bytes to the host in a step, augmented": "ok",
        "bytes to the device in a step, in memory": "FAILED",
        "bytes to the host in a step, in memory": "ok",
    }
    assert rows["bytes to the device in a step, augmented"].measured == "101,888"


@pytest.mark.parametrize(
    ("changed", "outcome"), [(0.0, "ok"), (1e-17, "FAILED")], ids=["same", "a bit"]
)
def test_the_same_run_twice_fails_at_the_first_bit(folder, monkeypatch, changed, outcome):
    import numpy

    runs = iter([([numpy.zeros(2)], [{"loss": 1.0}]), ([numpy.full(2, changed)], [{"loss": 1.0}])])
    monkeypatch.setattr(repeated_run, "train_in_process", lambda *_: next(runs))
    monkeypatch.setattr(repeated_run, "write_experiment", lambda *_: folder)
    assert repeated_run.measure_precision("float64", folder).outcome == outcome


@pytest.mark.parametrize(
    ("difference", "outcome"), [(1e-13, "ok"), (1e-11, "FAILED"), (math.nan, "FAILED")]
)
def test_mirrored_devices_fail_above_rounding(folder, monkeypatch, difference, outcome):
    import numpy

    same = numpy.zeros(2)
    runs = iter([([same, same], []), ([same, numpy.full(2, difference)], [])])
    monkeypatch.setattr(mirrored, "train_in_process", lambda *_: next(runs))
    monkeypatch.setattr(mirrored, "write_experiment", lambda *_: folder)
    assert measure(mirrored, CPUS, folder)[mirrored.CHECK].outcome == outcome


def test_with_one_gpu_a_row_says_that_mirroring_was_not_run(folder):
    one = dataclasses.replace(CPUS, devices=("CPU:0",))
    assert measure(mirrored, one, folder)[mirrored.CHECK] == Row(
        mirrored.CHECK, "not run: one GPU", "<= 1e-12", "skipped"
    )


def test_what_doctor_found_is_a_row_for_each_comparison():
    rows = {row.check: row for row in doctor.make_rows(FOUND)}
    assert rows["weights of CPU and GPU, float64"].outcome == "ok"
    assert rows["weights of GPU and two GPUs, float64"].outcome == "FAILED"
    assert rows["weights of CPU and GPU, tensorfloat32"].outcome == "-"
