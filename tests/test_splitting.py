"""Splits are stratified and repeatable, and follow the source's own splits."""

import numpy
import pytest
from experiments import source_of, stored, stored_pixels

from imgcls.datasets import DataSettings, Entry
from imgcls.errors import DataError
from imgcls.split import assign, stratified
from imgcls.store import pixel_statistics


def make_store(folder, counts, splits=("train",)):
    """A store of random 2x3 RGB images, `counts` of each class, with the source splits in turn."""
    random = numpy.random.default_rng(0)
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    images = random.integers(0, 256, (len(labels), 2, 3, 3), dtype=numpy.uint8)
    entries = [
        Entry(f"{label}/{index}.png", label, splits[index % len(splits)])
        for index, label in enumerate(labels)
    ]
    return stored(
        folder, source_of(images, entries, [f"class {label}" for label in range(len(counts))])
    )


def settings(**fractions):
    return DataSettings(name="toy", **fractions)


def count_classes(store, indices):
    return numpy.bincount(store.labels[indices], minlength=len(store.classes)).tolist()


@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.2, 1 / 3, 0.5, 0.77])
def test_allocation_is_within_one_of_each_exact_fraction_and_has_the_exact_total(fraction):
    random = numpy.random.default_rng(0)
    for _ in range(50):
        counts = random.integers(200, 3000, random.integers(2, 120)).tolist()
        numbers = stratified.allocate(counts, fraction, reserve=1)
        assert sum(numbers) == round(sum(counts) * fraction)
        assert (
            max(
                abs(number - count * fraction)
                for number, count in zip(numbers, counts, strict=True)
            )
            < 1
        )


def test_allocation_gives_each_small_class_one_image_and_leaves_the_reserve():
    assert stratified.allocate([3, 3, 400], 0.01, reserve=2) == [1, 1, 4]
    assert stratified.allocate([3, 400], 0.9, reserve=2) == [1, 360]


def test_splits_are_sorted_and_disjoint_and_cover_everything(tmp_path):
    store = make_store(tmp_path, [40, 60, 100])
    split = assign.assign_splits(store, settings(), seed=0)
    assert sorted([*split.train, *split.validation, *split.test]) == list(range(200))
    assert all(
        (numpy.diff(split.get_indices(name)) > 0).all() for name in ("train", "validation", "test")
    )
    assert (count_classes(store, split.test), count_classes(store, split.validation)) == (
        [8, 12, 20],
        [3, 5, 8],
    )


def test_equal_seeds_give_equal_splits_and_other_seeds_other_splits(tmp_path):
    store = make_store(tmp_path, [40, 60])
    first, again, other = (assign.assign_splits(store, settings(), seed) for seed in (1, 1, 2))
    assert first.key == again.key != other.key
    numpy.testing.assert_array_equal(first.train, again.train)
    assert first.train.tolist() != other.train.tolist()


def test_the_test_split_does_not_depend_on_the_validation_fraction(tmp_path):
    store = make_store(tmp_path, [40, 60])
    tests = [
        assign.assign_splits(store, settings(validation=fraction), seed=0).test.tolist()
        for fraction in (0.0, 0.1, 0.4)
    ]
    assert tests[0] == tests[1] == tests[2]


def test_the_split_of_a_seed_never_changes(tmp_path):
    """Golden values: another NumPy or machine must give the same."""
    split = assign.assign_splits(make_store(tmp_path, [10, 10]), settings(), seed=0)
    assert (split.test.tolist(), split.validation.tolist()) == ([2, 8, 10, 12], [0, 14])


def test_validation_zero_gives_no_validation_split(tmp_path):
    split = assign.assign_splits(make_store(tmp_path, [10, 10]), settings(validation=0.0), seed=0)
    assert (len(split.train), len(split.validation), len(split.test)) == (16, 0, 4)


@pytest.mark.parametrize(
    "own", [("train", "test"), ("train", "validation"), ("train", "validation", "test")]
)
def test_the_sources_own_splits_are_used(tmp_path, own):
    store = make_store(tmp_path, [60, 60], own)
    split = assign.assign_splits(store, settings(), seed=0)
    for name in own[1:]:
        assert split.get_indices(name).tolist() == [
            index for index in range(120) if own[index % len(own)] == name
        ]
    assert len(split.train) + len(split.validation) + len(split.test) == 120
    assert min(count_classes(store, split.validation) + count_classes(store, split.test)) > 0


def test_a_class_may_be_absent_from_the_sources_own_test_split(tmp_path):
    store = make_store(tmp_path, [40, 40], ("test",) * 5 + ("train",) * 75)
    split = assign.assign_splits(store, settings(), seed=0)
    assert count_classes(store, split.test) == [5, 0]


def test_an_error_names_classes_that_are_too_small_with_their_images(tmp_path):
    store = make_store(tmp_path, [10, 1, 2, 0])
    with pytest.raises(DataError) as caught:
        assign.assign_splits(store, settings(), seed=0)
    assert str(caught.value).splitlines() == [
        "classes with fewer than 3 images, one for each of train, test, validation:",
        "  class 1: 1 (1/10.png)",
        "  class 2: 2 (2/11.png, 2/12.png)",
        "  class 3: 0",
        "add images or remove the class; data.validation: 0 needs one image fewer",
    ]


def test_three_images_are_enough_for_three_splits(tmp_path):
    store = make_store(tmp_path, [3, 90])
    split = assign.assign_splits(store, settings(), seed=0)
    assert [
        count_classes(store, split.get_indices(name))[0] for name in ("train", "validation", "test")
    ] == [1, 1, 1]


def test_mean_and_std_equal_numpys_over_the_training_pixels(tmp_path, monkeypatch):
    monkeypatch.setattr(
        pixel_statistics, "_BLOCK_BYTES", 7 * 18
    )  # several blocks, the last one shorter
    store = make_store(tmp_path, [40, 60])
    split = assign.assign_splits(store, settings(), seed=0)
    pixels = stored_pixels(store)[split.train].reshape(-1, 3).astype(numpy.float64)
    numpy.testing.assert_allclose(split.mean, pixels.mean(axis=0), rtol=1e-6)
    numpy.testing.assert_allclose(split.std, pixels.std(axis=0), rtol=1e-6)
    assert split.mean.dtype == split.std.dtype == numpy.float32
