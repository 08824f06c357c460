"""A GPU that is there but cannot be used is an error, unless it is hidden; and what is printed."""

from pathlib import Path

import fake_gpus
import pytest

from imgcls.device import driver, kernels, libraries, usable, visible
from imgcls.errors import UserError

BUILT = ["sm_60", "sm_70", "sm_80", "sm_89", "compute_90"]
DRIVER = """\
2026-11-26 10:00:00.1: W tensorflow/core/gpu_device.cc:2256] Cannot dlopen some GPU libraries. \
Please make sure ...
Skipping registering GPU devices...
WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
E0000 00:00:1795727799.217029    5377 cuda_platform.cc:52] failed call to cuInit: INTERNAL: CUDA \
error: Failed call to cuInit: CUDA_ERROR_SYSTEM_DRIVER_MISMATCH
I0000 00:00:1795727799.217029    5377 cpu_feature_guard.cc:227] This TensorFlow binary is optimized
E0000 00:00:1795727799.2 5377 cuda_dnn.cc:9342] Unable to register cuDNN factory: Attempting to
I0000 00:00:1795726720.860632   27980 cudart_stub.cc:31] Could not find cuda drivers on your machine
I0000 00:00:1795726722.989063   27980 cudart_stub.cc:31] Could not find cuda drivers on your machine
"""
"""Lines that TensorFlow 2.21 prints, with those of its source for other states of the driver."""


@pytest.fixture(autouse=True)
def _visible(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")


@pytest.fixture
def said(monkeypatch):
    """Let TensorFlow say something, without the five seconds of a process."""
    monkeypatch.setattr(usable, "read_tensorflow_lines", lambda: ["Cannot dlopen libX.so.1"])


def read(monkeypatch, folder: Path, *lines: str, files: int = 0) -> driver.Driver:
    fake_gpus.install_nvidia_smi(monkeypatch, folder, "\n".join(lines))
    return driver.read_driver(fake_gpus.make_device_files(folder, files))


def test_a_gpu_that_tensorflow_does_not_list_is_an_error_with_its_lines(
    monkeypatch, tmp_path, said
):
    found = read(monkeypatch, tmp_path, fake_gpus.make_line(0, capability="8.0"))
    with pytest.raises(UserError) as caught:
        usable.match_gpus([], found)
    assert caught.value.exit_code == 2
    for text in (
        "0: NVIDIA H100 80GB HBM3 (compute capability 8.0, 81,559 MiB)",
        "Cannot dlopen libX.so.1",
        "make setup GPU=1",
        "driver 550.54.15 is installed",
        "CUDA_VISIBLE_DEVICES=-1",
    ):
        assert text in str(caught.value)


def test_one_of_two_gpus_lost_is_an_error_too(monkeypatch, tmp_path, said):
    lines = [fake_gpus.make_line(index, capability="8.0") for index in (0, 1)]
    with pytest.raises(UserError, match="cannot use the GPUs"):
        usable.match_gpus(fake_gpus.make_devices(1), read(monkeypatch, tmp_path, *lines))


@pytest.mark.parametrize("value", ["-1", "", "7", "NoDevFiles", "GPU-9"])
def test_hidden_gpus_are_accepted(monkeypatch, tmp_path, capsys, value):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    found = read(monkeypatch, tmp_path, fake_gpus.make_line(0))
    assert usable.match_gpus([], found) == ()
    # Whoever hides them on purpose needs no note.
    note = f"note: CUDA_VISIBLE_DEVICES={value} hides every GPU"
    assert capsys.readouterr().err.startswith(note) == (value not in ("-1", ""))


@pytest.mark.parametrize(
    ("value", "is_error"),
    [(None, True), ("0", True), ("1", False), ("-1", False), ("", False), ("GPU-0", True)],
)
def test_device_files_of_a_failing_driver_are_gpus_unless_hidden(
    monkeypatch, tmp_path, said, value, is_error
):
    if value is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    fake_gpus.install_nvidia_smi(monkeypatch, tmp_path, "Driver/library version mismatch", 18)
    found = driver.read_driver(fake_gpus.make_device_files(tmp_path, 1))
    if not is_error:
        assert usable.match_gpus([], found) == ()
        return
    with pytest.raises(UserError, match="Driver/library version mismatch"):
        usable.match_gpus([], found)


def test_gpus_that_only_tensorflow_shows_are_used(monkeypatch, tmp_path):
    """As in a container that was given GPUs, and not nvidia-smi."""
    monkeypatch.setenv("PATH", str(tmp_path))
    found = driver.read_driver(fake_gpus.make_device_files(tmp_path, 1))
    (gpu,) = usable.match_gpus(fake_gpus.make_devices(1), found)
    assert gpu.shown is None


def test_a_gpu_without_kernels_or_ptx_is_an_error_with_the_numbers(monkeypatch, tmp_path):
    lines = [fake_gpus.make_line(0, "Tesla M40", capability="5.2"), fake_gpus.make_line(1)]
    with pytest.raises(UserError) as caught:
        usable.match_gpus(fake_gpus.make_devices(2), read(monkeypatch, tmp_path, *lines))
    assert f"this build of TensorFlow ({', '.join(BUILT)}) has no kernels" in str(caught.value)
    assert "0: Tesla M40 (compute capability 5.2" in str(caught.value)
    assert "CUDA_VISIBLE_DEVICES=1 to use the others" in str(caught.value)


def test_of_divided_gpus_one_slice_is_enough(monkeypatch, tmp_path):
    lines = [fake_gpus.make_line(i, capability="8.0", slices="Enabled") for i in (0, 1)]
    (gpu,) = usable.match_gpus(fake_gpus.make_devices(1), read(monkeypatch, tmp_path, *lines))
    assert gpu.shown is None


@pytest.mark.parametrize(
    ("capability", "has_kernels", "can_compile"),
    [
        ("5.2", False, False),
        ("6.1", True, False),  # sm_60
        ("7.5", True, False),  # sm_70
        ("8.6", True, False),  # sm_80
        ("8.9", True, False),
        ("9.0", False, True),
        ("10.0", False, True),
        ("12.1", False, True),
    ],
)
def test_kernels_run_within_a_major_version_and_ptx_on_later_ones(
    monkeypatch, tmp_path, capability, has_kernels, can_compile
):
    (gpu,) = read(monkeypatch, tmp_path, fake_gpus.make_line(0, capability=capability)).gpus
    assert kernels.has_kernels(gpu, BUILT) == has_kernels
    assert kernels.can_compile(gpu, BUILT) == can_compile


def test_the_list_of_this_build_is_tensorflows_own():
    assert kernels.list_built() == BUILT


@pytest.mark.parametrize(
    ("capability", "variables", "wanted"),
    [
        ("8.9", {}, None),
        ("9.0", {}, "set CUDA_CACHE_MAXSIZE=1073741824 or more"),
        ("9.0", {"CUDA_CACHE_MAXSIZE": "268435456"}, "set CUDA_CACHE_MAXSIZE=1073741824 or more"),
        ("9.0", {"CUDA_CACHE_MAXSIZE": "4294967296"}, "takes minutes at the first start\n"),
        ("9.0", {"CUDA_CACHE_DISABLE": "1"}, "at every start"),
    ],
)
def test_a_note_says_only_when_it_is_so_that_kernels_are_compiled(
    monkeypatch, tmp_path, capsys, capability, variables, wanted
):
    for name in ("CUDA_CACHE_MAXSIZE", "CUDA_CACHE_DISABLE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found = read(monkeypatch, tmp_path, fake_gpus.make_line(0, capability=capability))
    usable.match_gpus(fake_gpus.make_devices(1), found)
    printed = capsys.readouterr().err
    assert (wanted or "") in printed
    assert bool(printed) == (wanted is not None)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (None, [0, 1, 2]),
        ("2,0", [2, 0]),
        ("0,2,-1,1", [0, 2]),  # the example of the CUDA Programming Guide
        ("0,9,1", [0]),
        ("GPU-2,GPU-1000", [2, 1]),
        ("GPU-", []),  # not unique
        (" 1 , 0", [1, 0]),
        ("", []),
    ],
)
def test_visible_gpus_follow_the_rules_of_cuda(monkeypatch, tmp_path, value, wanted):
    if value is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    gpus = read(monkeypatch, tmp_path, *map(fake_gpus.make_line, range(3))).gpus
    assert [each.index for each in visible.list_visible(gpus)] == wanted


def test_a_slice_is_visible_by_its_name(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-1a2b")
    assert visible.list_visible([]) == (visible.Slice("MIG-1a2b"),)


def test_only_tensorflows_messages_about_gpus_are_shown_each_once():
    assert usable.extract_lines(DRIVER) == [
        "Cannot dlopen some GPU libraries. Please make sure ...",
        "Skipping registering GPU devices...",
        "failed call to cuInit: INTERNAL: CUDA error: Failed call to cuInit:"
        " CUDA_ERROR_SYSTEM_DRIVER_MISMATCH",
        "Could not find cuda drivers on your machine",
    ]


@pytest.mark.full
def test_tensorflow_is_asked_at_a_level_at_which_it_says_why(monkeypatch):
    """At level 3, with which imgcls imports it, TensorFlow hides that cuInit failed."""
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")  # so that it fails on a machine with GPUs too
    lines = usable.read_tensorflow_lines()
    assert any("failed call to cuInit" in line for line in lines)


def test_cusolver_is_loaded_from_the_packages_and_only_if_it_is_there(monkeypatch, tmp_path):
    """TensorFlow finds it by its name then; it does not look into this folder."""
    loaded = []
    monkeypatch.setattr(libraries.ctypes, "CDLL", loaded.append)
    monkeypatch.setattr(libraries.sys, "path", ["/nowhere", str(tmp_path)])
    libraries.load_cusolver()
    assert loaded == []
    path = tmp_path / libraries.CUSOLVER
    path.parent.mkdir(parents=True)
    path.touch()
    libraries.load_cusolver()
    assert loaded == [str(path)]
