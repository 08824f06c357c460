"""A store holds what was written, and tells when it was changed."""

import re
import shutil
import tracemalloc

import numpy
import pytest
from experiments import change_json, source_of, stored_pixels
from toy_store import IDS, IMAGES, names, save, source, split

from imgcls.datasets import BadImage, Entry, Source
from imgcls.errors import DataError, UserError
from imgcls.image.decode import Geometry
from imgcls.io import terminal
from imgcls.store import lookup, store


def test_a_store_round_trips(tmp_path):
    written, reused = save(tmp_path)
    opened = store.open_store(written.folder)
    opened.verify()
    assert not reused
    assert (opened.dataset, opened.classes, opened.shape) == ("toy", ["a", "b"], (4, 3, 2))
    numpy.testing.assert_array_equal(stored_pixels(opened), IMAGES)
    assert (stored_pixels(opened).dtype, opened.labels.dtype) == (numpy.uint8, numpy.int32)
    assert opened.labels.tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert opened.get_ids(numpy.arange(7)) == IDS
    assert opened.manifest.bad_images == [BadImage(id="a/bad.png", problem="empty")]
    assert opened.manifest.class_counts == {
        "train": [3, 3],
        "validation": [0, 0],
        "test": [0, 1],
    }


def test_the_folder_contains_only_the_store(tmp_path):
    folder = save(tmp_path)[0].folder
    assert names(tmp_path) == [".lock", folder.name]
    assert names(folder) == [
        "ids.npy",
        "image_statistics.npy",
        "images.u8",
        "labels.npy",
        "manifest.json",
        "source_splits.npy",
    ]


def test_the_fingerprint_depends_only_on_the_content(tmp_path):
    assert save(tmp_path / "here")[0].fingerprint == save(tmp_path / "there")[0].fingerprint


@pytest.mark.parametrize(
    "change",
    [
        {"images": IMAGES ^ numpy.uint8(1)},
        {"images": IMAGES.reshape(7, 3, 4, 2)},
        {"classes": ("a", "c")},
        {"labels": (0, 0, 1, 1, 1, 1, 1)},
        {"ids": [*IDS[:-1], "b/7"]},
        {"splits": ("train",) * 5 + ("test",) * 2},
    ],
    ids=lambda change: next(iter(change)),
)
def test_any_change_of_the_content_changes_the_fingerprint(tmp_path, change):
    assert save(tmp_path)[0].fingerprint != save(tmp_path, source(**change))[0].fingerprint


def test_the_fingerprint_of_given_content_never_changes(tmp_path):
    """Written down once: other machines and later versions must give the same."""
    assert (
        save(tmp_path)[0].fingerprint
        == "6c14c43f270e303d304dfc7c75f578b0c1bcb79d0124e2621a3f6d3197dad2b5"
    )


def test_the_same_content_is_used_again_with_its_splits(tmp_path, capsys):
    first, _ = save(tmp_path)
    first.save_split(split())
    second, reused = save(tmp_path)
    assert reused
    assert "already contains this data" in capsys.readouterr().err
    assert second.read_split("k" * 16).train.tolist() == [0, 3]
    assert second.manifest.prepared > first.manifest.prepared


def test_a_damaged_store_is_replaced_with_a_note(tmp_path, capsys):
    folder = save(tmp_path)[0].folder
    (folder / "labels.npy").write_bytes(b"damaged")
    again, reused = save(tmp_path)
    again.verify()
    assert not reused
    assert "replacing a damaged store" in capsys.readouterr().err
    assert names(tmp_path) == [".lock", folder.name]


@pytest.mark.parametrize(
    "name", ["images.u8", "labels.npy", "ids.npy", "source_splits.npy", "image_statistics.npy"]
)
def test_a_changed_byte_is_noticed(tmp_path, name):
    folder = save(tmp_path)[0].folder
    content = bytearray((folder / name).read_bytes())
    content[-1] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(
        DataError, match=rf"the SHA-256 of .*{name} has changed.*run `imgcls prepare` again"
    ):
        store.open_store(folder).verify()


def test_a_shorter_or_missing_file_is_noticed(tmp_path):
    folder = save(tmp_path)[0].folder
    with (folder / "images.u8").open("rb+") as stream:
        stream.truncate(100)
    with pytest.raises(DataError, match=r"images.u8 has 100 bytes instead of 168"):
        store.open_store(folder).verify()
    (folder / "images.u8").unlink()
    with pytest.raises(DataError, match=r"images.u8 has 0 bytes"):
        store.open_store(folder).verify()


def test_a_changed_class_name_is_noticed(tmp_path):
    folder = save(tmp_path)[0].folder
    change_json(folder / "manifest.json", classes=["a", "z"])
    with pytest.raises(DataError, match="does not match its fingerprint"):
        store.open_store(folder).verify()


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"format": 0}', "\x00"])
def test_a_broken_manifest_says_what_to_delete(tmp_path, content):
    folder = save(tmp_path)[0].folder
    (folder / "manifest.json").write_text(content)
    with pytest.raises(DataError, match=f"delete the folder {folder}"):
        store.open_store(folder)


def test_a_split_round_trips(tmp_path):
    opened, _ = save(tmp_path)
    opened.save_split(split())
    read = opened.read_split("k" * 16)
    for name in ("train", "validation", "test", "mean", "std", "assignments", "folds"):
        numpy.testing.assert_array_equal(getattr(read, name), getattr(split(), name))
    assert opened.describe(read).class_counts == {
        "train": [1, 1],
        "validation": [1, 1],
        "test": [1, 1],
    }


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:50],
        lambda data: data[:-30],
        lambda data: b"",
        lambda data: data[:200] + b"x" + data[201:],
    ],
)
def test_a_damaged_split_is_noticed(tmp_path, damage):
    opened, _ = save(tmp_path)
    opened.save_split(split())
    path = opened.get_split_file("k" * 16)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=r"is damaged \(.*\); run `imgcls prepare` again"):
        opened.read_split("k" * 16)


@pytest.mark.parametrize("name", ["train", "std", "assignments", "folds", "resize", "dropped"])
def test_an_array_that_another_program_changes_or_adds_is_noticed(tmp_path, name):
    opened, _ = save(tmp_path)
    opened.save_split(split())
    path = opened.get_split_file("k" * 16)
    with numpy.load(path) as archive:
        arrays = dict(archive)
    changed = {"resize": numpy.array("crop"), "dropped": numpy.array([6])}
    arrays[name] = changed[name] if name in changed else arrays[name][::-1]
    if name == "train":
        arrays[name] = numpy.array([0, 2])
    numpy.savez(path, **arrays)
    with pytest.raises(DataError, match=r"is damaged \(sha256 is not that of the other arrays\)"):
        opened.read_split("k" * 16)


def test_the_store_of_a_run_is_found_by_its_fingerprint_in_any_folder(tmp_path):
    opened, _ = save(tmp_path / "here")
    opened.save_split(split())
    data = opened.describe(split())
    shutil.move(tmp_path / "here", tmp_path / "there")
    found, found_split = lookup.open_run_store(data, str(tmp_path / "there"))
    assert (found.fingerprint, found_split.key) == (opened.fingerprint, "k" * 16)
    with pytest.raises(
        DataError, match=r"does not exist; run `imgcls prepare` on the run's config.yaml"
    ):
        lookup.open_run_store(data, str(tmp_path / "here"))
    with pytest.raises(DataError, match="but the run used"):
        lookup.open_run_store(
            data.model_copy(update={"fingerprint": data.fingerprint[:12] + "0" * 52}),
            str(tmp_path / "there"),
        )


def test_a_source_without_usable_images_is_an_error(tmp_path):
    with pytest.raises(DataError, match="toy has no usable image; 1 cannot be used"):
        save(tmp_path, source_of(IMAGES, [], ["a", "b"], bad=[BadImage(id="a", problem="empty")]))
    assert names(tmp_path) == []


def test_a_store_folder_that_is_a_file_is_an_error(tmp_path):
    (tmp_path / "data").touch()
    with pytest.raises(UserError, match=r"cannot write .*data: File exists"):
        save(tmp_path / "data")


def test_pixels_are_memory_mapped_and_batches_are_copies(tmp_path):
    opened, _ = save(tmp_path)
    reader = opened.open_reader(Geometry(opened.shape, "stretch"))
    reader.read(numpy.array([0]))[:] = 0
    numpy.testing.assert_array_equal(stored_pixels(opened), IMAGES)
    opened.verify(max_bytes=None)
    with (opened.folder / "images.u8").open("r+b") as stream:
        stream.write(b"\7" * IMAGES[0].size)
    assert (reader.read(numpy.array([0])) == 7).all()


@pytest.mark.parametrize("side", [8, pytest.param(512, marks=pytest.mark.full)])
def test_memory_of_writing_does_not_grow_with_the_number_of_images(tmp_path, side):
    shape = (side, side, 3)
    content = Source(
        ["a", "b"],
        [Entry(str(i), i % 2) for i in range(300)],
        lambda i: numpy.full(shape, i % 256, numpy.uint8),
        "1",
        shape=shape,
    )
    tracemalloc.start()
    save(tmp_path, content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 32 << 20  # 300 images of 512x512 have 225 MiB


def test_preparing_shows_a_bar_with_counts_on_a_terminal_and_nothing_in_a_log(
    tmp_path, capsys, monkeypatch
):
    save(tmp_path / "log")
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(terminal, "is_terminal", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    save(tmp_path / "terminal")
    assert re.search(r"preparing.*7/7", capsys.readouterr().err)
