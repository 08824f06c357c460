"""NumPy arrays: they are stored as they are, and errors say what is not an image or a label."""

import os

import numpy
import pytest
from experiments import stored_pixels
from pydantic import ValidationError

from imgcls.datasets import arrays
from imgcls.errors import DataError
from imgcls.verbs import prepare

RANDOM = numpy.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (6, 5, 4, 3), numpy.uint8)
LABELS = numpy.array([0, 1, 2, 0, 1, 2])
MEDMNIST = {
    "images": {"train": "train_images", "validation": "val_images", "test": "test_images"},
    "labels": {"train": "train_labels", "validation": "val_labels", "test": "test_labels"},
}
KERAS = {
    "images": {"train": "x_train", "test": "x_test"},
    "labels": {"train": "y_train", "test": "y_test"},
}


def write(folder, kind="npz", **content):
    content = {"images": IMAGES, "labels": LABELS} | content
    if kind == "npz":
        numpy.savez_compressed(folder / "set.npz", **content)
        return folder / "set.npz"
    (folder / "set").mkdir(exist_ok=True)
    for name, array in content.items():
        numpy.save(folder / "set" / f"{name}.npy", array)
    return folder / "set"


def settings(path, **changes):
    return arrays.Settings(
        name="arrays", path=str(path), store_dir=str(path.parent / "stores"), **changes
    )


def store(path, **changes):
    return prepare.find_or_store(settings(path, **changes))[0]


def problem(path, **changes):
    with pytest.raises(DataError) as caught:
        store(path, **changes)
    return str(caught.value)


@pytest.mark.parametrize("kind", ["npz", "npy"])
def test_images_and_labels_are_stored_as_they_are(tmp_path, kind):
    found = store(write(tmp_path, kind))
    assert numpy.array_equal(stored_pixels(found), IMAGES)
    assert found.labels.tolist() == LABELS.tolist()
    assert found.classes == ["0", "1", "2"]
    assert found.get_ids(numpy.arange(2)) == ["images/0000000", "images/0000001"]


def test_an_archive_and_a_folder_of_the_same_arrays_have_one_fingerprint(tmp_path):
    assert store(write(tmp_path, "npz")).fingerprint == store(write(tmp_path, "npy")).fingerprint


def test_a_changed_file_is_stored_again(tmp_path):
    first = store(write(tmp_path, "npy"))
    assert store(write(tmp_path, "npy", images=255 - IMAGES)).fingerprint != first.fingerprint


@pytest.mark.parametrize("shape", [(6, 5, 4), (6, 5, 4, 1), (6, 5, 4, 2), (6, 5, 4, 13)])
def test_any_number_of_channels_is_stored(tmp_path, shape):
    images = RANDOM.integers(0, 256, shape, numpy.uint8)
    assert numpy.array_equal(
        stored_pixels(store(write(tmp_path, images=images))), images.reshape(6, 5, 4, -1)
    )


def test_medmnists_arrays_are_its_splits(tmp_path):
    content = {
        f"{split}_images": IMAGES + 10 * number
        for number, split in enumerate(("train", "val", "test"))
    }
    path = write(
        tmp_path,
        **content,
        **{f"{split}_labels": LABELS[:, None] for split in ("train", "val", "test")},
    )
    found = store(path, **MEDMNIST, classes=["nevus", "melanoma", "keratosis"])
    assert found.classes == ["nevus", "melanoma", "keratosis"]
    assert found.source_splits.tolist() == [0] * 6 + [1] * 6 + [2] * 6
    assert numpy.array_equal(
        stored_pixels(found), numpy.concatenate([IMAGES, IMAGES + 10, IMAGES + 20])
    )
    assert found.labels.tolist() == LABELS.tolist() * 3
    assert found.get_ids(numpy.array([7])) == ["val_images/0000001"]


def test_keras_arrays_are_its_splits_and_their_classes_are_the_union(tmp_path):
    path = write(
        tmp_path, x_train=IMAGES, y_train=LABELS, x_test=IMAGES[:1], y_test=numpy.array([7], "u1")
    )
    found = store(path, **KERAS)
    assert found.classes == ["0", "1", "2", "7"]
    assert found.labels.tolist() == [*LABELS.tolist(), 3]


@pytest.mark.parametrize("dtype", ["U", "S"])
def test_text_labels_are_the_classes_sorted_by_their_bytes_or_in_the_order_of_classes(
    tmp_path, dtype
):
    labels = numpy.array(["dog", "Emu", "cat"] * 2, dtype)
    assert store(write(tmp_path, labels=labels)).classes == ["Emu", "cat", "dog"]
    found = store(
        write(tmp_path, labels=labels, names=numpy.array(["dog", "cat", "Emu", "yak"], dtype)),
        classes="names",
    )
    assert found.classes == ["dog", "cat", "Emu", "yak"]
    assert found.labels.tolist() == [0, 2, 1] * 2


def test_splits_groups_and_weights_are_read_from_arrays(tmp_path):
    splits = numpy.array(["train", "train", "train", "validation", "test", "test"])
    path = write(
        tmp_path,
        splits=splits,
        patients=numpy.array([4, 4, 5, 6, 7, 7]),
        weights=numpy.arange(6) / 2,
    )
    found = store(path, own_splits="splits", groups="patients", weights="weights")
    assert found.source_splits.tolist() == [0, 0, 0, 1, 2, 2]
    assert found.groups.tolist() == [b"4", b"4", b"5", b"6", b"7", b"7"]
    assert found.weights.tolist() == [0, 0.5, 1, 1.5, 2, 2.5]


@pytest.mark.parametrize(
    ("dtype", "bounds"),
    [("f4", [0, 1]), ("f8", [-1, 1]), ("u2", [0, 65535]), ("i4", [-500, 1500]), ("f2", [0, 1])],
)
def test_other_numbers_are_scaled_by_their_range_to_the_nearest_byte(tmp_path, dtype, bounds):
    low, high = bounds
    images = (low + (high - low) * RANDOM.random((6, 5, 4, 1))).astype(dtype)
    images[0, 0, :2, 0] = low, high
    expected = numpy.rint((images.astype(float) - low) * 255 / (high - low))
    stored = stored_pixels(store(write(tmp_path, images=images), range=[float(low), float(high)]))
    assert numpy.array_equal(stored, expected)
    assert stored[0, 0, :2, 0].tolist() == [0, 255]


@pytest.mark.parametrize("value", [numpy.nan, numpy.inf, -numpy.inf, 1.01, -0.01])
def test_an_error_names_the_index_of_a_value_that_is_not_in_the_range(tmp_path, value):
    images = numpy.zeros((6, 5, 4, 3), numpy.float32)
    images[3, 2, 1, 0] = images[4, 0, 0, 0] = value
    message = problem(write(tmp_path, images=images), range=[0.0, 1.0])
    assert message.startswith(
        f"images[3]: the value at (2, 1, 0) is {images[3, 2, 1, 0]}; 1 of its values are outside"
        " data.range, 0 to 1"
    )


@pytest.mark.parametrize(
    ("content", "changes", "message"),
    [
        ({"images": IMAGES[0, 0]}, {}, "has the shape (4, 3); images are (n, height, width)"),
        ({"images": IMAGES[:, :0]}, {}, "has the shape (6, 0, 4, 3)"),
        ({"images": IMAGES / 255}, {}, "holds float64; set data.range to the values of black"),
        (
            {"images": IMAGES.astype("c8")},
            {"range": [0.0, 1.0]},
            "holds complex64; images are uint8",
        ),
        ({"labels": LABELS[:5]}, {}, "holds 6 images, but there are 5 labels for them"),
        (
            {"labels": LABELS.reshape(3, 2)},
            {},
            "the array 'labels' has the shape (3, 2); it must hold one value per image",
        ),
        ({"labels": numpy.int64(3)}, {}, "the array 'labels' has the shape ()"),
        ({"labels": LABELS / 2}, {}, "holds float64; it must hold integers or text"),
        (
            {"labels": LABELS - 1},
            {},
            "the array 'labels' holds -1 at index 0; labels are at least 0",
        ),
        ({"labels": LABELS * 0}, {}, "the classes are '0'; a classifier needs at least two"),
        (
            {"labels": numpy.array(["a", "b ", "c"] * 2)},
            {},
            "class names must be printable text without spaces at the ends; got 'b '",
        ),
        (
            {"labels": numpy.array([b"a", b"\xff", b"c"] * 2)},
            {},
            "holds text that is not UTF-8: b'\\xff'",
        ),
        (
            {},
            {"classes": ["a", "b"]},
            "the array 'labels' holds 2 at index 2, which is not one of the 2 classes",
        ),
        ({}, {"classes": ["a", "b", "a"]}, "a classifier needs at least two, with different names"),
        ({}, {"images": "x"}, "set.npz has no array 'x'; it has images, labels"),
        (
            {"s": numpy.array(["train", "val"] * 3)},
            {"own_splits": "s"},
            "the array 's' holds 'val' at index 1; splits are train, validation, test",
        ),
        (
            {"w": numpy.array([1, numpy.nan] * 3)},
            {"weights": "w"},
            "the array 'w' holds nan at index 1; weights are finite",
        ),
        (
            {"w": numpy.array([1, 1e300] * 3)},
            {"weights": "w"},
            "the array 'w' holds 1e+300 at index 1; weights are finite",
        ),
    ],
)
def test_an_error_says_what_is_wrong_with_an_array(tmp_path, content, changes, message):
    assert message in problem(write(tmp_path, **content), **changes)


def test_splits_of_different_shape_and_mixed_labels_are_errors(tmp_path):
    path = write(
        tmp_path, x_train=IMAGES, y_train=LABELS, x_test=IMAGES[:, 1:], y_test=LABELS.astype(str)
    )
    assert "the images of x_train, x_test have different shapes: (4, 4, 3), (5, 4, 3)" in problem(
        path, **KERAS
    )
    path = write(tmp_path, x_train=IMAGES, y_train=LABELS, x_test=IMAGES, y_test=LABELS.astype(str))
    assert "the arrays y_train, y_test mix text and numbers" in problem(path, **KERAS)


def test_a_note_says_if_the_channels_seem_to_come_first(tmp_path, capsys):
    store(write(tmp_path, images=IMAGES.transpose(0, 3, 1, 2).repeat(2, axis=3)))
    assert (
        "images of 3x5 with 8 channels: if the channels come first, transpose the array"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    "changes",
    [
        KERAS | {"labels": "labels"},
        KERAS | {"labels": {"train": "y_train"}},
        KERAS | {"own_splits": "splits"},
        KERAS | {"images": {"train": "x", "test": "x"}},
        {"images": {"test": "x"}, "labels": {"test": "y"}},
        {"range": [1.0, 0.0]},
        {"range": [1.0]},
        {"range": [0.0, float("nan")]},
    ],
)
def test_settings_that_contradict_each_other_are_errors(changes):
    with pytest.raises(ValidationError):
        arrays.Settings(name="arrays", path="x", **changes)
    assert changes.keys() <= arrays.Settings.model_fields.keys()


@pytest.mark.parametrize("kind", ["npz", "npy"])
def test_images_in_fortran_order_and_of_another_byte_order_are_the_same(tmp_path, kind):
    images = numpy.asfortranarray(IMAGES)
    assert numpy.array_equal(stored_pixels(store(write(tmp_path, kind, images=images))), IMAGES)
    path = write(tmp_path, kind, images=IMAGES.astype(">f4"))
    assert numpy.array_equal(stored_pixels(store(path, range=[0.0, 255.0])), IMAGES)


def test_a_file_truncated_while_it_is_read_is_an_error(tmp_path):
    path = write(tmp_path, "npy")
    source = arrays.prepare(settings(path))
    os.truncate(path / "images.npy", 200)
    with pytest.raises(DataError, match=r"images.npy is damaged \(it ends before byte [\d,]+\);"):
        source.read(len(IMAGES) - 1)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("npz", "Object arrays cannot be loaded"),
        ("npy", "Array can't be memory-mapped: Python objects"),
    ],
)
def test_pickled_objects_are_never_loaded(tmp_path, kind, reason):
    labels = numpy.array([{"a": 1}] * 6)
    assert f"the array 'labels' cannot be read: {reason}" in problem(
        write(tmp_path, kind, labels=labels)
    )


def test_a_missing_file_and_another_format_are_errors(tmp_path):
    assert "set.npz: No such file or directory" in problem(tmp_path / "set.npz")
    assert "is neither a folder of .npy files nor an .npz archive" in problem(tmp_path / "set.mat")
    (tmp_path / "set.npz").write_text("not an archive")
    assert "set.npz is not an .npz archive, or damaged" in problem(tmp_path / "set.npz")
