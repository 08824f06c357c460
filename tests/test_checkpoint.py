"""Checkpoints on disk: whole, torn, corrupt or unreadable."""

from pathlib import Path

import numpy
import pytest
from experiments import (
    RICH,
    assert_same_result,
)

from imgcls import checkpoint, training
from imgcls.errors import DataError, UserError
from imgcls.run import Run


def test_a_checkpoint_that_cannot_be_read_is_not_taken_for_a_damaged_one_and_stays(digits):
    training.train(digits(), Path("run"))
    run = Run(Path("run"))
    newest = run.state_files()[0]
    newest.unlink()
    newest.mkdir()  # what even root cannot read
    run.write_status("running", step=0)
    with pytest.raises(UserError, match=r"cannot read .*state-12\.npz"):
        training.train(digits(), Path("run"))
    assert newest.exists()
    assert len(run.state_files()) == 2


def torn(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def corrupt(path):
    """Change one number, and write the archive anew: its own check values are right again."""
    with numpy.load(path) as archive:
        arrays = dict(archive)
    arrays["00000"] = arrays["00000"] + 1
    with path.open("wb") as stream:
        numpy.savez(stream, **arrays)


def emptied(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [torn, corrupt, emptied])
def test_of_two_checkpoints_a_damaged_newest_one_is_named_and_the_one_before_continues_to_the_same_bits(digits, capsys, damage):
    settings = digits(*RICH, "train.epochs=3", "train.optimizer={name: sgd, learning_rate: 0.3}")
    training.train(settings, Path("whole"))
    training.train(settings, Path("run"))
    run = Run(Path("run"))
    newest, before = run.state_files()
    damage(newest)
    run.write_status("running", step=0)
    training.train(settings, Path("run"))
    notes = capsys.readouterr().err
    assert f"{newest} is damaged" in notes
    assert f"continuing from {before}, at step 12" in notes
    assert_same_result(Run(Path("whole")), run)


def test_where_no_checkpoint_is_whole_the_run_says_so_and_keeps_its_files(digits):
    training.train(digits(), Path("run"))
    run = Run(Path("run"))
    run.write_status("running", step=0)
    for path in run.state_files():
        torn(path)
    with pytest.raises(DataError, match=r"state-6\.npz is damaged \(.*\); delete the folder run/checkpoint"):
        training.train(digits(), Path("run"))
    assert len(run.state_files()) == 2
    assert (run.status["status"], run.status["exit_status"]) == ("failed", 3)


def test_a_checkpoint_holds_every_variable_and_the_counters(tmp_path):
    from imgcls.backend import keras

    variables = [keras.Variable(numpy.arange(3.0), name="one"), keras.Variable(numpy.eye(2), name="two")]
    checkpoint.save(tmp_path / "state.npz", variables, {"step": 3})
    for variable in variables:
        variable.assign(variable * 0)
    assert checkpoint.load(tmp_path / "state.npz", variables) == {"step": 3}
    numpy.testing.assert_array_equal(variables[0], numpy.arange(3.0))
    numpy.testing.assert_array_equal(variables[1], numpy.eye(2))
    with pytest.raises(UserError, match="holds other variables"):
        checkpoint.load(tmp_path / "state.npz", variables[::-1])
