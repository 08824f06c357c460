"""Damaged files that can be rebuilt from others are rebuilt; advice never leads in a circle."""

from email.message import Message
from pathlib import Path

import numpy
import pytest
from damage import ARRAYS, JSON
from experiments import source_of, stored
from test_archives import put, tar_bytes

from imgcls.datasets import BadImage, Entry
from imgcls.errors import DataError
from imgcls.io import archives
from imgcls.io.partial import PartialFile
from imgcls.run import Run
from imgcls.store import shards
from imgcls.verbs import train

FILES = {"folder", "pipe"}
"""What the user must remove, since it is not a file that a new one could replace."""


@pytest.fixture
def finished(digits, workspace):
    """A finished run, and its experiment."""
    settings = digits("train.epochs=3")
    train.train(settings, Path("run"))
    return Run(Path("run")), settings


def remove(path):
    path.unlink()


def drop_last_epoch(path):
    path.write_text("".join(f"{line}\n" for line in path.read_text().splitlines()[:-1]))


@pytest.mark.parametrize(
    "damage", [JSON["not JSON"], JSON["truncated"], JSON["dangling link"], remove, drop_last_epoch]
)
def test_the_log_of_a_finished_run_is_restored_from_its_last_checkpoint(damage, finished, capsys):
    run, settings = finished
    whole, log = run.log_file.read_bytes(), run.log
    damage(run.log_file)
    summary = train.train(settings, Path("run"))
    assert "run/log.jsonl" in (notes := capsys.readouterr().err)
    assert "restored it from the checkpoint of step 18" in notes
    assert summary["epochs"] == 3
    assert [epoch.loss for epoch in run.log] == [epoch.loss for epoch in log]
    assert run.log_file.read_bytes() == whole
    assert train.train(settings, Path("run"))["epochs"] == 3
    assert "restored" not in capsys.readouterr().err


def test_without_a_checkpoint_a_damaged_log_is_an_error_that_says_what_is_lost(finished):
    run, settings = finished
    for path in run.state_files():
        path.unlink()
    run.log_file.write_text("{")
    with pytest.raises(DataError) as caught:
        train.train(settings, Path("run"))
    message = str(caught.value)
    assert (
        "run/log.jsonl is damaged (its last line is truncated), and run/checkpoint has" in message
    )
    assert "the losses and accuracies of its epochs are lost, but not the model" in message
    assert "again" not in message
    assert len(message.splitlines()) == 1


def test_the_log_is_restored_from_the_newest_intact_checkpoint(finished, capsys):
    run, settings = finished
    newest, _ = run.state_files()
    newest.write_bytes(b"")
    run.log_file.unlink()
    assert train.train(settings, Path("run"))["epochs"] == 2
    assert "from the checkpoint of step 12" in capsys.readouterr().err


@pytest.mark.parametrize("damage", {**JSON})
def test_a_damaged_origin_restarts_the_download(damage, tmp_path):
    part, url = PartialFile(tmp_path / "data.gz"), "http://host/data.gz"
    headers = Message()
    headers["ETag"] = '"1"'
    part.restart(url, headers)
    part.path.write_bytes(b"half")
    asked = part.make_range_headers(url, mirrors_are_identical=False)
    assert asked == {"Range": "bytes=4-", "If-Range": '"1"'}
    JSON[damage](tmp_path / ".data.gz.part.json")
    assert part.make_range_headers(url, mirrors_are_identical=False) == {}


@pytest.mark.parametrize(
    "damage", {name: each for name, each in ARRAYS.items() if name not in FILES}
)
def test_a_damaged_index_of_an_archive_is_rebuilt(damage, tmp_path):
    archive = put(tmp_path, tar_bytes({"a": b"first", "b": b"second"}))
    first = archives.load_index(archive, tmp_path)
    path = tmp_path / f"{archive.name}.index.npz"
    whole = path.read_bytes()
    ARRAYS[damage](path)
    again = archives.load_index(archive, tmp_path)
    assert again.names.tolist() == first.names.tolist()
    assert again.starts.tolist() == first.starts.tolist()
    assert path.read_bytes() == whole


IMAGES = numpy.random.default_rng(0).integers(0, 256, (10, 4, 4, 1), dtype=numpy.uint8)


def source(read=None):
    entries = [Entry(f"{number}.png", number % 2) for number in range(len(IMAGES))]
    made = source_of(IMAGES, entries, ["a", "b"], bad=[BadImage(id="\udcff", problem="empty")])
    return made if read is None else type(made)(**{**vars(made), "read": read})


@pytest.fixture
def draft(tmp_path, monkeypatch):
    """The folder of a store whose first three shards of two images are there."""
    monkeypatch.setattr(shards, "SHARD_SIZE", 2)

    def read(number):
        if number == 6:
            raise KeyboardInterrupt
        return IMAGES[number]

    with pytest.raises(KeyboardInterrupt):
        stored(tmp_path, source(read))
    (folder,) = tmp_path.glob(".draft-*")
    return folder


def finish(folder):
    """Finish the store; return it, and which images were read."""
    asked = []
    store = stored(folder.parent, source(lambda number: asked.append(number) or IMAGES[number]))
    return store, asked


@pytest.mark.parametrize(
    "damage", {name: each for name, each in ARRAYS.items() if name not in FILES}
)
def test_images_of_a_damaged_shard_and_those_after_it_are_read_once_more(damage, draft):
    ARRAYS[damage](sorted((draft / "blocks").glob("*.npz"))[1])
    store, asked = finish(draft)
    assert sorted(asked) == list(range(2, 10))
    store.verify(max_bytes=None)
    assert store.fingerprint == stored(draft.parent / "whole", source()).fingerprint


def test_shards_whose_images_are_gone_are_read_once_more(draft):
    (draft / "images.u8").unlink()
    store, asked = finish(draft)
    assert sorted(asked) == list(range(10))
    store.verify(max_bytes=None)
    assert [image.id for image in store.manifest.bad_images] == ["\udcff"]
