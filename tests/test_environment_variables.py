"""Environment variables and GPUs: recorded, and named where a run continues on other ones."""

import ctypes
import os
import re
from pathlib import Path
from types import SimpleNamespace

import fake_gpus
import pytest
from experiments import experiment, make_runtime

from imgcls import environment, environment_variables
from imgcls.device import library_versions
from imgcls.environment import GpuModel, find_differences
from imgcls.errors import EpochLimit
from imgcls.run import Run
from imgcls.training import worker
from imgcls.verbs import train


@pytest.mark.parametrize("prefix", environment_variables.PREFIXES)
def test_a_variable_with_each_prefix_is_recorded_and_compared(monkeypatch, prefix):
    monkeypatch.setenv(f"{prefix}NEW", "a b")
    monkeypatch.setenv("SECRET", "c")
    found = environment_variables.read_variables()
    assert found[f"{prefix}NEW"] == "a b"
    assert "SECRET" not in found
    assert environment_variables.select_bit_changing(found)[f"{prefix}NEW"] == "a b"


def test_every_neutral_pattern_is_of_recorded_variables_and_neither_compared_nor_repeated():
    patterns = [each for group in environment_variables.NEUTRAL.values() for each in group]
    assert len(set(patterns)) == len(patterns)
    for pattern in patterns:
        assert pattern.startswith(environment_variables.PREFIXES)
        assert environment_variables.select_bit_changing({pattern.replace("*", "X"): "1"}) == {}


@pytest.mark.parametrize(
    "name",
    [
        "TF_ENABLE_ONEDNN_OPTS",
        "TF_NUM_INTRAOP_THREADS",
        "TF_CUDNN_USE_AUTOTUNE",
        "NVIDIA_TF32_OVERRIDE",
        "NCCL_ALGO",
        "NCCL_NVLS_ENABLE",
        "XLA_FLAGS",
        "TF_XLA_FLAGS",
        "CUBLAS_WORKSPACE_CONFIG",
        "OMP_NUM_THREADS",
        "ONEDNN_MAX_CPU_ISA",
    ],
)
def test_variables_that_are_known_to_change_bits_are_compared(name):
    assert environment_variables.select_bit_changing({name: "1"}) == {name: "1"}


def test_a_run_that_continues_with_other_variables_names_those_that_can_change_bits(
    digits, monkeypatch, capsys
):
    run = Run(Path("run"))
    monkeypatch.setenv("NCCL_ALGO", "Ring")
    monkeypatch.setenv("NCCL_DEBUG", "WARN")
    with pytest.raises(EpochLimit):
        train.train(digits("train.epochs=3"), run.folder, epochs=1)
    assert "another environment" not in capsys.readouterr().err
    monkeypatch.setenv("NCCL_DEBUG", "INFO")
    with pytest.raises(EpochLimit):
        train.train(digits("train.epochs=3"), run.folder, epochs=2)
    assert "another environment" not in capsys.readouterr().err
    monkeypatch.setenv("NCCL_ALGO", "Tree")
    train.train(digits("train.epochs=3"), run.folder)
    assert (
        "note: run continues in another environment, so its result may differ in bits from that of"
        " an uninterrupted run: NCCL_ALGO was Ring and is Tree"
    ) in " ".join(capsys.readouterr().err.split())
    starts = [*run.environment.earlier_starts, run.environment]
    assert [start.variables["NCCL_ALGO"] for start in starts] == ["Ring", "Ring", "Tree"]
    assert [start.variables["NCCL_DEBUG"] for start in starts] == ["WARN", "INFO", "INFO"]


@pytest.mark.parametrize(
    ("deterministic", "given", "expected"),
    [("true", None, "0"), ("true", "1", "1"), ("false", None, None)],
)
def test_nvlink_sharp_is_off_before_the_rendezvous_of_a_deterministic_run(
    digits, monkeypatch, deterministic, given, expected
):
    monkeypatch.setenv("NCCL_NVLS_ENABLE", given or "")
    if given is None:
        monkeypatch.delenv("NCCL_NVLS_ENABLE")
    compared = []

    def compare(cluster, invariants, properties, get_stop_reason):
        compared.append(properties.get("NCCL_NVLS_ENABLE"))
        raise EpochLimit("compared", "")

    monkeypatch.setattr(worker, "wait_for_workers", compare)
    with pytest.raises(EpochLimit):
        train.train(digits(f"train.deterministic={deterministic}"))
    assert compared == [expected] == [os.environ.get("NCCL_NVLS_ENABLE")]


def test_nvlink_sharp_is_off_in_every_deterministic_process(workspace, monkeypatch):
    from imgcls.training import build

    monkeypatch.setenv("NCCL_NVLS_ENABLE", "")
    monkeypatch.delenv("NCCL_NVLS_ENABLE")
    build.set_up_process(experiment(workspace))
    assert os.environ["NCCL_NVLS_ENABLE"] == "0"


def test_the_runtime_of_this_process_is_recorded(workspace):
    from imgcls.backend import tf
    from imgcls.training import build

    build.set_up_process(experiment(workspace, "train.precision=tensorfloat32"))
    found = environment.read_runtime()
    assert found.tensorfloat32
    assert found.variables["TF_ENABLE_ONEDNN_OPTS"] == os.environ["TF_ENABLE_ONEDNN_OPTS"]
    built = tf.sysconfig.get_build_info()
    assert found.libraries.get("CUDA of the build") == built.get("cuda_version")
    assert found.intra_op_threads == tf.config.threading.get_intra_op_parallelism_threads()


def test_gpus_are_recorded_with_the_version_of_their_driver(monkeypatch, tmp_path: Path):
    from imgcls.backend import tf

    details = {"device_name": fake_gpus.H100, "compute_capability": (9, 0)}
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: [kind] * 2)
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda device: details)
    fake_gpus.install_nvidia_smi(monkeypatch, tmp_path, fake_gpus.make_line(0))
    gpu = GpuModel(name=fake_gpus.H100, compute_capability="9.0", driver="550.54.15")
    assert environment.read_runtime().gpus == [gpu, gpu]


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"cores": 4}, "cores was 2 and is 4"),
        ({"processor": "Other"}, "processor was CPU and is Other"),
        ({"intra_op_threads": 1}, "intra_op_threads was 0 and is 1"),
        ({"inter_op_threads": 1}, "inter_op_threads was 0 and is 1"),
        ({"tensorfloat32": True}, "tensorfloat32 was false and is true"),
        ({"variables": {"XLA_FLAGS": "--a"}}, "XLA_FLAGS was not set and is --a"),
        ({"variables": {"XLA_FLAGS": ""}}, "XLA_FLAGS was not set and is empty"),
        ({"libraries": {"cuDNN of the build": "9"}}, "cuDNN of the build was not set and is 9"),
        (
            {"gpus": [{"name": "L4", "compute_capability": "8.9", "driver": "550"}]},
            "GPUs was none and is L4 (compute capability 8.9, driver 550)",
        ),
    ],
)
def test_each_property_that_can_change_bits_is_compared(changes, difference):
    one, other = make_runtime(), make_runtime(**changes)
    assert find_differences(one.list_properties(), one.list_properties()) == []
    assert find_differences(one.list_properties(), other.list_properties()) == [difference]


def test_a_library_that_was_not_loaded_before_is_no_difference_but_another_version_is():
    without, one, other = (
        make_runtime(libraries=libraries).list_properties()
        for libraries in ({}, {"NCCL": "2.27.3"}, {"NCCL": "2.28.1"})
    )
    assert find_differences(without, one) == find_differences(one, without) == []
    assert find_differences(one, other) == ["NCCL was 2.27.3 and is 2.28.1"]


def test_the_packages_of_gpu_servers_are_those_of_their_lock():
    lock = (Path(__file__).parent.parent / "requirements-gpu.lock").read_text()
    assert set(environment.GPU_PACKAGES) <= set(re.findall(r"^(nvidia-[\w-]+)==", lock, re.M))


def make_fill(number):
    """Return a C function that writes a number to where its argument points."""

    def fill(pointer):
        pointer[0] = number
        return 0

    return ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int))(fill)


@pytest.mark.parametrize(
    ("name", "function", "version"),
    [
        ("CUDA runtime", {"cudaRuntimeGetVersion": make_fill(12050)}, "12.5"),
        ("NCCL", {"ncclGetVersion": make_fill(22703)}, "2.27.3"),
        ("cuDNN", {"cudnnGetVersion": ctypes.CFUNCTYPE(ctypes.c_size_t)(lambda: 90300)}, "9.3.0"),
        ("cuDNN", {"cudnnGetVersion": ctypes.CFUNCTYPE(ctypes.c_size_t)(lambda: 8902)}, "8.9.2"),
    ],
)
def test_a_library_is_asked_for_its_version(name, function, version):
    _, ask = library_versions.LIBRARIES[name]
    assert ask(SimpleNamespace(**function)) == version


def test_only_libraries_that_are_loaded_are_asked(monkeypatch, tmp_path: Path):
    asked = []
    monkeypatch.setattr(ctypes, "CDLL", lambda path: asked.append(path) or path)
    monkeypatch.setitem(library_versions.LIBRARIES, "cuDNN", ("libcudnn", str))
    maps = tmp_path / "maps"
    maps.write_text(
        "7f0 r-xp 00 08:01 5  /usr/lib/libcudnn_ops.so.9\n7f1 r-xp 00 08:01 6  /a/libcudnn.so.9\n"
    )
    assert library_versions.read_loaded_versions(maps) == {"cuDNN": "/a/libcudnn.so.9"}
    assert asked == ["/a/libcudnn.so.9"]
    assert library_versions.read_loaded_versions(tmp_path / "none") == {}


def test_the_docstring_of_the_record_lists_the_prefixes():
    text = environment.Runtime.model_fields["variables"].description
    assert tuple(re.findall(r"\b[A-Z0-9]+_", text)) == environment_variables.PREFIXES
