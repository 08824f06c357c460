"""A preparation that fails, is interrupted or killed, or runs beside others leaves one whole store,
or what the next one goes on from.
"""

import dataclasses
import errno
import multiprocessing
import os
import signal

import numpy
import pytest
from experiments import stored_pixels
from toy_store import IMAGES, names, save, source, split

from imgcls.errors import UserError
from imgcls.store import shards


def failing(error, place=1):
    """A source whose image at a place raises an error."""

    def read(number):
        if number == place:
            raise error
        return IMAGES[number]

    return dataclasses.replace(source(), read=read)


def test_an_error_in_the_middle_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError, match="broken part"):
        save(tmp_path, failing(RuntimeError("broken part")))
    assert names(tmp_path) == []


def test_a_full_disk_is_reported_in_one_sentence(tmp_path):
    with pytest.raises(UserError, match="the disk is full"):
        save(tmp_path, failing(OSError(errno.ENOSPC, "No space left on device")))
    assert names(tmp_path) == []


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(shards, "SHARD_SIZE", 2)


@pytest.mark.parametrize("place", range(7))
def test_an_interrupted_preparation_continues_after_its_last_shard(
    tmp_path, small_blocks, capsys, place
):
    with pytest.raises(KeyboardInterrupt):
        save(tmp_path / "one", failing(KeyboardInterrupt(), place))
    read = []
    counting = dataclasses.replace(
        source(), read=lambda number: read.append(number) or IMAGES[number]
    )
    continued, reused = save(tmp_path / "one", counting)
    assert read == list(range(place // 2 * 2, 7))
    assert ("continuing after" in capsys.readouterr().err) == (place >= 2)
    assert not reused
    whole, _ = save(tmp_path / "whole")
    assert continued.fingerprint == whole.fingerprint
    assert names(tmp_path / "one") == [".lock", continued.folder.name]
    continued.verify(max_bytes=None)
    assert continued.manifest.bad_images == whole.manifest.bad_images


def test_data_after_the_last_complete_shard_is_truncated(tmp_path, small_blocks):
    with pytest.raises(KeyboardInterrupt):
        save(tmp_path, failing(KeyboardInterrupt(), 5))
    (images,) = tmp_path.glob(".draft-*/images.u8")
    with images.open("ab") as stream:
        stream.write(b"half of a block")
    numpy.testing.assert_array_equal(stored_pixels(save(tmp_path)[0]), IMAGES)


def test_a_draft_of_another_state_of_the_data_is_removed(tmp_path, small_blocks):
    with pytest.raises(KeyboardInterrupt):
        save(tmp_path, failing(KeyboardInterrupt(), 5))
    opened, _ = save(tmp_path, source(labels=(1, 0, 0, 1, 1, 1, 1)))
    assert names(tmp_path) == [".lock", opened.folder.name]


def _save_when_told(parent, barrier, results):
    barrier.wait()
    opened, reused = save(parent)
    opened.verify()
    opened.save_split(split())
    results.put((opened.folder.name, reused))


def test_concurrent_preparations_make_one_store(tmp_path):
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(4), context.Queue()
    processes = [
        context.Process(target=_save_when_told, args=(tmp_path, barrier, results)) for _ in range(4)
    ]
    for process in processes:
        process.start()
    found = [results.get(timeout=30) for _ in processes]
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    assert len({name for name, _ in found}) == 1
    assert sorted(reused for _, reused in found) == [False, True, True, True]
    assert names(tmp_path) == [".lock", found[0][0]]


def _die_while_reading(parent, place, content):
    def read(number):
        if number == place:
            os.kill(os.getpid(), signal.SIGKILL)
        return content.read(number)

    save(parent, dataclasses.replace(content, read=read))


def _read_slowly(parent, content, reading, go_on):
    def read(number):
        reading.set()
        go_on.wait(30)
        return content.read(number)

    save(parent, dataclasses.replace(content, read=read))


def killed(parent, place, content):
    process = multiprocessing.get_context("fork").Process(
        target=_die_while_reading, args=(parent, place, content)
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def test_a_killed_preparation_continues_after_its_last_shard(tmp_path, small_blocks):
    killed(tmp_path, 5, source())
    read = []
    opened, reused = save(
        tmp_path,
        dataclasses.replace(source(), read=lambda number: read.append(number) or IMAGES[number]),
    )
    assert read == [4, 5, 6]
    assert not reused
    opened.verify(max_bytes=None)
    numpy.testing.assert_array_equal(stored_pixels(opened), IMAGES)


def test_drafts_of_killed_processes_are_removed_and_those_of_running_ones_are_not(
    tmp_path, small_blocks
):
    context = multiprocessing.get_context("fork")
    reading, go_on = context.Event(), context.Event()
    killed(tmp_path, 5, source(labels=(1, 0, 0, 1, 1, 1, 1)))
    (dead,) = tmp_path.glob(".draft-*")
    living = context.Process(
        target=_read_slowly, args=(tmp_path, source(labels=(1, 1, 0, 0, 0, 0, 1)), reading, go_on)
    )
    living.start()
    assert reading.wait(30)
    assert not dead.exists()
    (alive,) = tmp_path.glob(".draft-*")
    save(tmp_path)
    assert alive.exists()
    go_on.set()
    living.join()
    assert living.exitcode == 0
    assert not list(tmp_path.glob(".draft-*"))
    assert len(list(tmp_path.glob("toy-*"))) == 2
