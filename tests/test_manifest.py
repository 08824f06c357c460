"""A list of images: read as it is, or an error that names every mistake with its line."""

import contextlib
import csv
import json
import os

import numpy
import pytest
from experiments import stored_pixels
from PIL import Image

from imgcls.datasets import BadImage, manifest
from imgcls.errors import DataError
from imgcls.split import assign
from imgcls.verbs import prepare as prepare_verb

SHADES = {"a.png": 10, "deep/b.png": 20, "c c.png": 30, "d,'\".png": 40, "é\n.png": 50}
ROWS = [
    {"path": "c c.png", "label": "dog", "split": "test", "weight": 2.5, "group": "p2"},
    {"path": "./a.png", "label": "cat", "split": "train", "weight": 0, "group": "p1"},
    {"path": "deep/../deep/b.png", "label": "cat", "split": "validation"},
    {"path": "d,'\".png", "label": "dog", "group": "p1"},
    {"path": "é\n.png", "label": "Zebra, plains", "weight": 1},
]


@pytest.fixture
def photos(tmp_path):
    """A folder of images of one shade each."""
    folder = tmp_path / "photos"
    for name, shade in SHADES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4), shade).save(folder / name)
    return folder


def write(folder, kind, rows=ROWS):
    path = folder / f"list.{kind}"
    if kind == "jsonl":
        path.write_text("\n".join(json.dumps(row) for row in rows))
        return path
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(
            stream,
            ["label", "path", "split", "weight", "group"],
            delimiter="\t" if kind == "tsv" else ",",
        )
        writer.writeheader()
        writer.writerows(rows)
    return path


def settings(path, **changes):
    store = str(path.parent.parent / "stores")
    return manifest.Settings(
        **{"name": "manifest", "path": str(path), "store_dir": store, "size": [4, 4], "channels": 1}
        | changes
    )


def prepare(path, **changes):
    return manifest.prepare(settings(path, **changes))


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl"])
def test_every_format_gives_the_same_entries(photos, kind):
    source = prepare(write(photos, kind))
    assert source.classes == ["Zebra, plains", "cat", "dog"]
    assert [
        (entry.id, entry.label, entry.split, entry.group, entry.weight) for entry in source.entries
    ] == [
        ("a.png", 1, "train", "p1", 0.0),
        ("c c.png", 2, "test", "p2", 2.5),
        ("d,'\".png", 2, "train", "p1", 1.0),
        ("deep/b.png", 1, "validation", None, 1.0),
        ("é\n.png", 0, "train", None, 1.0),
    ]


def test_the_order_of_the_lines_and_the_format_do_not_change_the_store(photos):
    first, _ = prepare_verb.find_or_store(settings(write(photos, "csv")))
    second, _ = prepare_verb.find_or_store(settings(write(photos, "jsonl", ROWS[::-1])))
    assert first.fingerprint == second.fingerprint
    assert stored_pixels(first)[:, 0, 0, 0].tolist() == [
        SHADES[name] for name in first.get_ids(numpy.arange(5))
    ]
    assert first.weights.tolist() == [0, 2.5, 1, 1, 1]
    assert first.groups.tolist()[:3] == [b"p1", b"p2", b"p1"]


def test_absolute_paths_are_allowed(photos, tmp_path):
    (tmp_path / "lists").mkdir()
    rows = [{"path": str(photos / name), "label": name[0]} for name in ("a.png", "c c.png")]
    source = prepare(write(tmp_path / "lists", "csv", rows))
    assert [entry.id for entry in source.entries] == [
        str(photos / "a.png"),
        str(photos / "c c.png"),
    ]


def test_a_file_name_that_is_not_utf8_can_be_written_in_json(photos):
    name = os.fsdecode(b"\xff.png")
    Image.new("L", (4, 4), 60).save(photos / name)
    path = write(photos, "jsonl", [{"path": name, "label": "x"}, {"path": "a.png", "label": "y"}])
    store, _ = prepare_verb.find_or_store(settings(path))
    assert store.get_ids(numpy.arange(2)) == ["a.png", name]
    assert stored_pixels(store)[1].max() == 60


def test_windows_line_ends_and_blank_lines_do_not_matter(photos):
    path = photos / "list.csv"
    path.write_bytes(b"path,label\r\na.png,x\r\n\r\nc c.png,y\r\n")
    assert [entry.id for entry in prepare(path).entries] == ["a.png", "c c.png"]


def assert_mistake_in_line_3(path, content, message):
    text = read_mistakes(path, content)
    assert f"{path}:3: " in text
    assert message in text


def read_mistakes(path, content, **changes):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError) as caught:
        prepare(path, **changes)
    return str(caught.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("gone.png,cat,,,", "there is no file 'gone.png'"),
        ("deep,cat,,,", "there is no file 'deep'"),
        (",cat,,,", "path is missing or empty"),
        ("a.png,,,,", "label is missing or empty"),
        ('a.png,"c\nat",,,', "label must be printable text; got"),
        ("A.PNG,cat,,,", "but 'a.png' is there, in other case or form: did you mean it?"),
        ("DEEP/b.png,cat,,,", "but 'deep/b.png' is there, in other case or form"),
        ("deep/bb.png,cat,,,", "did you mean 'deep/b.png'?"),
        ("a.png,cat,val,,", "unknown split 'val'; allowed: train, validation, test"),
        ("a.png,cat,,-1,", "weight must be a finite number of at least 0; got -1.0"),
        ("a.png,cat,,nan,", "weight must be a finite number of at least 0; got nan"),
        ("a.png,cat,,inf,", "weight must be a finite number of at least 0; got inf"),
        ("a.png,cat,,heavy,", "weight must be a finite number of at least 0; got 'heavy'"),
        ("a.png,cat", "has 2 fields, but the header has 5"),
        ("./c c.png,dog,,,", "names the file of line 2 again: 'c c.png'"),
        ("a\0.png,cat,,,", "path holds a zero byte"),
        ('a.png,"cat', "is not CSV: unexpected end of data"),
    ],
)
def test_an_error_names_the_line_of_a_mistake_in_csv(photos, line, message):
    assert_mistake_in_line_3(
        photos / "list.csv", f"path,label,split,weight,group\nc c.png,dog,,,one\n{line}\n", message
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "is not JSON: Expecting property name"),
        ("[" * 100_000, "is not JSON: "),
        ('"a.png"', "must be a JSON object such as"),
        ('{"path": "a.png"}', "label is missing or empty"),
        ('{"path": "a.png", "label": 3}', "label must be text; got 3"),
        ('{"path": ["a.png"], "label": "x"}', "path must be text; got ['a.png']"),
        (
            '{"path": "a.png", "label": "x", "wieght": 1}',
            "unknown key 'wieght'; allowed: path, label, split, weight, group (did you mean",
        ),
        (
            '{"path": "a.png", "label": "x", "weight": true}',
            "weight must be a finite number of at least 0; got True",
        ),
        (
            '{"path": "a.png", "label": "x", "weight": NaN}',
            "weight must be a finite number of at least 0; got nan",
        ),
        (
            f'{{"path": "a.png", "label": "x", "weight": {"9" * 400}}}',
            "weight must be a finite number of at least 0; got 999",
        ),
        (
            '{"path": "a.png", "label": "x", "weight": 1e999}',
            "weight must be a finite number of at least 0; got inf",
        ),
        ('{"path": "a\\ud800.png", "label": "x"}', "path holds half of a surrogate pair"),
        ('{"path": "a.png", "label": "x\\u0000"}', "label must be printable"),
        ('{"path": "a.png", "label": "x", "group": 7}', "group must be text; got 7"),
    ],
)
def test_an_error_names_the_line_of_a_mistake_in_json_lines(photos, line, message):
    assert_mistake_in_line_3(
        photos / "list.jsonl", f'{{"path": "c c.png", "label": "dog"}}\n\n{line}\n', message
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", ":1: has no header"),
        ("file,class\n", ":1: unknown column 'file'"),
        ("path,labels\n", ":1: the header lacks label"),
        ("path,label,label\n", ":1: the header names label more than once"),
        ("path,label\n", "lists 0 images of 0 class"),
        (
            "path,label\na.png,x\n",
            "lists 1 images of 1 class; a classifier needs at least two classes",
        ),
        (b"path,label\na.png,caf\xe9\n", ":2: byte 10 is not UTF-8: b'\\xe9'"),
        (b"\xff\xfep", ":1: is not UTF-16, as its byte order mark says"),
    ],
)
def test_an_error_says_what_is_wrong_with_the_file(photos, content, message):
    assert message in read_mistakes(photos / "list.csv", content)


def test_an_error_lists_the_first_twenty_mistakes_and_counts_all(photos):
    lines = [f"{number}.png,cat,{'' if number % 2 else 'val'}" for number in range(30)]
    text = read_mistakes(photos / "list.csv", "\n".join(["path,label,split", *lines])).splitlines()
    assert text[0] == "30 mistakes in the manifest; correct them:"
    assert (
        text[1]
        == f"  {photos / 'list.csv'}:2: unknown split 'val'; allowed: train, validation, test"
    )
    assert text[2] == f"  {photos / 'list.csv'}:3: there is no file '1.png' in {photos}"
    assert text[-1] == "  and 10 more"
    assert len(text) == 22


def test_missing_files_are_bad_images_if_these_are_skipped(photos):
    path = write(photos, "csv", [*ROWS, {"path": "gone.png", "label": "cat"}])
    store, _ = prepare_verb.find_or_store(settings(path, on_bad_image="skip"))
    assert store.manifest.bad_images == [
        BadImage(id="gone.png", problem="cannot be read: No such file or directory")
    ]
    assert store.count == 5


def test_another_extension_and_a_missing_file_are_errors(photos):
    (photos / "list.txt").write_text("path,label\n")
    with pytest.raises(DataError, match=r"list.txt does not end in .csv, .tsv or .jsonl"):
        prepare(photos / "list.txt")
    with pytest.raises(DataError, match=r"cannot read .*nowhere.csv: No such file"):
        prepare(photos / "nowhere.csv")


def test_random_damage_is_an_error_or_harmless(photos):
    data = write(photos, "csv").read_bytes()
    random = numpy.random.default_rng(0)
    for kind in ("csv", "tsv", "jsonl"):
        data = write(photos, kind).read_bytes()
        for _ in range(60):
            damaged = numpy.frombuffer(data, numpy.uint8).copy()
            damaged[random.integers(0, len(data), 3)] = random.integers(0, 256, 3)
            (photos / f"list.{kind}").write_bytes(damaged.tobytes())
            with contextlib.suppress(DataError):
                assert prepare(photos / f"list.{kind}").entries


def test_a_group_in_two_splits_of_the_list_is_an_error(photos):
    rows = [
        {"path": name, "label": "cd"[index % 2], "split": ("train", "test")[index > 1]}
        for index, name in enumerate(SHADES)
    ]
    rows[0]["group"] = rows[2]["group"] = "p1"
    store, _ = prepare_verb.find_or_store(settings(write(photos, "csv", rows)))
    with pytest.raises(
        DataError, match=r"leakage: .* such as 'p1' with a.png in train and c c.png in test"
    ):
        assign.assign_splits(store, settings(write(photos, "csv", rows), validation=0.0), 0)
