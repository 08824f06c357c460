"""A run whose optimizer has state of its own ends with the same bits when it is interrupted."""

import pytest
from experiments import RICH, assert_same_result, log_without_times

from imgcls import parts
from imgcls.errors import Interrupted
from imgcls.run import Run
from imgcls.verbs.train import train

UNUSUAL = ("muon", "schedule_free")
"""A companion's state, and weights that are not those of the model."""
SETTINGS = (*RICH, "train.steps_per_execution=1", "train.epochs=1", "model.filters=[4, 4]")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in UNUSUAL else pytest.mark.full)
        for name in parts.list_names("optimizers")
    ],
)
def test_a_run_that_is_interrupted_ends_with_the_same_bits(digits, tmp_path, name):
    settings = (*SETTINGS, f"train.optimizer={name}")
    train(digits(*settings), tmp_path / "whole")
    with pytest.raises(Interrupted):
        train(digits(*settings, "train.time_limit=0.0001s"), tmp_path / "parts")
    assert Run(tmp_path / "parts").status.step == 1
    train(digits(*settings), tmp_path / "parts")
    assert_same_result(Run(tmp_path / "whole"), Run(tmp_path / "parts"))
    assert log_without_times(Run(tmp_path / "whole"))[0]["loss"] < 2.6  # it learns
