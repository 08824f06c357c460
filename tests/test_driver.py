"""What the NVIDIA driver says, asked through an executable `nvidia-smi` of our own."""

from pathlib import Path

import fake_gpus
import pytest

from imgcls.device import driver


def test_each_gpu_is_read_with_what_environment_json_records(monkeypatch, tmp_path: Path):
    lines = [
        fake_gpus.make_line(0, used="12"),
        fake_gpus.make_line(1, "NVIDIA L4", capability="8.9"),
    ]
    calls = fake_gpus.install_nvidia_smi(monkeypatch, tmp_path, "\n".join(lines))
    gpus = driver.list_gpus()
    found = [(gpu.index, gpu.name, gpu.compute_capability, gpu.driver) for gpu in gpus]
    assert found == [(0, fake_gpus.H100, "9.0", "550.54.15"), (1, "NVIDIA L4", "8.9", "550.54.15")]
    assert (gpus[0].memory_mib, gpus[0].used_mib, gpus[0].utilization) == (81559, 12, 0)
    assert calls.read_text().count("\n") == 1


def test_a_warning_among_the_lines_is_skipped_and_an_unknown_number_is_none(monkeypatch, tmp_path):
    line = fake_gpus.make_line(0, used="[N/A]", total="[N/A]", utilization="[N/A]")
    warning = "WARNING: infoROM is corrupted at gpu 0000:01:00.0"
    fake_gpus.install_nvidia_smi(monkeypatch, tmp_path, f"{line}\n{warning}")
    (gpu,) = driver.list_gpus()
    assert (gpu.memory_mib, gpu.used_mib, gpu.utilization) == (None, None, None)


def test_a_failing_driver_with_device_files_is_a_problem_in_its_own_words(monkeypatch, tmp_path):
    said = "Failed to initialize NVML: Driver/library version mismatch"
    fake_gpus.install_nvidia_smi(monkeypatch, tmp_path, said, exit_code=18)
    found = driver.read_driver(fake_gpus.make_device_files(tmp_path, 2))
    assert found.problem == f"nvidia-smi says: {said}"
    assert [Path(each).name for each in found.device_files] == ["nvidia0", "nvidia1"]
    assert found.has_gpus


def test_gpus_that_cannot_be_read_are_a_problem_and_not_a_machine_without_gpus(
    monkeypatch, tmp_path: Path
):
    said = "0, NVIDIA L4, 23034"
    fake_gpus.install_nvidia_smi(monkeypatch, tmp_path, said)
    found = driver.read_driver(fake_gpus.make_device_files(tmp_path, 1))
    assert (found.gpus, found.problem) == ((), f"nvidia-smi says: {said}")


def test_device_files_without_nvidia_smi_are_a_problem(monkeypatch, tmp_path: Path):
    monkeypatch.setenv("PATH", str(tmp_path))
    found = driver.read_driver(fake_gpus.make_device_files(tmp_path, 1))
    assert (found.gpus, found.problem) == ((), "nvidia-smi is not in PATH")


@pytest.mark.parametrize("exit_code", [0, 6])
def test_a_process_that_was_given_no_gpu_has_none_whatever_device_files_say(
    monkeypatch, tmp_path: Path, exit_code: int
):
    """As in a Slurm job without GPUs, on a node that has some."""
    fake_gpus.install_nvidia_smi(monkeypatch, tmp_path, "No devices were found", exit_code)
    assert not driver.read_driver(fake_gpus.make_device_files(tmp_path, 8)).has_gpus


def test_a_machine_without_device_files_has_no_gpu_even_if_nvidia_smi_fails(monkeypatch, tmp_path):
    """As on a login node with the driver's programs."""
    fake_gpus.install_nvidia_smi(monkeypatch, tmp_path, "couldn't communicate", exit_code=9)
    assert driver.read_driver(tmp_path) == driver.Driver((), (), None)
