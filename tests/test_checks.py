"""Each check finds what it is for, and nothing in good data."""

import numpy
import pytest
from experiments import source_of, stored
from PIL import Image
from sklearn.datasets import load_sample_images

from imgcls import parts
from imgcls.checks import EXAMPLES, AuditedData, color_drift
from imgcls.datasets import DataSettings, Entry, folder
from imgcls.split import assign
from imgcls.verbs import prepare

CLASSES = ["cat", "dog", "eel"]


def find(name, audited, **settings):
    """Return the message and count of each finding of a check."""
    module = parts.load("checks", name)
    return [
        (found.message, found.count)
        for found in module.find(module.Settings(name=name, **settings), audited)
    ]


def audit_pixels(path, images, labels, splits):
    """Store images of one shape, and return them as audited data."""
    entries = [
        Entry(f"{split}/{i}", label, split)
        for i, (label, split) in enumerate(zip(labels, splits, strict=True))
    ]
    store = stored(path, source_of(images, entries, CLASSES[: max(labels) + 1]))
    return AuditedData(
        store, assign.assign_splits(store, DataSettings(name="toy", validation=0), 0)
    )


def audit_counts(path, train, test):
    """Store noise, with these numbers of images of each class."""
    labels = [
        label
        for counts in (train, test)
        for label, count in enumerate(counts)
        for _ in range(count)
    ]
    images = numpy.random.default_rng(0).integers(0, 256, (len(labels), 4, 4, 1), dtype=numpy.uint8)
    return audit_pixels(path, images, labels, ["train"] * sum(train) + ["test"] * sum(test))


@pytest.fixture
def photos(tmp_path):
    """A folder of eight plain photos in two classes, four for training; `audited` stores it."""
    root = tmp_path / "photos"
    random = numpy.random.default_rng(0)

    def put(name, mode="RGB", size=(20, 16)):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (*size[::-1], 3), dtype=numpy.uint8)).convert(
            mode
        ).save(path)
        return path

    def audited():
        data = folder.Settings(
            name="folder",
            path=str(root),
            store_dir=str(tmp_path / "data"),
            on_bad_image="skip",
            validation=0,
        )
        store, _ = prepare.find_or_store(data)
        return AuditedData(store, assign.assign_splits(store, data, 0))

    put.audited = audited
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            for number in range(2):
                put(f"{split}/{name}/{number}.png")
    return put


def test_nothing_but_small_classes_is_found_in_plain_photos(photos):
    audited = photos.audited()
    assert [name for name in parts.list_names("checks") if find(name, audited)] == ["small_classes"]


def test_unreadable_files_are_found_by_kind(photos):
    for number in range(2):
        photos(f"train/cat/empty{number}.png").write_bytes(b"")
    truncated = photos("train/cat/truncated.jpg", size=(200, 160))
    truncated.write_bytes(truncated.read_bytes()[:-2000])
    photos("train/cat/text.png").write_text("not an image")
    assert find("unreadable", photos.audited()) == [
        ("1 image left out: damaged", 1),
        ("2 images left out: empty file", 2),
        ("1 image left out: truncated", 1),
    ]


def test_animated_images_are_found(photos):
    frames = [Image.new("RGB", (20, 16), color) for color in ("red", "blue")]
    frames[0].save(photos("train/cat/moves.gif"), save_all=True, append_images=frames[1:])
    assert find("animated", photos.audited()) == [
        ("1 animated image of which the first frame is used", 1)
    ]


def test_extreme_shapes_are_long_tiny_or_huge(photos):
    photos("train/cat/four.png", size=(80, 20))
    photos("train/cat/long.png", size=(81, 20))
    photos("train/cat/tall.png", size=(20, 81))
    photos("train/cat/tiny.png", size=(8, 7))
    assert find("extreme_shapes", photos.audited(), megapixels=0.0016) == [
        ("2 images more than 4 times as long as wide", 2),
        ("1 tiny image with a side of fewer than 8 pixels", 1),
        ("2 huge images of more than 0.0016 megapixels", 2),
    ]


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("L", "1 image in grayscale among color ones"),
        ("RGBA", "1 image with transparency among opaque ones"),
    ],
)
def test_images_of_another_format_are_found(photos, mode, message):
    photos("train/cat/other.png", mode)
    assert find("mixed_formats", photos.audited()) == [(message, 1)]


def test_images_of_16_bits_are_found_among_those_of_8(photos):
    Image.fromarray(numpy.arange(320, dtype=numpy.uint16).reshape(16, 20) * 200).save(
        photos("train/cat/deep.png")
    )
    assert ("1 image of 16 bits among those of 8", 1) in find("mixed_formats", photos.audited())


@pytest.fixture
def pictures():
    """Ten tiles of a photo, uint8 (10, 64, 64, 3), and one of them 3 % brighter."""
    photo = load_sample_images().images[0]
    tiles = [
        photo[top : top + 64, left : left + 64]
        for top in (100, 200)
        for left in range(100, 420, 64)
    ]
    return numpy.stack(tiles), numpy.clip(tiles[0] * 1.03, 0, 255).astype(numpy.uint8)


def test_exact_duplicates_near_duplicates_and_label_conflicts_are_separate(tmp_path, pictures):
    tiles, brighter = pictures
    images = numpy.concatenate([tiles, tiles[5:7], [brighter]])
    labels = [0] * 11 + [1, 0]
    audited = audit_pixels(
        tmp_path, images, labels, ["train"] * 9 + ["test", "train", "train", "test"]
    )
    assert find("exact_duplicates", audited) == [
        ("1 image repeats another of the same split as an exact copy: 1 in train", 1)
    ]
    leak = "LEAKAGE: 1 held-out image with a near copy in another split: 1 of test in train"
    assert find("near_duplicates", audited) == [(leak, 1)]
    assert find("label_conflicts", audited) == [
        ("2 images in 1 group are similar but have different labels", 2)
    ]


def test_near_copies_are_found_up_to_the_threshold(tmp_path, pictures):
    tiles, brighter = pictures
    audited = audit_pixels(
        tmp_path, numpy.concatenate([tiles, [brighter]]), [0] * 11, ["train"] * 10 + ["test"]
    )
    gray = audited.image_statistics["thumbnail"].astype(float)
    difference = abs(gray[0] - gray[10]).mean()
    assert 1 < difference < 32
    assert len(find("near_duplicates", audited, brightness=difference + 0.01)) == 1
    assert find("near_duplicates", audited, brightness=difference - 0.01) == []


def test_classes_that_are_missing_from_a_split_are_found(tmp_path):
    audited = audit_counts(tmp_path, [3, 3, 3], [2, 0, 0])
    assert find("class_folders", audited) == [("2 classes without images in test: dog, eel", 2)]


def test_classes_with_fewer_images_than_the_threshold_are_found(tmp_path):
    audited = audit_counts(tmp_path, [9, 10, 4], [1, 1, 1])
    assert find("small_classes", audited) == [
        ("2 classes with fewer than 10 training images: cat 9, eel 4", 2)
    ]
    assert find("small_classes", audited, images=4) == []


def test_imbalance_is_the_ratio_of_the_largest_class_to_the_smallest(tmp_path):
    audited = audit_counts(tmp_path, [40, 4, 3], [1, 1, 1])
    message = (
        "the largest class, cat, has 13.3 times as many training images as the smallest; classes"
        " more than 10 times smaller: eel"
    )
    assert find("imbalance", audited) == [(message, 1)]
    assert find("imbalance", audited, ratio=13.4) == []


def test_the_standardized_difference_and_its_error_agree_with_repeated_samples():
    random = numpy.random.default_rng(0)
    pairs = [
        (random.normal(100, 20, (60, 1)), random.normal(110, 20, (40, 1))) for _ in range(4000)
    ]
    measured = numpy.array([color_drift.compute_standardized_differences(*pair) for pair in pairs])[
        ..., 0
    ]
    assert measured[:, 0].mean() == pytest.approx(0.5, abs=0.02)
    assert measured[:, 0].std() == pytest.approx(measured[:, 1].mean(), rel=0.05)


def audit_shades(path, test, shift, seed=0):
    """Store 200 training images of one color each, and `test` others, brighter by `shift` std."""
    random = numpy.random.default_rng(seed)
    shades = numpy.concatenate(
        [random.normal(120, 20, (200, 3)), random.normal(120 + 20 * shift, 20, (test, 3))]
    )
    images = numpy.clip(shades, 0, 255).astype(numpy.uint8)[:, None, None, :] + numpy.zeros(
        (1, 4, 4, 1), numpy.uint8
    )
    return audit_pixels(
        path, images, [i % 3 for i in range(200 + test)], ["train"] * 200 + ["test"] * test
    )


def test_color_drift_is_found_and_small_splits_raise_no_false_alarm(tmp_path):
    ((message, count),) = find("color_drift", audit_shades(tmp_path / "drift", 100, 1.0))
    assert message.startswith("the mean ")
    assert "of test differs from train's by +1." in message
    assert count == 100
    for seed in range(20):
        assert find("color_drift", audit_shades(tmp_path / str(seed), 4, 0.0, seed)) == []


def test_the_rarer_format_is_found_whichever_it_is(photos):
    for number in range(9):
        photos(f"train/cat/gray{number}.png", "L")
    assert find("mixed_formats", photos.audited()) == [
        ("8 images in color among grayscale ones", 8)
    ]


def test_examples_are_the_first_groups_without_one_that_is_reduced_to_a_single_image(tmp_path):
    audited = audit_counts(tmp_path, [20, 10], [1, 1])
    groups = numpy.repeat([4, 7], [EXAMPLES - 1, 2])
    indices = numpy.arange(len(groups))
    assert audited.collect_examples(indices, groups) == [audited.store.get_ids(indices[:-2])]
