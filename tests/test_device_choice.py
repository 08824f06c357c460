"""The GPUs that a process uses, chosen among faked ones.

`nvidia-smi` is an executable of ours; TensorFlow's list of GPUs, and its setters, are replaced,
since it has no way to pretend GPUs.
"""

import subprocess
import sys

import fake_gpus
import pytest

from imgcls.device import choice, memory, reservation, usable
from imgcls.distributed.cluster import SINGLE_PROCESS
from imgcls.errors import EpochLimit, UserError
from imgcls.run import Run
from imgcls.strategies import mirrored, multi_worker
from imgcls.verbs.evaluate import evaluate
from imgcls.verbs.train import train


@pytest.fixture
def fake(monkeypatch, tmp_path):
    """Return a function that fakes GPUs, given nvidia-smi's lines, and how many TensorFlow has."""
    usable.list_usable_gpus.cache_clear()
    choice.use_device.cache_clear()
    monkeypatch.setattr(choice, "_used", [])
    monkeypatch.setattr(reservation, "FOLDER", tmp_path / "gpus")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def install(*lines: str, found: int | None = None) -> fake_gpus.FakedTensorflow:
        fake_gpus.install_nvidia_smi(monkeypatch, tmp_path, "\n".join(lines))
        count = len(lines) if found is None else found
        return fake_gpus.FakedTensorflow(monkeypatch, count)

    yield install
    usable.list_usable_gpus.cache_clear()
    choice.use_device.cache_clear()
    memory.note_missing_gpu.cache_clear()


def test_a_run_continues_on_another_device_and_with_other_memory(digits, tmp_path, capsys):
    cpu = ("train.strategy={name: one_device, device: cpu}", "train.gpu_memory=0.5")
    with pytest.raises(EpochLimit):
        train(digits("train.epochs=2", *cpu), tmp_path / "run", epochs=1)
    train(digits("train.epochs=2"), tmp_path / "run")
    assert Run(tmp_path / "run").status.status == "finished"
    with pytest.raises(UserError, match=r"train\.strategy\.name: 'one_device' there"):
        train(digits("train.epochs=2", "train.strategy={name: mirrored}"), tmp_path / "run")


def test_a_run_is_evaluated_on_a_machine_without_the_gpu_of_its_training(
    digits, tmp_path, capsys, fake
):
    train(digits("train.epochs=1"), tmp_path / "run")
    run = Run(tmp_path / "run")
    text = run.config_file.read_text()
    assert text.count("device: null") == 1
    run.config_file.write_text(text.replace("device: null", "device: 3"))
    choice.use_device.cache_clear()  # as in a process that has not trained
    assert evaluate(run).examples
    assert "device was 3, which this machine does not have" in capsys.readouterr().err


def make_lines(*used: str) -> list[str]:
    return [fake_gpus.make_line(index, used=each) for index, each in enumerate(used)]


@pytest.mark.parametrize(("device", "name"), [(None, "physical:0"), (1, "physical:1")])
def test_only_the_chosen_gpu_is_visible(fake, device, name):
    tensorflow = fake(*make_lines("0", "0"))
    assert choice.use_device(device) == "GPU:0"
    assert tensorflow.visible == [name]
    assert [gpu.device.name for gpu in choice.list_used_gpus()] == [name]


def test_the_cpu_is_used_although_there_is_a_gpu(fake):
    tensorflow = fake(*make_lines("0"))
    assert choice.use_device("cpu") == "CPU:0"
    assert tensorflow.visible == []


@pytest.mark.parametrize(
    ("variable", "name"),
    [("3,1", "physical:1"), (f"{fake_gpus.make_uuid(1)},GPU-2", "physical:0")],
)
def test_an_index_is_that_of_nvidia_smi_whatever_cuda_visible_devices_says(
    fake, monkeypatch, variable, name
):
    """TensorFlow counts the GPUs that it sees, in the order of the variable."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)
    tensorflow = fake(*make_lines("0", "0", "0", "0"), found=2)
    choice.use_device(1)
    assert tensorflow.visible == [name]


@pytest.mark.parametrize("variable", [None, "0,2", "MIG-1a2b"])
def test_a_missing_gpu_is_an_error_that_lists_those_there_are(fake, monkeypatch, variable):
    if variable:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)
    count = 3 if variable is None else variable.count(",") + 1
    fake(*make_lines("0", "0", "0"), found=count)
    with pytest.raises(UserError) as caught:
        choice.use_device(5 if variable is None else 1)
    listed = {None: ["0: NVIDIA", "1: NVIDIA", "2: NVIDIA"], "0,2": ["0: NVIDIA", "2: NVIDIA"]}
    for each in listed.get(variable, ["MIG-1a2b"]):
        assert each in str(caught.value)
    assert ("  1: NVIDIA" in str(caught.value)) == (variable is None)


def test_an_index_without_a_gpu_is_an_error(fake):
    fake()
    with pytest.raises(UserError, match="is 1, but this process has no GPU"):
        choice.use_device(1)


def test_another_order_of_cuda_makes_an_index_unknown(fake, monkeypatch):
    """The fastest first is another GPU than nvidia-smi's first."""
    fake(*make_lines("0", "0"))
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "FASTEST_FIRST")
    with pytest.raises(UserError, match=r"train\.strategy\.device is 1"):
        choice.use_device(1)


def test_idle_is_the_gpu_with_the_least_memory_in_use_then_utilization(fake, capsys):
    lines = [
        fake_gpus.make_line(0, used="9"),
        fake_gpus.make_line(1, used="5", utilization="90"),
        fake_gpus.make_line(2, used="5", utilization="10"),
    ]
    tensorflow = fake(*lines)
    choice.use_device("idle")
    assert tensorflow.visible == ["physical:2"]
    assert "training on GPU 2: NVIDIA H100 80GB HBM3" in capsys.readouterr().err


HOLD = """
import sys
from pathlib import Path
from imgcls.device import reservation
from imgcls.device.visible import Slice
reservation.FOLDER = Path(sys.argv[1])
found = getattr(reservation, sys.argv[2])([Slice(sys.argv[3])])
print("held" if found or sys.argv[2] == "share" else "used by another", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def hold(tmp_path):
    """Return a function that lets another process take a GPU, and returns the process."""
    processes = []

    def start(index: int, how: str = "reserve_first", said: str = "held"):
        arguments = [str(tmp_path / "gpus"), how, fake_gpus.make_uuid(index)]
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        assert process.stdout.readline() == f"{said}\n"
        return process

    yield start
    for process in processes:
        process.communicate("")


@pytest.mark.parametrize("how", ["reserve_first", "share"])
def test_idle_is_a_gpu_that_no_other_process_has_taken(fake, hold, how):
    tensorflow = fake(*make_lines("0", "700"))
    process = hold(0, how)
    choice.use_device("idle")
    assert tensorflow.visible == ["physical:1"]
    process.communicate("")


@pytest.mark.parametrize("device", [None, 0, "idle"])
def test_the_gpu_of_any_run_is_not_idle_for_other_processes(fake, hold, device):
    fake(*make_lines("0", "0"))
    choice.use_device(device)
    hold(0, said="used by another")
    hold(1, said="held")


def test_a_gpu_is_free_once_its_process_was_killed(fake, hold):
    tensorflow = fake(*make_lines("0", "700"))
    process = hold(0)
    process.kill()
    process.wait()
    choice.use_device("idle")
    assert tensorflow.visible == ["physical:0"]


def test_if_no_gpu_is_idle_the_error_names_who_uses_which(fake, hold):
    fake(*make_lines("0", "0"))
    processes = [hold(0), hold(1)]
    with pytest.raises(UserError) as caught:
        choice.use_device("idle")
    for index, process in enumerate(processes):
        assert f"{index}: NVIDIA H100" in str(caught.value)
        assert f"process {process.pid}: -c" in str(caught.value)
    assert "Wait for one to end" in str(caught.value)


def test_a_named_gpu_is_used_although_another_process_has_it(fake, hold):
    tensorflow = fake(*make_lines("0", "0"))
    hold(1)
    choice.use_device(1)
    assert tensorflow.visible == ["physical:1"]


def test_a_second_choice_in_one_process_is_the_same_gpu(fake):
    tensorflow = fake(*make_lines("0", "700"))
    choice.use_device("idle")
    tensorflow.visible = None
    assert choice.use_device("idle") == "GPU:0"
    choice.use_for_prediction(0, None)
    assert tensorflow.visible is None


def test_a_gpu_cannot_change_once_tensorflow_uses_one(fake, monkeypatch):
    fake(*make_lines("0", "0"))
    choice.use_device(0)
    from imgcls.backend import tf

    def refuse(*_):
        raise RuntimeError("Visible devices cannot be modified after being initialized")

    monkeypatch.setattr(tf.config, "set_visible_devices", refuse)
    with pytest.raises(UserError, match=r"already uses 0: NVIDIA.* cannot change to 1: NVIDIA"):
        choice.use_device(1)


@pytest.mark.parametrize("device", [7, "idle"])
def test_a_model_is_evaluated_where_the_gpu_of_its_training_is_missing(fake, capsys, device):
    fake()
    choice.use_for_prediction(device, "growth")
    assert f"was {device}, which this machine does not have" in capsys.readouterr().err


@pytest.mark.parametrize(("device", "visible"), [(1, ["physical:1"]), (7, ["physical:0"])])
def test_a_model_is_evaluated_on_the_gpu_of_its_training_or_the_first(fake, device, visible):
    tensorflow = fake(*make_lines("0", "0"))
    choice.use_for_prediction(device, "growth")
    assert (tensorflow.visible, tensorflow.growth) == (visible, ["physical:0", "physical:1"])


def test_mirrored_sees_as_many_gpus_as_it_has_replicas(fake, monkeypatch):
    tensorflow = fake(*make_lines("0", "0", "0"))
    monkeypatch.setattr(mirrored, "_make_strategy", lambda devices: devices)
    settings = mirrored.Settings(name="mirrored", replicas=2)
    assert mirrored.build(settings, SINGLE_PROCESS) == ("GPU:0", "GPU:1")
    assert tensorflow.visible == ["physical:0", "physical:1"]


def test_a_fraction_is_of_each_gpus_total_memory(fake):
    lines = [fake_gpus.make_line(0, total="81559"), fake_gpus.make_line(1, total="24564")]
    tensorflow = fake(*lines)
    choice.prepare_gpus(None, 0.5)
    assert tensorflow.limits == {"physical:0": 40779, "physical:1": 12282}
    assert tensorflow.growth == []


def test_growth_is_set_on_each_gpu_and_nothing_without_the_setting(fake):
    tensorflow = fake(*make_lines("0", "0"))
    choice.prepare_gpus(None, None)
    assert (tensorflow.growth, tensorflow.limits) == ([], {})
    choice.prepare_gpus(None, "growth")
    assert (tensorflow.growth, tensorflow.limits) == (["physical:0", "physical:1"], {})


def test_a_fraction_of_unknown_memory_is_an_error(fake):
    fake(fake_gpus.make_line(0, total="[N/A]"))
    with pytest.raises(UserError, match="gpu_memory: growth"):
        choice.prepare_gpus(None, 0.5)


@pytest.mark.parametrize("device", [None, "cpu"])
def test_without_a_gpu_a_note_says_once_that_gpu_memory_has_no_effect(fake, capsys, device):
    fake(*make_lines(*["0"] * (device == "cpu")))
    choice.prepare_gpus(device, 0.5)
    choice.prepare_gpus(device, 0.5)
    assert capsys.readouterr().err == "note: train.gpu_memory has no effect without a GPU\n"


@pytest.mark.parametrize(
    ("capabilities", "seconds"), [([], 60), (["8.0", "8.6"], 300), (["8.0", "9.0"], 1800)]
)
def test_workers_have_as_long_to_connect_as_their_gpus_need(fake, capabilities, seconds):
    """TensorFlow 2.21 has kernels for 8.0, which run on 8.6; for 9.0 the driver compiles them."""
    fake(*[fake_gpus.make_line(i, capability=each) for i, each in enumerate(capabilities)])
    assert multi_worker.find_timeout(usable.list_usable_gpus()) == seconds
