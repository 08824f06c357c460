"""Checkpoints on disk: intact, truncated, corrupt or unreadable."""

from pathlib import Path
from types import SimpleNamespace

import numpy
import pytest
from experiments import (
    RICH,
    assert_same_result,
)

from imgcls.durations import parse_duration
from imgcls.errors import DataError, UserError
from imgcls.run import Run
from imgcls.training import checkpoint
from imgcls.training.counters import Counters
from imgcls.verbs import train


def test_an_unreadable_checkpoint_is_not_deleted_as_a_damaged_one(digits):
    train.train(digits(), Path("run"))
    run = Run(Path("run"))
    newest = run.state_files()[0]
    newest.unlink()
    newest.mkdir()  # what even root cannot read
    run.write_status("running", step=0)
    with pytest.raises(UserError, match=r"state-12\.npz is a folder; remove it"):
        train.train(digits(), Path("run"))
    assert newest.exists()
    assert len(run.state_files()) == 2


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def corrupt(path):
    """Change one number, and rewrite the archive, so that the CRCs of its members are right."""
    with numpy.load(path) as archive:
        arrays = dict(archive)
    arrays["00000"] = arrays["00000"] + 1
    with path.open("wb") as stream:
        numpy.savez(stream, **arrays)


def empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [truncate, corrupt, empty])
def test_the_previous_checkpoint_continues_to_the_same_bits_if_the_newest_is_damaged(
    digits, capsys, damage
):
    settings = digits(*RICH, "train.epochs=3", "train.optimizer={name: sgd, learning_rate: 0.3}")
    train.train(settings, Path("whole"))
    train.train(settings, Path("run"))
    run = Run(Path("run"))
    newest, before = run.state_files()
    damage(newest)
    run.write_status("running", step=0)
    train.train(settings, Path("run"))
    notes = capsys.readouterr().err
    assert f"{newest} is damaged" in notes
    assert f"continuing from {before}, at step 12" in notes
    assert_same_result(Run(Path("whole")), run)


def test_a_run_without_an_intact_checkpoint_says_so_and_keeps_its_files(digits):
    train.train(digits(), Path("run"))
    run = Run(Path("run"))
    run.write_status("running", step=0)
    for path in run.state_files():
        truncate(path)
    with pytest.raises(
        DataError, match=r"state-6\.npz is damaged \(.*\); delete the folder run/checkpoint"
    ):
        train.train(digits(), Path("run"))
    assert len(run.state_files()) == 2
    assert (run.status.status, run.status.exit_code) == ("failed", 3)


def test_a_checkpoint_holds_every_variable_and_the_counters(tmp_path):
    from imgcls.backend import keras

    variables = [
        keras.Variable(numpy.arange(3.0), name="one"),
        keras.Variable(numpy.eye(2), name="two"),
    ]
    checkpoint.save(tmp_path / "state.npz", variables, Counters(step=3))
    for variable in variables:
        variable.assign(variable * 0)
    assert checkpoint.load(tmp_path / "state.npz", variables) == Counters(step=3)
    numpy.testing.assert_array_equal(variables[0], numpy.arange(3.0))
    numpy.testing.assert_array_equal(variables[1], numpy.eye(2))
    with pytest.raises(UserError, match="do not match this model and optimizer"):
        checkpoint.load(tmp_path / "state.npz", variables[::-1])


@pytest.mark.parametrize(
    "distance",
    [pytest.param(1, marks=pytest.mark.full), 9],
    ids=["every bit", "one bit of nearly every byte"],
)
def test_every_flipped_bit_that_changes_the_state_is_detected(tmp_path, distance):
    from imgcls.backend import keras

    variable = keras.Variable(numpy.arange(6.0).reshape(2, 3), name="one")
    path = tmp_path / "state.npz"
    checkpoint.save(path, [variable], Counters(step=3))
    whole = path.read_bytes()
    damaged, bits = 0, range(0, len(whole) * 8, distance)
    for bit in bits:
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        try:
            # A bit without influence, such as one of a date.
            assert checkpoint.load(path, [variable]) == Counters(step=3)
        except checkpoint.CorruptError:
            damaged += 1
        numpy.testing.assert_array_equal(variable, numpy.arange(6.0).reshape(2, 3))
    assert damaged > len(bits) / 2


def test_a_checkpoint_is_due_after_an_interval_in_minutes(monkeypatch):
    clock = SimpleNamespace(monotonic=lambda: clock.now, now=1000.0)
    monkeypatch.setattr(checkpoint, "time", clock)
    schedule = checkpoint.SaveSchedule(parse_duration("0.5m"))
    due = []
    for seconds in (29, 2, 3):
        clock.now += seconds
        due.append(schedule.is_due(7))
    schedule.mark_saved()
    for seconds in (29, 1):
        clock.now += seconds
        due.append(schedule.is_due(7))
    assert due == [False, True, True, False, True]


def test_a_checkpoint_is_due_after_an_interval_in_steps_whatever_the_time(monkeypatch):
    clock = SimpleNamespace(monotonic=lambda: clock.now, now=0.0)
    monkeypatch.setattr(checkpoint, "time", clock)
    schedule = checkpoint.SaveSchedule(parse_duration("5 steps"))
    clock.now = 1e9
    assert [step for step in range(1, 12) if schedule.is_due(step)] == [5, 10]
    assert [schedule.limit_steps(9, step) for step in (3, 5)] == [2, 5]
    assert schedule.limit_steps(1, 3) == 1


def test_a_run_saves_within_an_epoch_when_the_interval_is_over(digits):
    train.train(digits("train.epochs=1"), Path("slow"))
    train.train(digits("train.epochs=1", "train.checkpoint=0.0000001s"), Path("often"))
    assert [
        [path.name for path in Run(Path(name)).state_files()] for name in ("slow", "often")
    ] == [
        ["state-6.npz", "state-0.npz"],
        ["state-6.npz", "state-4.npz"],
    ]


def test_foreign_files_in_the_checkpoint_folder_are_left_alone(digits):
    train.train(digits("train.epochs=1"), Path("run"))
    run = Run(Path("run"))
    (run.checkpoint_folder / "state-copy.npz").write_text("mine")
    run.write_status("running", step=0)
    train.train(digits("train.epochs=1"), Path("run"))
    assert (run.checkpoint_folder / "state-copy.npz").read_text() == "mine"


@pytest.mark.parametrize("nonsense", ["1000000", "2.5", "-3", "null", "true", "3"])
def test_invalid_accumulation_steps_are_an_error_before_they_are_saved(digits, nonsense):
    train.train(digits("train.epochs=1"), Path("run"))
    run = Run(Path("run"))
    run.write_status("running", step=0)
    run.accumulation_steps_file.write_text(f'{{"accumulation_steps": {nonsense}}}')
    with pytest.raises(
        DataError, match=r"accumulation_steps\.json (is damaged|asks for) .*; delete it, and run"
    ):
        train.train(digits("train.epochs=1"), Path("run"))
    run.accumulation_steps_file.unlink()
    assert train.train(digits("train.epochs=1"), Path("run"))["status"] == "finished"


def test_a_run_without_its_status_is_refused(digits):
    train.train(digits("train.epochs=1"), Path("run"))
    Run(Path("run")).status_file.unlink()
    with pytest.raises(DataError, match=r"cannot read run/status\.json: No such file"):
        train.train(digits("train.epochs=1"), Path("run"))
