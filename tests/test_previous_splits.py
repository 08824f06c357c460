"""Adding images moves none of those that were prepare before to another split."""

from dataclasses import replace

import numpy
import pytest
from experiments import source_of, stored

from imgcls.datasets import SPLITS, DataSettings, Entry
from imgcls.errors import DataError
from imgcls.split import assign, stratified
from imgcls.store import lookup


def prepare(folder, entries, seed=0, **settings):
    """Store and split images of three classes; return store, split, number of unchanged images."""
    entries = sorted(entries, key=lambda entry: entry.id)
    images = numpy.zeros((len(entries), 1, 1, 1), numpy.uint8)
    store = stored(folder, source_of(images, entries, ["a", "b", "c"], version=repr(entries)))
    split, unchanged = assign.find_or_assign(
        store, DataSettings(name="toy", store_dir=str(folder), **settings), seed
    )
    store.save_split(split)
    return store, split, unchanged


def draw(random, count, prefix="", groups=None):
    """Random images, with random ids."""
    return [
        Entry(
            f"{random.integers(10**9):09d}{prefix}",
            int(label),
            group=groups and f"group {random.integers(groups)}",
        )
        for label in random.integers(0, 3, count)
    ]


def split_of_each(store, split):
    """The split of each image, by id."""
    return {name: each for each in SPLITS for name in store.get_ids(split.get_indices(each))}


@pytest.mark.parametrize("seed", range(4))
def test_adding_and_removing_images_moves_no_other_image(tmp_path, seed):
    random = numpy.random.default_rng(seed)
    entries = draw(random, 120)
    store, split, unchanged = prepare(tmp_path, entries, seed)
    assert unchanged == 0
    for _ in range(5):
        before = split_of_each(store, split)
        staying = [
            entries[index] for index in random.permutation(len(entries))[random.integers(0, 20) :]
        ]
        entries = [*staying, *draw(random, int(random.integers(1, 80)))]
        store, split, unchanged = prepare(tmp_path, entries, seed)
        after = split_of_each(store, split)
        assert all(after[entry.id] == before[entry.id] for entry in staying)
        assert unchanged == len(staying)
        assert len(after) == len(entries)


def test_new_images_bring_every_class_to_its_fraction(tmp_path):
    random = numpy.random.default_rng(0)
    entries = draw(random, 200)
    prepare(tmp_path, entries, test=0.2, validation=0)
    store, split, _ = prepare(tmp_path, [*entries, *draw(random, 400)], test=0.2, validation=0)
    wanted = stratified.allocate(numpy.bincount(store.labels).tolist(), 0.2, 1)
    assert numpy.bincount(store.labels[split.test]).tolist() == wanted


def test_new_images_of_a_group_join_the_groups_split(tmp_path):
    random = numpy.random.default_rng(0)
    entries = draw(random, 200, groups=40)
    store, split, _ = prepare(tmp_path, entries)
    before = split_of_each(store, split)
    store, split, unchanged = prepare(tmp_path, [*entries, *draw(random, 200, groups=60)])
    after = split_of_each(store, split)
    assert unchanged == 200
    assert {name: after[name] for name in before} == before
    groups = [set(store.groups[split.get_indices(name)]) for name in SPLITS]
    assert sum(map(len, groups)) == len(set.union(*groups)) == len(set(store.groups)) > 50
    assert 0.1 < len(split.test) / 400 < 0.3


@pytest.mark.parametrize("groups", [None, 40])
def test_adding_images_changes_no_fold_and_folds_stay_disjoint(tmp_path, groups):
    random = numpy.random.default_rng(0)
    entries = draw(random, 150, groups=groups)
    # The other folds are first prepare with more images.
    store, split, _ = prepare(tmp_path, entries, fold="1/3")
    first, old = set(store.get_ids(split.test)), {entry.id for entry in entries}
    entries = [*entries, *draw(random, 90, groups=groups)]
    tests = []
    for number in range(1, 4):
        store, split, unchanged = prepare(tmp_path, entries, fold=f"{number}/3")
        assert unchanged == (150 if number == 1 else 240)
        tests.append(store.get_ids(split.test))
    assert sorted(name for test in tests for name in test) == sorted(entry.id for entry in entries)
    assert set(tests[0]) & old == first
    assert max(map(len, tests)) - min(map(len, tests)) <= (1 if groups is None else 30)
    entries = [*entries, *draw(random, 30, groups=groups)]
    for number in (3, 1, 2):
        again_store, again, _ = prepare(tmp_path, entries, fold=f"{number}/3")
        assert set(tests[number - 1]) <= set(again_store.get_ids(again.test))
        if number == 3:  # the only one whose validation split is known
            before, after = split_of_each(store, split), split_of_each(again_store, again)
            assert {name: after[name] for name in before} == before


def test_a_limit_changes_no_assignment_even_after_images_were_added(tmp_path):
    random = numpy.random.default_rng(0)
    entries = draw(random, 100)
    prepare(tmp_path, entries)
    entries = [*entries, *draw(random, 100)]
    store, whole, _ = prepare(tmp_path, entries)
    _, few, _ = prepare(tmp_path, entries, max_images=10)
    assert few.assignments.tolist() == whole.assignments.tolist()
    assert all(set(few.get_indices(name)) <= set(whole.get_indices(name)) for name in SPLITS)
    used = set(split_of_each(store, few))
    more_store, more, _ = prepare(tmp_path, [*entries, *draw(random, 50)], max_images=15)
    assert used <= set(split_of_each(more_store, more))


def test_a_written_split_is_used_as_it_is(tmp_path):
    entries = draw(numpy.random.default_rng(0), 60)
    store, split, _ = prepare(tmp_path, entries)
    store.save_split(replace(split, train=split.train[:-1]))
    _, again, unchanged = prepare(tmp_path, entries)
    assert again.train.tolist() == split.train[:-1].tolist()
    assert unchanged == 60


def test_a_damaged_split_is_assigned_again_as_it_was(tmp_path, capsys):
    random = numpy.random.default_rng(0)
    entries = draw(random, 60)
    prepare(tmp_path, entries)
    entries = [*entries, *draw(random, 60)]
    store, split, _ = prepare(tmp_path, entries)
    store.get_split_file(split.key).write_bytes(b"damaged")
    _, again, unchanged = prepare(tmp_path, entries)
    assert (again.sha256, unchanged) == (split.sha256, 60)
    assert "splitting again" in capsys.readouterr().err


def test_a_damaged_earlier_split_is_an_error_that_says_what_to_do(tmp_path):
    random = numpy.random.default_rng(0)
    entries = draw(random, 60)
    store, split, _ = prepare(tmp_path, entries)
    path = store.get_split_file(split.key)
    path.write_bytes(b"damaged")
    with pytest.raises(
        DataError,
        match=(
            rf"is damaged.*; images must stay in the splits of {path}: restore it, or delete it to"
        ),
    ):
        prepare(tmp_path, [*entries, *draw(random, 5)])
    path.unlink()
    assert prepare(tmp_path, [*entries, *draw(random, 5)])[2] == 0


def test_groups_that_are_named_later_are_an_error_if_they_are_divided_already(tmp_path):
    entries = draw(numpy.random.default_rng(0), 100)
    prepare(tmp_path, entries)
    grouped = [replace(entry, group=f"group {index % 10}") for index, entry in enumerate(entries)]
    with pytest.raises(
        DataError,
        match=(
            r"were split before they were a group: set data\.splits_file, another seed, or"
            r" another data\.store"
        ),
    ):
        prepare(tmp_path, grouped)
    assert prepare(tmp_path, grouped, seed=1)[2] == 0


def test_removing_all_training_images_of_a_class_is_an_error(tmp_path):
    random = numpy.random.default_rng(0)
    entries = draw(random, 100)
    store, split, _ = prepare(tmp_path, entries)
    before = split_of_each(store, split)
    left = [entry for entry in entries if entry.label or before[entry.id] != "train"]
    with pytest.raises(
        DataError,
        match=r"classes without training images: a; .* an earlier preparation: add images",
    ):
        prepare(tmp_path, left)


def test_the_sources_own_splits_override_an_earlier_split(tmp_path):
    entries = draw(numpy.random.default_rng(0), 60)
    store, split, _ = prepare(tmp_path, entries)
    before = split_of_each(store, split)
    changed = [
        replace(entry, split="test") if before[entry.id] == "validation" else entry
        for entry in entries
    ]
    store, split, unchanged = prepare(tmp_path, changed)
    after = split_of_each(store, split)
    assert {name for name in after if after[name] == "test"} == {
        name for name in before if before[name] == "validation"
    }
    assert unchanged == sum(after[name] == before[name] for name in before)


def test_a_run_rejects_a_split_made_elsewhere_without_the_earlier_splits(tmp_path):
    random = numpy.random.default_rng(0)
    entries, more = draw(random, 100), draw(random, 100)
    prepare(tmp_path / "here", entries)
    store, split, _ = prepare(tmp_path / "here", [*entries, *more])
    data = store.describe(split)
    lookup.open_run_store(data, str(tmp_path / "here"))
    elsewhere, other, _ = prepare(tmp_path / "there", [*entries, *more])
    assert (elsewhere.fingerprint, other.key) == (store.fingerprint, split.key)
    with pytest.raises(
        DataError,
        match=(
            r"differs from the split that the run was trained on.*copy this file from the machine"
        ),
    ):
        lookup.open_run_store(data, str(tmp_path / "there"))
    elsewhere.get_split_file(other.key).write_bytes(store.get_split_file(split.key).read_bytes())
    lookup.open_run_store(data, str(tmp_path / "there"))
