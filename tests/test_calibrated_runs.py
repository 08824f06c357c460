"""Training fits the temperature with the weights and on the path that `eval` uses."""

from pathlib import Path

import pytest
from experiments import MIRRORED, RICH, command

from imgcls.run import Run
from imgcls.training.model_description import read_description
from imgcls.verbs import train

EMA = "train.ema={decay: 0.9}"
RICH = (*RICH, "train.optimizer={name: adamw, learning_rate: 0.01}")


@pytest.mark.parametrize(
    "overrides",
    [
        RICH,
        (*RICH, EMA, MIRRORED, "train.precision=mixed_float16"),
        pytest.param((*RICH, "train.precision=float64"), marks=pytest.mark.full),
        pytest.param(("train.device_cache_mib=0", EMA), marks=pytest.mark.full),
    ],
    ids=["float32", "ema, mirrored, float16", "float64", "ema, streaming"],
)
def test_the_temperature_belongs_to_the_selected_weights_and_gives_the_same_bits_again(
    digits, overrides
):
    """The training may end between its last checkpoint and model.keras."""
    settings = digits("train.epochs=4", "train.batch_size=64", "model.dropout=0.3", *overrides)
    summary = train.train(settings, Path("run"))
    run = Run(Path("run"))
    calibration = read_description(run.model_file).calibration
    assert calibration.reason is None
    assert summary["temperature"] == calibration.temperature != 1
    assert calibration.images == run.data.sizes["validation"]
    assert calibration.log_loss_before == pytest.approx(summary["selected"]["val_loss"], rel=2e-3)
    assert command("eval", "run", "--split", "validation")[0] == 0
    evaluated = run.read_evaluation("validation").metrics
    assert evaluated["log_loss"] == pytest.approx(calibration.log_loss_after, rel=1e-4)
    content = run.model_file.read_bytes()
    run.model_file.unlink()
    run.write_status("running", **run.status.model_dump(include={"step", "accumulation_steps"}))
    train.train(settings, Path("run"))
    assert run.model_file.read_bytes() == content


def test_without_calibration_the_temperature_is_1_and_another_run_does_not_continue_with_it(digits):
    summary = train.train(digits("train.epochs=1", "train.calibration=none"), Path("run"))
    assert (summary["temperature"], summary["calibration"]) == (1, "train.calibration is none")
    exit_code, _, stderr = command(
        "train", "run/config.yaml", "--run", "run", "--set", "train.calibration=temperature"
    )
    assert exit_code == 2
    assert "train.calibration: 'none' there, 'temperature' here" in stderr
