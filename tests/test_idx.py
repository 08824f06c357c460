"""IDX files in MNIST's layout: read whole, or an error that names the file."""

import gzip
import struct

import numpy
import pytest
from experiments import experiment

from imgcls.datasets import _idx, fashion_mnist, mnist
from imgcls.errors import DataError
from imgcls.store import lookup

IMAGES = numpy.random.default_rng(0).integers(0, 256, (30, 5, 4), dtype=numpy.uint8)
LABELS = numpy.arange(30, dtype=numpy.uint8) % 10


def idx_bytes(array):
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_set(folder, test_images=IMAGES[:20], test_labels=LABELS[:20]):
    folder.mkdir(exist_ok=True)
    (folder / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx_bytes(IMAGES), mtime=0))
    (folder / "train-labels-idx1-ubyte").write_bytes(idx_bytes(LABELS))
    (folder / "t10k-images-idx3-ubyte.gz").write_bytes(
        gzip.compress(idx_bytes(test_images), mtime=0)
    )
    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(
        gzip.compress(idx_bytes(test_labels), mtime=0)
    )
    return folder


def prepare(folder):
    return mnist.prepare(mnist.Settings(name="mnist", path=str(folder)))


def test_plain_and_gzipped_files_are_read_in_order(tmp_path, capsys):
    source = prepare(write_set(tmp_path / "set"))
    assert (source.classes, source.shape, len(source.entries)) == (
        [str(digit) for digit in range(10)],
        (5, 4, 1),
        50,
    )
    read = [source.read(index)[..., 0] for index in range(50)]
    numpy.testing.assert_array_equal(read, numpy.concatenate([IMAGES, IMAGES[:20]]))
    assert [entry.label for entry in source.entries] == [*LABELS.tolist(), *LABELS[:20].tolist()]
    assert [(entry.id, entry.split) for entry in source.entries[29:31]] == [
        ("train/00029", "train"),
        ("test/00000", "test"),
    ]
    assert capsys.readouterr().err.count("is not the published file of MNIST") == 4


@pytest.mark.parametrize("part", [mnist, fashion_mnist])
def test_each_data_set_has_ten_classes_and_a_hash_for_each_file(part):
    assert len(set(part.ARCHIVE.classes)) == 10
    assert sorted(part.ARCHIVE.sha256) == sorted(
        name for pair in _idx.FILES.values() for name in pair
    )
    assert all(len(digest) == 64 for digest in part.ARCHIVE.sha256.values())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(idx_bytes(LABELS), mtime=0)[:-12], "gzip data is truncated or damaged"),
        (b"\x1f\x8b" + bytes(40), "get the file again"),
        (b"", "not an IDX file of labels: it begins with nothing"),
        (b"<html>", "not an IDX file of labels: it begins with 3c 68 74 6d"),
        (idx_bytes(IMAGES), "not an IDX file of labels"),
        (idx_bytes(LABELS)[:-5], "announces 30 bytes of data, but it holds 25"),
        (idx_bytes(LABELS) + b"x", "too long: its header announces 30 bytes"),
        (
            struct.pack(">BBBBI", 0, 0, 8, 1, 2**32 - 1),
            "truncated: its header announces 4,294,967,295 bytes of data, but it holds 0",
        ),
        (idx_bytes(LABELS[:-1]), "30 images, but"),
        (idx_bytes(LABELS + 1), "holds the label 10; MNIST has the labels 0 to 9"),
    ],
)
def test_an_error_names_the_damaged_file(tmp_path, content, message):
    path = write_set(tmp_path / "set") / "train-labels-idx1-ubyte"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        prepare(path.parent)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_an_error_names_all_missing_files(tmp_path):
    folder = write_set(tmp_path / "set")
    (folder / "train-labels-idx1-ubyte").unlink()
    (folder / "t10k-images-idx3-ubyte.gz").unlink()
    with pytest.raises(DataError, match="lacks train-labels-idx1-ubyte, t10k-images-idx3-ubyte"):
        prepare(folder)


def test_an_error_names_the_missing_folder(tmp_path):
    with pytest.raises(DataError, match="nowhere is not a folder"):
        prepare(tmp_path / "nowhere")


def test_a_file_without_images_is_an_error(tmp_path):
    with pytest.raises(DataError, match="holds no image"):
        prepare(write_set(tmp_path / "set", IMAGES[:0], LABELS[:0]))


def test_splits_of_different_image_size_are_an_error(tmp_path):
    with pytest.raises(DataError, match="differ in size"):
        prepare(write_set(tmp_path / "set", IMAGES[:20, :3]))


def test_offline_changes_neither_the_store_nor_the_split_nor_the_training(tmp_path):
    online, offline = (
        experiment(tmp_path, f"data={{name: mnist, offline: {value}}}")
        for value in ("false", "true")
    )
    assert online.data.get_storage_settings() == offline.data.get_storage_settings()
    assert lookup.compute_split_key(online.data, 0) == lookup.compute_split_key(offline.data, 0)
    assert online.identity() == offline.identity()
