"""`imgcls doctor`: what it finds on this machine, and how it says what it would find on a broken
one.
"""

import pytest
from experiments import command, json_of
from gpu_stand_in import FOUND

from imgcls.errors import GateError
from imgcls.verbs import diagnose


def measure_nothing(monkeypatch, difference: float) -> None:
    """Replace the training processes by weights that differ in the last array."""
    import numpy

    def train(folder, setup, precision):
        return [numpy.zeros(3), numpy.full(2, difference if setup is diagnose.CPU else 0.0)]

    monkeypatch.setattr(diagnose, "_train", train)
    monkeypatch.setattr(diagnose, "_measure_determinism_cost", lambda *_: 1.25)


@pytest.mark.full
def test_on_a_sound_machine_devices_agree_to_rounding(workspace):
    found = json_of("doctor", "--precision", "float32")
    by_precision = {each["precision"]: each["difference"] for each in found["comparisons"]}
    assert by_precision["float64"] <= diagnose.LIMIT_OF_DEVICES
    # The limit for CPU and GPU is between rounding in float64, and what float32 leaves.
    assert 1e3 * by_precision["float64"] < diagnose.LIMIT_OF_KERNELS
    assert 1e3 * diagnose.LIMIT_OF_KERNELS < by_precision["float32"] < 1e-2
    assert found["determinism_cost"] > 0
    assert found["devices"][-1].endswith("CPU cores")
    assert not list(workspace.iterdir())


def test_without_a_gpu_the_report_says_what_was_not_compared(workspace, monkeypatch):
    measure_nothing(monkeypatch, 0.0)
    exit_code, stdout, _ = command("doctor")
    assert exit_code == 0
    assert "\nnot compared: CPU and GPU: there is no GPU here\n" in stdout
    assert "CPU and two logical devices" in stdout


@pytest.mark.parametrize(
    ("gpus", "names"),
    [
        (0, ["CPU and two logical devices"]),
        (1, ["CPU and GPU", "CPU and two logical devices"]),
        (4, ["CPU and GPU", "GPU and two GPUs"]),
    ],
)
def test_one_gpu_is_compared_with_the_cpu_and_two_with_one(gpus, names):
    assert [each.name for each in diagnose.list_comparisons(gpus)] == names


def test_only_setups_with_a_gpu_see_one():
    for each in diagnose.list_comparisons(1) + diagnose.list_comparisons(2):
        for setup in (each.first, each.second):
            hidden = setup.variables.get("CUDA_VISIBLE_DEVICES") == "-1"
            assert hidden == ("GPU" not in setup.name)


def test_setups_train_with_their_own_variables_and_settings(workspace):
    """A CPU without oneDNN, which rounds float32 otherwise, stands in for a GPU."""
    other = diagnose.Setup("CPU without oneDNN", {"TF_ENABLE_ONEDNN_OPTS": "0"})
    comparison = diagnose.DevicePair(diagnose.CPU, other, diagnose.LIMIT_OF_KERNELS)
    diagnose._prepare_data(workspace, "float32")
    (found,) = diagnose._compare(workspace, [comparison], ["float32"])
    assert found["between"] == "CPU and CPU without oneDNN"
    assert 1e-8 < found["difference"] < 1e-3


def test_people_read_each_comparison_and_the_cost_in_80_columns():
    text = diagnose.format_report(FOUND)
    lines = [line.split() for line in text.splitlines()]
    assert ["CPU", "and", "GPU", "float64", "1.0e-15", "1e-10", "ok"] in lines
    assert ["GPU", "and", "two", "GPUs", "float64", "1.0e-11", "1e-12", "FAILED"] in lines
    assert ["CPU", "and", "GPU", "tensorfloat32", "2.0e-03", "-", "rounding"] in lines
    assert ["cuDNN", "9.3.0"] in lines
    assert ["driver", "550.54.15"] in lines
    said = " ".join(text.split())
    assert "training steps take 1.25 times as long as without it (tensorfloat32)" in said
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("difference", [1e-11, float("nan")])
def test_devices_that_do_not_agree_fail_the_gate_after_the_report(
    workspace, monkeypatch, difference
):
    measure_nothing(monkeypatch, difference)
    with pytest.raises(GateError, match="do not train on these devices of this") as failure:
        diagnose.diagnose()
    exit_code, stdout, stderr = command("doctor")
    assert (exit_code, stderr) == (6, f"imgcls: {failure.value}\n")
    assert stdout == diagnose.format_report(failure.value.result) + "\n"
    assert "FAILED" in stdout


def test_an_unknown_precision_is_refused_with_the_known_ones(workspace):
    exit_code, _, stderr = command("doctor", "--precision", "float8")
    assert exit_code == 2
    assert "'mixed_bfloat16', 'mixed_float16' or 'float64'; got 'float8'" in stderr


def test_a_training_process_that_fails_is_reported_with_its_last_words(workspace):
    from imgcls.errors import UserError
    from imgcls.training.process import start_process

    with (
        start_process(workspace / "nothing.yaml", workspace / "run") as send,
        pytest.raises(UserError, match=r"for nothing ended: .*nothing\.yaml"),
    ):
        send("epoch")
