"""Splits from a file, and limits for quick runs."""

import numpy
import pytest
from experiments import source_of, stored

from imgcls.datasets import SPLITS, DataSettings, Entry
from imgcls.errors import DataError, UserError
from imgcls.split import assign, split_csv
from imgcls.store import lookup

IDS = [
    "a/0.png",
    "a/with, comma.png",
    'a/"quoted"\n.png',
    "a/\udcff.png",
    "b/0.png",
    "b/ü.png",
    "b/2.png",
]


def make_store(folder, names=IDS, labels=(0, 0, 0, 0, 1, 1, 1), groups=None):
    images = numpy.random.default_rng(0).integers(0, 256, (len(names), 2, 2, 1), dtype=numpy.uint8)
    entries = [
        Entry(name, label, group=group)
        for name, label, group in zip(names, labels, groups or [None] * len(names), strict=True)
    ]
    return stored(
        folder, source_of(images, entries, [f"class {label}" for label in range(max(labels) + 1)])
    )


def make_large_store(folder, counts):
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    return make_store(folder, [f"{index:05d}" for index in range(len(labels))], labels)


def settings_for(path):
    return DataSettings(name="toy", splits_file=str(path))


def write(path, *rows):
    path.write_bytes(
        "".join(f"{row}\n" for row in ("id,split", *rows)).encode("utf-8", "surrogateescape")
    )
    return path


def ids_by_split(store, split):
    return {name: store.get_ids(split.get_indices(name)) for name in SPLITS}


def test_a_file_assigns_every_image(tmp_path):
    store = make_store(tmp_path, ["0", "1", "2", "3", "4", "5", "6"])
    path = write(
        tmp_path / "splits.csv",
        "6,test",
        "5,validation",
        "0,train",
        "1,unused",
        "2,train",
        "3,test",
        "",
        "4,train",
    )
    split = assign.assign_splits(store, settings_for(path), seed=0)
    assert ids_by_split(store, split) == {
        "train": ["0", "2", "4"],
        "validation": ["5"],
        "test": ["3", "6"],
    }


def test_a_written_split_is_read_back_whatever_the_ids(tmp_path):
    store = make_store(tmp_path)
    split = assign.assign_splits(store, DataSettings(name="toy", test=0.3), seed=0)
    split_csv.write_assignments(tmp_path / "splits.csv", store, split)
    again = assign.assign_splits(store, settings_for(tmp_path / "splits.csv"), seed=5)
    assert ids_by_split(store, again) == ids_by_split(store, split)
    numpy.testing.assert_array_equal(again.mean, split.mean)


def test_no_file_with_other_content_is_overwritten(tmp_path):
    """Else users who mistake `prepare --splits` for the way to use a file would lose it."""
    store = make_store(tmp_path)
    split = assign.assign_splits(store, DataSettings(name="toy", test=0.3), seed=0)
    own = write(tmp_path / "own.csv", "0,train")
    before = own.read_bytes()
    for path in (own, tmp_path):
        with pytest.raises(UserError, match="exists and holds something else; choose another file"):
            split_csv.write_assignments(path, store, split)
    assert own.read_bytes() == before
    for _ in range(2):
        split_csv.write_assignments(tmp_path / "splits.csv", store, split)


@pytest.mark.parametrize(
    "settings", [{"max_images": 9}, {"fold": "2/3"}, {"fold": "1/3", "max_images": 9}]
)
def test_images_that_a_split_leaves_out_are_unused_in_its_file(tmp_path, settings):
    store = make_large_store(tmp_path, [20, 40])
    split = assign.assign_splits(store, DataSettings(name="toy", **settings), seed=0)
    split_csv.write_assignments(tmp_path / "splits.csv", store, split)
    again = assign.assign_splits(store, settings_for(tmp_path / "splits.csv"), seed=0)
    assert ids_by_split(store, again) == ids_by_split(store, split)


def test_a_file_saved_by_a_spreadsheet_is_read(tmp_path):
    store = make_store(tmp_path, ["0", "1", "2"], (0, 0, 1))
    (tmp_path / "splits.csv").write_bytes(
        b'\xef\xbb\xbfid,split\r\n"0",train\r\n1,test\r\n2,train\r\n'
    )
    assert ids_by_split(
        store, assign.assign_splits(store, settings_for(tmp_path / "splits.csv"), seed=0)
    )["train"] == ["0", "2"]


def test_an_error_lists_all_mistakes_with_their_lines(tmp_path):
    store = make_store(tmp_path, ["0", "1", "2", "3", "4", "5", "6"])
    path = write(
        tmp_path / "splits.csv",
        "0,train",
        "1,tran",
        "0,test",
        "nothing,test",
        "2",
        "3,train,test",
        "4,train",
    )
    with pytest.raises(DataError) as caught:
        assign.assign_splits(store, settings_for(path), seed=0)
    assert str(caught.value).splitlines() == [
        "data.splits_file does not fit the data:",
        (
            f"  {path}:3: unknown split 'tran'; allowed: train, validation, test, unused (did you"
            " mean 'train'?)"
        ),
        f"  {path}:4: 0 is listed again, after line 2",
        f"  {path}:5: the data has no image nothing",
        f"  {path}:6: needs an id and a split; got 1 field",
        f"  {path}:7: needs an id and a split; got 3 fields",
        f"  {path} assigns no image to test",
        f"  {path} does not list 5 of 7 images, such as 1; list images to leave out as unused",
        f"correct {path}, or remove data.splits_file",
    ]


def test_an_error_lists_twenty_mistakes_and_counts_the_others(tmp_path):
    store = make_store(tmp_path, ["0", "1", "2"], (0, 0, 1))
    path = write(tmp_path / "splits.csv", *[f"none {number},test" for number in range(30)])
    with pytest.raises(DataError) as caught:
        assign.assign_splits(store, settings_for(path), seed=0)
    assert str(caught.value).splitlines()[20:22] == [
        f"  {path}:21: the data has no image none 19",
        "  and 12 more",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r":1: the header must be id,split; got nothing"),
        (b"split,id\n", r":1: the header must be id,split; got split,id"),
        (b"id\n0\n", r":1: the header must be id,split; got id"),
        (b'id,split\n"0,train\n', r":2: is not CSV: unexpected end of data; correct the quotes"),
    ],
)
def test_a_file_that_is_not_a_table_of_splits_is_an_error(tmp_path, content, message):
    (tmp_path / "splits.csv").write_bytes(content)
    with pytest.raises(DataError, match=message):
        assign.assign_splits(make_store(tmp_path), settings_for(tmp_path / "splits.csv"), seed=0)


def test_a_file_that_leaves_a_class_untrained_or_divides_a_group_is_an_error(tmp_path):
    store = make_store(tmp_path, ["0", "1", "2"], (0, 0, 1), ("one", "one", "two"))
    with pytest.raises(DataError, match="classes without training images: class 1"):
        assign.assign_splits(
            store, settings_for(write(tmp_path / "1.csv", "0,train", "1,train", "2,test")), seed=0
        )
    with pytest.raises(
        DataError, match=r"leakage: .* 'one' with 0 in train and 1 in test; correct .*2\.csv"
    ):
        assign.assign_splits(
            store, settings_for(write(tmp_path / "2.csv", "0,train", "1,test", "2,train")), seed=0
        )


def test_the_key_of_the_split_depends_on_the_content_of_the_file_not_its_path(tmp_path):
    one, same, other = (
        write(tmp_path / f"{name}.csv", *rows)
        for name, rows in (("1", ["0,train"]), ("2", ["0,train"]), ("3", ["0,test"]))
    )
    keys = [lookup.compute_split_key(settings_for(path), 0) for path in (one, same, other)]
    assert keys[0] == keys[1] != keys[2]
    one.unlink()
    with pytest.raises(
        DataError, match=r"cannot read data\.splits_file: .*1\.csv: No such file.*restore it"
    ):
        lookup.compute_split_key(settings_for(one), 0)


@pytest.mark.parametrize("limit", [4, 5, 17, 60, 1000])
def test_a_limit_takes_that_many_of_each_split_with_every_class_in_proportion(tmp_path, limit):
    store = make_large_store(tmp_path, [400, 300, 100, 10])
    whole = assign.assign_splits(store, DataSettings(name="toy"), seed=0)
    split = assign.assign_splits(store, DataSettings(name="toy", max_images=limit), seed=0)
    for name in SPLITS:
        chosen, everything = split.get_indices(name), whole.get_indices(name)
        assert len(chosen) == min(limit, len(everything))
        assert set(chosen) <= set(everything)
        assert (numpy.diff(chosen) > 0).all()
        counts = numpy.bincount(store.labels[chosen], minlength=4)
        exact = (
            numpy.bincount(store.labels[everything], minlength=4) * len(chosen) / len(everything)
        )
        assert counts.min() >= 1
        # Rare classes get more than their proportion, at the cost of the others.
        if exact.min() >= 1:
            assert numpy.abs(counts - exact).max() < 1


def test_another_seed_chooses_other_images_and_mean_is_of_the_chosen_ones(tmp_path):
    store = make_large_store(tmp_path, [100, 100])
    one, other = (
        assign.assign_splits(store, DataSettings(name="toy", max_images=10), seed)
        for seed in (0, 1)
    )
    assert one.train.tolist() != other.train.tolist()
    pixels = numpy.fromfile(store.folder / "images.u8", numpy.uint8).reshape(200, 2, 2, 1)
    numpy.testing.assert_allclose(one.mean, pixels[one.train].mean(axis=(0, 1, 2)), rtol=1e-6)


def test_a_limit_below_the_number_of_classes_is_an_error_that_says_the_lowest_possible(tmp_path):
    store = make_large_store(tmp_path, [30, 30, 30])
    with pytest.raises(
        DataError,
        match=(
            r"data\.max_images is 2, but the train split has images of 3 classes.*set it to at"
            r" least 3"
        ),
    ):
        assign.assign_splits(store, DataSettings(name="toy", max_images=2), seed=0)
    assert (
        len(assign.assign_splits(store, DataSettings(name="toy", max_images=3), seed=0).train) == 3
    )
