"""Groups stay together, folds cover everything, and both are as balanced as scikit-learn's."""

import warnings

import numpy
import pytest
from experiments import source_of, stored
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from imgcls.datasets import DataSettings, Entry
from imgcls.errors import DataError
from imgcls.split import assign, stratified
from imgcls.split.pool import UNASSIGNED, Pool, draw_random_keys

SPREADS = [0.0, 0.5, 1.0]
"""Standard deviation of the logarithm of group sizes: from equal sizes to a ratio of 100."""


def random_pool(seed, images=1500, classes=6, groups=150, spread=0.5, purity=0.7):
    """Images in random groups, each of the group's class with probability `purity`, else any."""
    random = numpy.random.default_rng(seed)
    sizes = random.lognormal(0, spread, groups)
    members = random.choice(groups, images, p=sizes / sizes.sum())
    main = random.integers(0, classes, groups)
    labels = numpy.where(
        random.random(images) < purity, main[members], random.integers(0, classes, images)
    )
    return Pool(
        classes, labels, members, numpy.full(images, UNASSIGNED), draw_random_keys(images, seed)
    )


def without_groups(pool):
    """The same images without groups."""
    return Pool(
        pool.classes, pool.labels, numpy.arange(len(pool.labels)), pool.assigned, pool.random_keys
    )


def count_table(pool, subsets, count):
    """Images of each class in each subset, (subsets, classes)."""
    counts = numpy.zeros((count, pool.classes), int)
    numpy.add.at(counts, (subsets, pool.labels), 1)
    return counts


def imbalance(pool, subsets, count):
    """Root mean square error of the fractions of each class, and the largest excess of a size."""
    counts = count_table(pool, subsets, count)
    return (
        numpy.sqrt(((counts / counts.sum(axis=0) - 1 / count) ** 2).mean()),
        counts.sum(axis=1).max() / counts.sum() * count - 1,
    )


def folds_of(splitter, pool):
    folds = numpy.empty(len(pool.labels), int)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of classes smaller than the number of folds
        for number, (_, test) in enumerate(splitter.split(pool.labels, pool.labels, pool.groups)):
            folds[test] = number
    return folds


def make_store(folder, entries, classes=("a", "b")):
    images = numpy.random.default_rng(0).integers(
        0, 256, (len(entries), 2, 2, 1), dtype=numpy.uint8
    )
    return stored(folder, source_of(images, entries, list(classes), version=repr(entries)))


def patients(count=30, images=6, splits=("train",)):
    """Two classes, and patients whose images are all of one class."""
    return [
        Entry(
            f"{patient:03d}/{image}",
            patient % 2,
            splits[patient % len(splits)],
            group=f"patient {patient}",
        )
        for patient in range(count)
        for image in range(images)
    ]


@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.5])
def test_a_split_divides_no_group_and_has_its_fraction_of_all_images_and_of_each_class(
    spread, fraction
):
    for seed in range(10):
        pool = random_pool(seed, spread=spread)
        chosen = stratified.select_split(pool, fraction, 2)
        assert not set(pool.groups[chosen]) & set(pool.groups[~chosen])
        fractions = count_table(pool, chosen.astype(int), 2)[1] / numpy.bincount(pool.labels)
        assert abs(chosen.mean() - fraction) < 0.02
        # Without groups it is within 0.004: an image is 1/250 of a class.
        assert numpy.abs(fractions - fraction).max() < 0.06


def test_a_split_has_large_and_small_groups():
    sizes = []
    for seed in range(10):
        pool = random_pool(seed, spread=1.0)
        chosen, counts = stratified.select_split(pool, 0.2, 2), numpy.bincount(pool.groups)
        sizes.append((counts[numpy.unique(pool.groups[chosen])].mean(), counts[counts > 0].mean()))
    in_split, in_all = numpy.mean(sizes, axis=0)
    assert abs(in_split / in_all - 1) < 0.1


def test_images_without_a_group_are_split_as_if_there_were_no_groups():
    pool = random_pool(0)
    half = numpy.arange(1500) < 750  # each of the others is a group of its own
    mixed = Pool(
        6,
        pool.labels,
        numpy.where(half, pool.groups, 1000 + numpy.arange(1500)),
        pool.assigned,
        pool.random_keys,
    )
    chosen = stratified.select_split(mixed, 0.2, 2)
    wanted = stratified.allocate(numpy.bincount(pool.labels).tolist(), 0.2, 2)
    assert numpy.bincount(pool.labels[chosen]).tolist() == wanted
    assert not set(mixed.groups[chosen]) & set(mixed.groups[~chosen])


@pytest.mark.parametrize("count", [2, 3, 5, 10])
def test_folds_without_groups_differ_by_at_most_one_image_of_each_class_like_scikit_learns(count):
    for seed in range(5):
        pool = without_groups(random_pool(seed))
        counts = count_table(pool, stratified.assign_folds(pool, count), count)
        assert numpy.ptp(counts, axis=0).max() <= 1
        assert numpy.ptp(counts.sum(axis=1)) <= 1
        of_scikit_learn = count_table(
            pool, folds_of(StratifiedKFold(count, shuffle=True, random_state=seed), pool), count
        )
        numpy.testing.assert_array_equal(
            numpy.sort(counts, axis=0), numpy.sort(of_scikit_learn, axis=0)
        )


@pytest.mark.parametrize("spread", SPREADS)
def test_folds_with_groups_are_as_balanced_as_scikit_learns(spread):
    ours, theirs = [], []
    for seed in range(12):
        pool = random_pool(seed, spread=spread)
        folds = stratified.assign_folds(pool, 5)
        assert all(len(set(folds[pool.groups == group])) == 1 for group in set(pool.groups))
        ours.append(imbalance(pool, folds, 5))
        theirs.append(
            imbalance(
                pool, folds_of(StratifiedGroupKFold(5, shuffle=True, random_state=seed), pool), 5
            )
        )
    (classes, sizes), (their_classes, their_sizes) = (
        numpy.mean(ours, axis=0),
        numpy.mean(theirs, axis=0),
    )
    assert classes <= 1.1 * their_classes
    assert sizes <= their_sizes


def test_a_class_in_few_groups_is_in_every_split():
    """Three groups have the rare class, and one of them nearly all of it: each split gets one."""
    labels = numpy.array([0] * 300 + [1] * 40 + [1, 1, 0] + [1, 1, 0])
    groups = numpy.array([*numpy.repeat(numpy.arange(30), 10), *[30] * 40, *[31] * 3, *[32] * 3])
    for seed in range(20):
        pool = Pool(
            2,
            labels,
            groups,
            numpy.full(len(labels), UNASSIGNED),
            draw_random_keys(len(labels), seed),
        )
        test = stratified.select_split(pool, 0.2, 2)
        rest = ~test
        pool = Pool(
            2,
            labels[rest],
            groups[rest],
            numpy.full(rest.sum(), UNASSIGNED),
            pool.random_keys[rest],
        )
        validation = stratified.select_split(pool, 0.1, 1)
        assert [set(labels[test]), set(pool.labels[validation]), set(pool.labels[~validation])] == [
            {0, 1}
        ] * 3


def test_the_grouped_split_of_a_seed_never_changes():
    """Golden values: another NumPy or machine must give the same."""
    numbers = numpy.arange(60)
    pool = Pool(
        3,
        numbers * 7 % 11 % 3,
        numbers**2 % 31,
        numpy.full(60, UNASSIGNED),
        draw_random_keys(60, 0),
    )
    assert numpy.unique(pool.groups[stratified.select_split(pool, 0.25, 2)]).tolist() == [
        1,
        9,
        16,
        19,
    ]
    folds = stratified.assign_folds(pool, 3)
    of_folds = [numpy.unique(pool.groups[folds == fold]).tolist() for fold in range(3)]
    assert of_folds == [[7, 10, 14, 25, 28], [0, 1, 8, 9, 18, 20], [2, 4, 5, 16, 19]]


def test_a_store_with_groups_is_split_by_groups(tmp_path):
    store = make_store(tmp_path, patients())
    split = assign.assign_splits(store, DataSettings(name="toy"), seed=0)
    groups = [
        {name.split("/")[0] for name in store.get_ids(split.get_indices(name))}
        for name in ("train", "validation", "test")
    ]
    assert [len(each) for each in groups] == [22, 2, 6]
    assert len(set.union(*groups)) == 30
    other = assign.assign_splits(store, DataSettings(name="toy"), seed=1)
    assert split.test.tolist() != other.test.tolist()


def test_an_error_names_classes_in_too_few_groups_with_their_images(tmp_path):
    entries = [*patients(), Entry("x/0", 2, group="x"), Entry("x/1", 2, group="x"), Entry("y", 2)]
    store = make_store(tmp_path, entries, ("a", "b", "rare"))
    with pytest.raises(DataError) as caught:
        assign.assign_splits(store, DataSettings(name="toy"), seed=0)
    assert str(caught.value).splitlines() == [
        "classes with fewer than 3 groups of images, one for each of train, test, validation:",
        "  rare: 2 (x/0, x/1, y)",
        "add images or remove the class; data.validation: 0 needs one image fewer",
    ]


def test_a_group_in_two_of_the_sources_own_splits_is_an_error(tmp_path):
    entries = patients(splits=("train", "train", "test"))
    entries[-1] = Entry("leak", 1, "train", group="patient 2")
    with pytest.raises(
        DataError,
        match=(
            r"1 group is divided, such as 'patient 2' with leak in train and 002/0 in test; these"
            r" splits are the source's"
        ),
    ):
        assign.assign_splits(make_store(tmp_path, entries), DataSettings(name="toy"), seed=0)


@pytest.mark.parametrize("grouped", [False, True])
def test_the_folds_of_a_seed_are_disjoint_and_cover_all_training_images(tmp_path, grouped):
    entries = [entry if grouped else Entry(entry.id, entry.label) for entry in patients(20, 5)]
    store = make_store(tmp_path, entries)
    splits = [
        assign.assign_splits(store, DataSettings(name="toy", fold=f"{number}/4"), seed=3)
        for number in range(1, 5)
    ]
    assert sorted(index for split in splits for index in split.test) == list(range(100))
    for split in splits:
        assert [len(split.train), len(split.validation), len(split.test)] == (
            [65, 10, 25] if grouped else [67, 8, 25]
        )
        assert sorted([*split.train, *split.validation, *split.test]) == list(range(100))


def test_folds_leave_out_the_sources_own_test_images_and_use_its_validation_split(tmp_path, capsys):
    store = make_store(
        tmp_path, patients(splits=("train", "train", "train", "train", "validation", "test"))
    )
    split = assign.assign_splits(store, DataSettings(name="toy", fold="1/2"), seed=0)
    assert "own 30 test images are left out" in capsys.readouterr().err
    assert split.validation.tolist() == numpy.flatnonzero(store.source_splits == 1).tolist()
    assert set(store.source_splits[split.test]) == {0}
    assert len(split.train) + len(split.test) == 120


def test_a_class_with_fewer_images_than_folds_is_an_error(tmp_path):
    entries = [Entry(f"{index}", int(index >= 40)) for index in range(44)]
    with pytest.raises(
        DataError,
        match=(
            r"fewer than 5 images, one for each of the 5 folds:\n  b: 4 .*\n.*or use"
            r" fewer folds"
        ),
    ):
        assign.assign_splits(
            make_store(tmp_path, entries), DataSettings(name="toy", fold="1/5"), seed=0
        )


@pytest.mark.parametrize("fold", ["0/5", "6/5", "1/1", "2", "2/", "a/b", "1/-2", "01/5"])
def test_an_invalid_fold_is_an_error(fold):
    with pytest.raises(ValueError, match=r"needs the form K/N .*, such as 2/5; got"):
        DataSettings(name="toy", fold=fold)


def test_a_fold_and_a_file_of_splits_together_are_an_error():
    with pytest.raises(ValueError, match="both decide the splits; give only one"):
        DataSettings(name="toy", fold="1/5", splits_file="splits.csv")
