"""CIFAR's binary version, in small archives of the official format."""

import dataclasses
import hashlib
import tarfile

import numpy
import pytest
from test_archives import tar_bytes

from imgcls.datasets import cifar10, cifar100
from imgcls.errors import DataError

RANDOM = numpy.random.default_rng(0)
PHOTOS = RANDOM.integers(0, 256, (30, 32, 32, 3), dtype=numpy.uint8)
NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def record(photo, *labels):
    """Return a record as the page of the format says: labels, red, green, blue, each row by row."""
    return bytes(labels) + b"".join(photo[..., channel].tobytes() for channel in range(3))


def cifar10_files():
    batches = {
        f"data_batch_{number + 1}.bin": b"".join(
            record(PHOTOS[number * 5 + i], (number + i) % 10) for i in range(5)
        )
        for number in range(5)
    }
    test = b"".join(record(PHOTOS[25 + i], i) for i in range(5))
    return batches | {
        "test_batch.bin": test,
        "batches.meta.txt": "\n".join([*NAMES, "", ""]).encode(),
        "readme.html": b"<html>",
    }


def cifar100_files():
    return {
        "train.bin": b"".join(record(PHOTOS[i], i % 20, i + 60) for i in range(25)),
        "test.bin": b"".join(record(PHOTOS[25 + i], i, i + 95) for i in range(5)),
        "fine_label_names.txt": "".join(f"fine_{i}\n" for i in range(100)).encode(),
        "coarse_label_names.txt": "".join(f"coarse_{i}\n" for i in range(20)).encode(),
    }


SETS = {
    "cifar10": (cifar10, "cifar-10-binary.tar.gz", "cifar-10-batches-bin", cifar10_files()),
    "cifar100": (cifar100, "cifar-100-binary.tar.gz", "cifar-100-binary", cifar100_files()),
}


def write(folder, name, layout, **changes):
    """Write a data set as it is published, or extracted.

    Args:
        changes: other contents of files, None for a missing one.
    """
    _, archive, inner, content = SETS[name]
    content = {key: data for key, data in (content | changes).items() if data is not None}
    folder.mkdir(exist_ok=True)
    if layout == "archive":
        (folder / archive).write_bytes(
            tar_bytes({f"{inner}/{key}": data for key, data in content.items()}, "w:gz")
        )
        return folder
    (folder / inner).mkdir()
    for key, data in content.items():
        (folder / inner / key).write_bytes(data)
    return folder if layout == "extracted" else folder / inner


def prepare(name, path, **settings):
    part = SETS[name][0]
    return part.prepare(part.Settings(name=name, path=str(path), **settings))


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("layout", ["archive", "extracted", "inner"])
def test_photos_are_read_in_order_from_every_layout(tmp_path, name, layout):
    source = prepare(name, write(tmp_path / "set", name, layout))
    assert (source.shape, len(source.entries)) == ((32, 32, 3), 30)
    numpy.testing.assert_array_equal([source.read(index) for index in range(30)], PHOTOS)
    assert [(entry.id, entry.split) for entry in source.entries[24:26]] == [
        ("train/00024", "train"),
        ("test/00000", "test"),
    ]


def test_an_archive_and_its_extracted_files_have_the_same_version(tmp_path):
    assert (
        prepare("cifar10", write(tmp_path / "one", "cifar10", "archive")).version
        == prepare("cifar10", write(tmp_path / "two", "cifar10", "extracted")).version
    )


def test_the_class_names_and_labels_of_cifar10_come_from_the_archive(tmp_path, capsys):
    source = prepare("cifar10", write(tmp_path / "set", "cifar10", "archive"))
    assert source.classes == NAMES
    assert [entry.label for entry in source.entries] == [
        (number + i) % 10 for number in range(5) for i in range(5)
    ] + list(range(5))
    error = capsys.readouterr().err
    assert "is not the published archive of CIFAR-10" in error
    assert "25 train and 5 test images are not all of CIFAR-10" in error


def test_cifar100_has_fine_and_coarse_labels(tmp_path):
    folder = write(tmp_path / "set", "cifar100", "archive")
    fine, coarse = (prepare("cifar100", folder, labels=labels) for labels in ("fine", "coarse"))
    assert ([entry.label for entry in fine.entries[:3]], fine.classes[-1], len(fine.classes)) == (
        [60, 61, 62],
        "fine_99",
        100,
    )
    assert (
        [entry.label for entry in coarse.entries[19:22]],
        coarse.classes[-1],
        len(coarse.classes),
    ) == ([19, 0, 1], "coarse_19", 20)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"data_batch_3.bin": cifar10_files()["data_batch_3.bin"][:-1]},
            "data_batch_3.bin of CIFAR-10 has 15,364 bytes",
        ),
        ({"test_batch.bin": b""}, "test_batch.bin of CIFAR-10 has 0 bytes"),
        (
            {"test_batch.bin": record(PHOTOS[0], 10)},
            "test_batch.bin of CIFAR-10 holds the label 10; labels are 0 to 9",
        ),
        ({"data_batch_5.bin": None}, "data_batch_5.bin"),
        ({"batches.meta.txt": b"one\ntwo\n"}, "holds 2 class names, not 10"),
        ({"batches.meta.txt": b"\xff"}, "holds 0 class names, not 10"),
        ({"batches.meta.txt": b"cat\n" * 10}, "lists a class twice"),
    ],
)
@pytest.mark.parametrize("layout", ["archive", "extracted"])
def test_an_error_names_the_damaged_file(tmp_path, changes, message, layout):
    with pytest.raises(DataError) as caught:
        prepare("cifar10", write(tmp_path / "set", "cifar10", layout, **changes))
    assert message in str(caught.value)


def test_a_link_in_the_archive_is_an_error(tmp_path):
    member = tarfile.TarInfo("cifar-10-batches-bin/test_batch.bin")
    member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
    content = {
        f"cifar-10-batches-bin/{key}": data
        for key, data in cifar10_files().items()
        if key != "test_batch.bin"
    }
    (tmp_path / "cifar-10-binary.tar.gz").write_bytes(tar_bytes(content, "w:gz", members=[member]))
    with pytest.raises(DataError, match=r"test_batch.bin is not a regular file"):
        prepare("cifar10", tmp_path)


@pytest.mark.parametrize("name", SETS)
def test_an_empty_folder_is_an_error_that_says_where_to_get_the_archive(tmp_path, name):
    _, archive, inner, _ = SETS[name]
    with pytest.raises(DataError) as caught:
        prepare(name, tmp_path)
    assert f"https://www.cs.toronto.edu/~kriz/{archive}" in str(caught.value)
    assert inner in str(caught.value)


@pytest.mark.parametrize("name", SETS)
def test_offline_is_an_error_that_says_where_to_put_the_archive(tmp_path, name):
    part, archive, _, _ = SETS[name]
    with pytest.raises(DataError, match=f"downloads/{name}/{archive} is missing"):
        part.prepare(part.Settings(name=name, store_dir=str(tmp_path), offline=True))


def test_a_downloaded_archive_is_read(tmp_path, monkeypatch):
    """No network: a file in the place of a download is used if it has the right digest."""
    (tmp_path / "downloads").mkdir()
    folder = write(tmp_path / "downloads" / "cifar10", "cifar10", "archive")
    digest = hashlib.sha256((folder / "cifar-10-binary.tar.gz").read_bytes()).hexdigest()
    remote = dataclasses.replace(cifar10.ARCHIVE.remote, sha256=digest)
    monkeypatch.setattr(cifar10, "ARCHIVE", dataclasses.replace(cifar10.ARCHIVE, remote=remote))
    source = cifar10.prepare(
        cifar10.Settings(name="cifar10", store_dir=str(tmp_path), offline=True)
    )
    numpy.testing.assert_array_equal(source.read(29), PHOTOS[29])
