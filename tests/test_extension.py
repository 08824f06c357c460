"""More epochs for a run that was started with fewer: to the bit, or refused."""

from pathlib import Path

import pytest
from experiments import assert_same_result, command

from imgcls.errors import UserError
from imgcls.run import Run
from imgcls.verbs import train

STATEFUL = (
    "augment=[{name: random_crop, padding: 1}]",
    "model.batch_norm=true",
    "train.ema=0.9",
    "train.schedule={name: constant, warmup: 4 steps}",
)


def test_a_finished_run_with_more_epochs_is_that_which_had_them_from_the_start(digits, capsys):
    train.train(digits("train.epochs=3", *STATEFUL), Path("whole"))
    train.train(digits("train.epochs=1", *STATEFUL), Path("longer"))
    summary = train.train(digits("train.epochs=3", *STATEFUL), Path("longer"))
    longer = Run(Path("longer"))
    assert (summary["epochs"], longer.status.status) == (3, "finished")
    assert longer.experiment.train.epochs == 3
    assert_same_result(longer, Run(Path("whole")))
    assert "longer continues to epoch 3; it was started with train.epochs 1" in (
        capsys.readouterr().err
    )


@pytest.fixture
def finished(digits):
    """A run with the settings of a finished one, which is never trained."""

    def write(*overrides):
        run = Run(Path("run"))
        run.folder.mkdir()
        run.config_file.write_text(digits("train.epochs=2", *overrides).to_yaml())
        run.write_status("finished", step=12, exit_code=0)
        run.log_file.write_text("")
        return run

    return write


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (["train.schedule=cosine"], "train.schedule cosine depends on"),
        (["train.schedule={name: constant, warmup: 50%}"], "train.schedule.warmup 50% depends on"),
        (["augment=[{name: random_flip, until: 50%}]"], "augment.0.until 50% depends on"),
    ],
)
def test_epochs_are_not_raised_if_something_depends_on_their_number(
    digits, finished, overrides, reason
):
    run = finished(*overrides)
    config = run.config_file.read_bytes()
    with pytest.raises(UserError, match="2, which cannot be raised to 3") as raised:
        train.train(digits("train.epochs=3", *overrides), run.folder)
    assert reason in str(raised.value)
    assert "model.weights: run" in str(raised.value)
    assert (run.config_file.read_bytes(), run.status.status) == (config, "finished")


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (["train.epochs=1"], "  train.epochs: 2 there, 1 here"),
        (["train.epochs=3", "seed=1"], "  seed: 0 there, 1 here"),
        (["train.epochs=3", "train.batch_size=64"], "  train.batch_size: 256 there, 64 here"),
    ],
)
def test_any_other_change_is_refused(digits, finished, overrides, line):
    run = finished()
    with pytest.raises(UserError, match="choose another folder") as raised:
        train.train(digits(*overrides), run.folder)
    assert line in str(raised.value).splitlines()
    assert run.experiment.train.epochs == 2


def test_eval_of_a_file_offers_the_run_that_was_trained_with_set(digits, workspace):
    run = Run(Path("runs/tiny/1"))
    run.folder.mkdir(parents=True)
    run.config_file.write_text(digits("train.epochs=1", "model.dropout=0.1").to_yaml())
    run.write_status("finished", step=6, exit_code=0)
    exit_code, stdout, stderr = command("eval", "experiment.yaml")
    assert (exit_code, stdout) == (3, "")
    assert (
        "or give runs/tiny/1, which was trained with --set model.dropout=0.1 --set train.epochs=1"
    ) in stderr
