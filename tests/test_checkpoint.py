"""Checkpoints on disk: intact, truncated, corrupt or unreadable."""

import errno
import json
import time
from pathlib import Path
from types import SimpleNamespace

import numpy
import pytest
from experiments import (
    RICH,
    assert_same_result,
)

from imgcls.durations import parse_duration
from imgcls.errors import DataError, DivergenceError, UserError
from imgcls.io import files
from imgcls.io.threads import BackgroundThread
from imgcls.run import Run
from imgcls.training import checkpoint, checkpoint_file
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


@pytest.mark.parametrize(
    "damage", [truncate, *(pytest.param(each, marks=pytest.mark.full) for each in (corrupt, empty))]
)
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
    snapshot = checkpoint_file.take_snapshot(variables)
    for variable in variables:
        variable.assign(variable * 0)
    checkpoint_file.write(tmp_path / "state.npz", snapshot, Counters(step=3))
    assert checkpoint_file.load(tmp_path / "state.npz", variables) == Counters(step=3)
    numpy.testing.assert_array_equal(variables[0], numpy.arange(3.0))
    numpy.testing.assert_array_equal(variables[1], numpy.eye(2))
    with pytest.raises(UserError, match="do not match this model and optimizer"):
        checkpoint_file.load(tmp_path / "state.npz", variables[::-1])


@pytest.mark.parametrize(
    "distance",
    [pytest.param(1, marks=pytest.mark.full), 9],
    ids=["every bit", "one bit of nearly every byte"],
)
def test_every_flipped_bit_that_changes_the_state_is_detected(tmp_path, distance):
    from imgcls.backend import keras

    variable = keras.Variable(numpy.arange(6.0).reshape(2, 3), name="one")
    path = tmp_path / "state.npz"
    checkpoint_file.write(path, checkpoint_file.take_snapshot([variable]), Counters(step=3))
    whole = path.read_bytes()
    damaged, bits = 0, range(0, len(whole) * 8, distance)
    for bit in bits:
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        try:
            # A bit without influence, such as one of a date.
            assert checkpoint_file.load(path, [variable]) == Counters(step=3)
        except checkpoint_file.CorruptError:
            damaged += 1
        numpy.testing.assert_array_equal(variable, numpy.arange(6.0).reshape(2, 3))
    assert damaged > len(bits) / 2


def test_a_snapshot_keeps_the_values_while_training_goes_on():
    from imgcls.backend import keras
    from imgcls.optimizers import adamw

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    optimizer = adamw.build(adamw.Settings(name="adamw"), 0.1)
    optimizer.build(model.trainable_variables)
    variables = [*model.variables, *optimizer.variables]
    before = [numpy.array(variable) for variable in variables]
    snapshot = checkpoint_file.take_snapshot(variables)
    optimizer.apply([numpy.ones((2, 3)), numpy.ones(3)], model.trainable_variables)
    assert not any(numpy.array_equal(*pair) for pair in zip(before[:2], variables[:2], strict=True))
    for expected, kept in zip(before, snapshot.arrays, strict=True):
        numpy.testing.assert_array_equal(kept, expected, strict=True)


@pytest.fixture
def disk(monkeypatch):
    """Lets the test say from which step on the disk is full, by the name of the file, and what
    the run claims while each checkpoint is being written.
    """
    disk = SimpleNamespace(full_at=None, claims={})
    write = checkpoint_file.write

    def write_slowly(path, snapshot, counters):
        status = path.parent.parent / "status.json"
        disk.claims[path.name] = json.loads(status.read_text())["step"]
        if path.name == disk.full_at:
            time.sleep(0.3)  # training goes on meanwhile
            with files.explain_errors(path):
                raise OSError(errno.ENOSPC, "full")
        write(path, snapshot, counters)

    monkeypatch.setattr(checkpoint_file, "write", write_slowly)
    return disk


@pytest.mark.parametrize(
    "full_at",
    [
        "state-6.npz",
        *(
            pytest.param(name, marks=pytest.mark.full)
            for name in ("state-2.npz", "state-12.npz", "best-2.npz")
        ),
    ],
)
def test_a_checkpoint_that_cannot_be_written_ends_training_and_nothing_claims_it(
    digits, disk, capsys, full_at
):
    settings = digits("train.checkpoint=2 steps", "train.monitor=val_loss")
    train.train(settings, Path("whole"))
    disk.full_at = full_at
    with pytest.raises(UserError, match=rf"the disk is full: cannot write .*/{full_at}; free some"):
        train.train(settings, Path("run"))
    run = Run(Path("run"))
    newest = run.get_step(run.state_files()[0])
    status = run.status
    assert (status.status, status.exit_code, status.step) == ("failed", 2, newest)
    assert [epoch.step for epoch in run.log] == [6][: newest // 6]
    assert not run.model_file.exists()
    assert "the state is saved" not in capsys.readouterr().err
    disk.full_at = None
    train.train(settings, Path("run"))
    assert_same_result(Run(Path("whole")), run)


def test_the_status_is_never_ahead_of_the_state_on_disk(digits, disk):
    train.train(digits("train.checkpoint=2 steps"), Path("run"))
    states = {name: step for name, step in disk.claims.items() if name.startswith("state")}
    assert states == {f"state-{step}.npz": max(step - 2, 0) for step in range(0, 13, 2)}


def test_the_error_of_writing_is_a_note_where_training_ends_with_another(digits, disk, capsys):
    disk.full_at = "state-0.npz"
    settings = digits("train.optimizer={name: sgd, learning_rate: 1.0e+20}", "train.epochs=1")
    with pytest.raises(DivergenceError) as caught:
        train.train(settings, Path("run"))
    assert "the disk is full" in caught.value.__notes__[0]


def test_what_a_background_thread_raises_is_raised_once_where_it_is_joined():
    thread = BackgroundThread()
    thread.start(lambda: time.sleep(0.05))
    thread.start(lambda: [].pop())  # waits for the first
    assert thread.max_seconds >= 0.05
    with pytest.raises(IndexError):
        thread.start(lambda: None)
    thread.join()


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
