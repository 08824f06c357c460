"""`imgcls doctor`: what it finds on this machine, and how it says what it would find on a broken
one.
"""

import pytest
from experiments import command, json_of

from imgcls.errors import GateError
from imgcls.verbs import diagnose

FOUND = {
    "versions": {"keras": "3"},
    "devices": ["2 CPU cores"],
    "checked_on": "two logical devices of the CPU",
    "precision": "float32",
    "float64_difference": 1e-15,
    "precision_difference": 2e-7,
    "largest_difference_allowed": 1e-12,
    "determinism_cost": 1.25,
}


def test_on_a_sound_machine_one_and_two_devices_agree_to_rounding(workspace):
    found = json_of("doctor", "--precision", "float32")
    assert found["float64_difference"] <= 1e-12
    assert 1e-12 < found["precision_difference"] < 1e-2
    assert found["determinism_cost"] > 0
    assert found["devices"][-1].endswith("CPU cores")
    assert not list(workspace.iterdir())


def test_people_read_the_verdict_and_the_cost():
    text = " ".join(diagnose.format_report(FOUND).split())
    assert "float64 1.0e-15 (ok, limit 1e-12)" in text
    assert "training steps take 1.25 times as long as without it (float32)" in text


@pytest.mark.parametrize("difference", [1e-11, float("nan")])
def test_devices_that_do_not_agree_fail_the_gate_after_the_report(
    workspace, monkeypatch, difference
):
    monkeypatch.setattr(diagnose, "_measure_difference", lambda *_: difference)
    monkeypatch.setattr(diagnose, "_measure_determinism_cost", lambda *_: 1.25)
    with pytest.raises(GateError, match="do not train on several devices of this") as failure:
        diagnose.diagnose()
    exit_code, stdout, stderr = command("doctor")
    assert (exit_code, stderr) == (6, f"imgcls: {failure.value}\n")
    assert stdout == diagnose.format_report(failure.value.result) + "\n"
    assert "FAILED" in stdout


def test_an_unknown_precision_is_refused_with_the_known_ones(workspace):
    exit_code, _, stderr = command("doctor", "--precision", "float8")
    assert exit_code == 2
    assert "'float32', 'mixed_bfloat16', 'mixed_float16' or 'float64'; got 'float8'" in stderr


def test_a_training_process_that_fails_is_reported_with_its_last_words(workspace):
    from imgcls.errors import UserError
    from imgcls.training.probe import start_probe

    with (
        start_probe(workspace / "nothing.yaml", workspace / "run") as tell,
        pytest.raises(UserError, match=r"for nothing ended: .*nothing\.yaml"),
    ):
        tell("epoch")
