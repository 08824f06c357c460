"""Figures of a run that is not finished show its epochs so far, and say so."""

from pathlib import Path

import pytest
from experiments import command

from imgcls.errors import Interrupted
from imgcls.run import Run
from imgcls.verbs import train


def test_an_interrupted_run_is_plotted_and_marked(digits):
    with pytest.raises(Interrupted):
        train.train(digits("train.epochs=2", "figures=learning_curves"), Path("run"), epochs=1)
    exit_code, stdout, stderr = command("plot", "run")
    assert exit_code == 0, stderr
    assert "run is interrupted: figures show the epochs so far" in stderr
    run = Run(Path("run"))
    assert str(run.report_page) in stdout
    assert run.figure_file("learning_curves").exists()
    assert run.status.status == "interrupted"
