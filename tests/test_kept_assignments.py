"""Images that are added later move none of those across that were prepared before."""

from dataclasses import replace

import numpy
import pytest
from experiments import source_of, stored

from imgcls.datasets import SPLITS, DataSettings, Entry
from imgcls.errors import DataError
from imgcls.split import assign, stratified
from imgcls.store import lookup


def prepared(folder, entries, seed=0, **settings):
    """Store and split images of three classes; return the store, its split, and how many images
    kept their places.
    """
    entries = sorted(entries, key=lambda entry: entry.id)
    images = numpy.zeros((len(entries), 1, 1, 1), numpy.uint8)
    store = stored(folder, source_of(images, entries, ["a", "b", "c"], version=repr(entries)))
    split, kept = assign.find_or_assign(
        store, DataSettings(name="toy", store_dir=str(folder), **settings), seed
    )
    store.save_split(split)
    return store, split, kept


def draw(random, count, prefix="", groups=None):
    """Random images, whose ids fall anywhere among those of other draws."""
    return [
        Entry(
            f"{random.integers(10**9):09d}{prefix}",
            int(label),
            group=groups and f"group {random.integers(groups)}",
        )
        for label in random.integers(0, 3, count)
    ]


def places(store, split):
    """The split of each image by its id."""
    return {name: each for each in SPLITS for name in store.ids(split.indices(each))}


@pytest.mark.parametrize("seed", range(4))
def test_through_many_changes_of_the_data_no_image_that_stays_is_moved(tmp_path, seed):
    random = numpy.random.default_rng(seed)
    entries = draw(random, 120)
    store, split, kept = prepared(tmp_path, entries, seed)
    assert kept == 0
    for _ in range(5):
        before = places(store, split)
        staying = [
            entries[place] for place in random.permutation(len(entries))[random.integers(0, 20) :]
        ]
        entries = [*staying, *draw(random, int(random.integers(1, 80)))]
        store, split, kept = prepared(tmp_path, entries, seed)
        after = places(store, split)
        assert all(after[entry.id] == before[entry.id] for entry in staying)
        assert kept == len(staying)
        assert len(after) == len(entries)


def test_new_images_bring_every_class_to_the_share_that_was_asked_for(tmp_path):
    random = numpy.random.default_rng(0)
    entries = draw(random, 200)
    prepared(tmp_path, entries, test=0.2, validation=0)
    store, split, _ = prepared(tmp_path, [*entries, *draw(random, 400)], test=0.2, validation=0)
    wanted = stratified.allocate(numpy.bincount(store.labels).tolist(), 0.2, 1)
    assert numpy.bincount(store.labels[split.test]).tolist() == wanted


def test_new_images_of_a_group_go_where_the_group_is(tmp_path):
    random = numpy.random.default_rng(0)
    entries = draw(random, 200, groups=40)
    store, split, _ = prepared(tmp_path, entries)
    before = places(store, split)
    store, split, kept = prepared(tmp_path, [*entries, *draw(random, 200, groups=60)])
    after = places(store, split)
    assert kept == 200
    assert {name: after[name] for name in before} == before
    sides = [set(store.groups[split.indices(name)]) for name in SPLITS]
    assert sum(map(len, sides)) == len(set.union(*sides)) == len(set(store.groups)) > 50
    assert 0.1 < len(split.test) / 400 < 0.3


@pytest.mark.parametrize("groups", [None, 40])
def test_folds_stay_disjoint_when_images_are_added_and_none_changes_its_fold(tmp_path, groups):
    random = numpy.random.default_rng(0)
    entries = draw(random, 150, groups=groups)
    store, split, _ = prepared(
        tmp_path, entries, fold="1/3"
    )  # the others are first prepared with more images
    first, old = set(store.ids(split.test)), {entry.id for entry in entries}
    entries = [*entries, *draw(random, 90, groups=groups)]
    tests = []
    for number in range(1, 4):
        store, split, kept = prepared(tmp_path, entries, fold=f"{number}/3")
        assert kept == (150 if number == 1 else 240)
        tests.append(store.ids(split.test))
    assert sorted(name for test in tests for name in test) == sorted(entry.id for entry in entries)
    assert set(tests[0]) & old == first
    assert max(map(len, tests)) - min(map(len, tests)) <= (1 if groups is None else 30)
    entries = [*entries, *draw(random, 30, groups=groups)]
    for number in (3, 1, 2):
        again_store, again, _ = prepared(tmp_path, entries, fold=f"{number}/3")
        assert set(tests[number - 1]) <= set(again_store.ids(again.test))
        if number == 3:  # whose validation split is known, as its test split is
            before, after = places(store, split), places(again_store, again)
            assert {name: after[name] for name in before} == before


def test_a_limit_or_another_size_changes_no_place_also_after_images_were_added(tmp_path):
    random = numpy.random.default_rng(0)
    entries = draw(random, 100)
    prepared(tmp_path, entries)
    entries = [*entries, *draw(random, 100)]
    store, whole, _ = prepared(tmp_path, entries)
    _, few, _ = prepared(tmp_path, entries, max_images=10)
    assert few.assignments.tolist() == whole.assignments.tolist()
    assert all(set(few.indices(name)) <= set(whole.indices(name)) for name in SPLITS)
    used = set(places(store, few))
    more_store, more, _ = prepared(tmp_path, [*entries, *draw(random, 50)], max_images=15)
    assert used <= set(places(more_store, more))


def test_a_split_that_was_written_is_used_as_it_is(tmp_path):
    entries = draw(numpy.random.default_rng(0), 60)
    store, split, _ = prepared(tmp_path, entries)
    store.save_split(replace(split, train=split.train[:-1]))
    _, again, kept = prepared(tmp_path, entries)
    assert again.train.tolist() == split.train[:-1].tolist()
    assert kept == 60


def test_a_damaged_split_is_made_anew_as_it_was(tmp_path, capsys):
    random = numpy.random.default_rng(0)
    entries = draw(random, 60)
    prepared(tmp_path, entries)
    entries = [*entries, *draw(random, 60)]
    store, split, _ = prepared(tmp_path, entries)
    store.split_file(split.key).write_bytes(b"damaged")
    _, again, kept = prepared(tmp_path, entries)
    assert (again.sha256, kept) == (split.sha256, 60)
    assert "splitting anew" in capsys.readouterr().err


def test_an_earlier_split_that_is_damaged_stops_the_next_one_and_says_what_to_do(tmp_path):
    random = numpy.random.default_rng(0)
    entries = draw(random, 60)
    store, split, _ = prepared(tmp_path, entries)
    path = store.split_file(split.key)
    path.write_bytes(b"damaged")
    with pytest.raises(
        DataError,
        match=(
            rf"is damaged.*; .*keep the places that {path} gives them: bring it back, or delete"
        ),
    ):
        prepared(tmp_path, [*entries, *draw(random, 5)])
    path.unlink()
    assert prepared(tmp_path, [*entries, *draw(random, 5)])[2] == 0


def test_groups_that_are_told_of_only_later_are_refused_where_a_split_tore_them(tmp_path):
    entries = draw(numpy.random.default_rng(0), 100)
    prepared(tmp_path, entries)
    grouped = [replace(entry, group=f"group {place % 10}") for place, entry in enumerate(entries)]
    with pytest.raises(
        DataError,
        match=(
            r"had these places before they were a group: give data\.splits_file, another seed, or"
            r" another data\.store"
        ),
    ):
        prepared(tmp_path, grouped)
    assert prepared(tmp_path, grouped, seed=1)[2] == 0


def test_a_class_whose_training_images_were_removed_is_refused(tmp_path):
    random = numpy.random.default_rng(0)
    entries = draw(random, 100)
    store, split, _ = prepared(tmp_path, entries)
    before = places(store, split)
    left = [entry for entry in entries if entry.label or before[entry.id] != "train"]
    with pytest.raises(
        DataError,
        match=r"classes without a training image: a; .* an earlier preparation: add images",
    ):
        prepared(tmp_path, left)


def test_what_the_source_says_of_an_image_goes_before_an_earlier_split(tmp_path):
    entries = draw(numpy.random.default_rng(0), 60)
    store, split, _ = prepared(tmp_path, entries)
    before = places(store, split)
    told = [
        replace(entry, split="test") if before[entry.id] == "validation" else entry
        for entry in entries
    ]
    store, split, kept = prepared(tmp_path, told)
    after = places(store, split)
    assert {name for name in after if after[name] == "test"} == {
        name for name in before if before[name] == "validation"
    }
    assert kept == sum(after[name] == before[name] for name in before)


def test_a_run_refuses_a_split_that_was_cut_elsewhere_without_its_past(tmp_path):
    random = numpy.random.default_rng(0)
    entries, more = draw(random, 100), draw(random, 100)
    prepared(tmp_path / "here", entries)
    store, split, _ = prepared(tmp_path / "here", [*entries, *more])
    data = store.describe(split)
    lookup.open_run_store(data, str(tmp_path / "here"))
    elsewhere, other, _ = prepared(tmp_path / "there", [*entries, *more])
    assert (elsewhere.fingerprint, other.key) == (store.fingerprint, split.key)
    with pytest.raises(
        DataError,
        match=(
            r"puts other images in the splits than the run used.*copy this file from where the run"
            r" was trained"
        ),
    ):
        lookup.open_run_store(data, str(tmp_path / "there"))
    elsewhere.split_file(other.key).write_bytes(store.split_file(split.key).read_bytes())
    lookup.open_run_store(data, str(tmp_path / "there"))
