"""The demonstrations of transfer learning: their data, their experiments, and the tables in the
documentation.
"""

import csv
import io
import json
import tarfile
from pathlib import Path

import numpy
import pytest

from bench.transfer import _measure, _tables, emoji, fashion
from imgcls.experiment_file import read_experiment

ROOT = Path(__file__).parent.parent
EXPERIMENTS = sorted((ROOT / "bench" / "transfer").glob("*.yaml"))
LABELS = {"train_labels": numpy.repeat([0, 1, 2], 400), "test_labels": numpy.repeat([0, 1], 5)}


def read_splits(folder, draw):
    fashion.write_draw(LABELS, draw, folder / "draw.csv")
    with (folder / "draw.csv").open(newline="") as stream:
        return {row["id"]: row["split"] for row in csv.DictReader(stream)}


def select(splits, name):
    return {image for image, split in splits.items() if split == name}


def make_trained(method, number, accuracy):
    return _measure.Trained(
        task="toy",
        method=method,
        number=number,
        images=100,
        accuracy=accuracy,
        interval=(accuracy - 0.02, accuracy + 0.02),
        cpu_seconds=10.0 + number,
        processor="2 cores",
        versions={},
        command="imgcls train",
    )


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_experiment_is_valid(path):
    assert read_experiment(path).name == path.stem


def test_the_networks_that_are_compared_see_the_same_images():
    first, second = (
        read_experiment(ROOT / "bench" / "transfer" / f"{name}.yaml")
        for name in emoji.EXPERIMENTS.values()
    )
    assert (first.model.weights, second.model.weights) == ("imagenet", None)
    assert first.data.model_copy(update={"size": second.data.size}) == second.data
    assert first.augment == second.augment


def test_a_draw_trains_on_twenty_images_of_each_class_and_tests_on_all(tmp_path):
    splits = read_splits(tmp_path, draw=1)
    numbers = [int(image.rpartition("/")[2]) for image in select(splits, "train")]
    assert numpy.bincount(LABELS["train_labels"][numbers]).tolist() == [20, 20, 20]
    assert select(splits, "test") == {f"test_images/{index:07d}" for index in range(10)}
    assert select(splits, "validation") == set()


def test_no_draw_trains_on_images_by_which_the_settings_were_chosen(tmp_path):
    choice = read_splits(tmp_path, fashion.CHOICE_DRAW)
    held_out = select(choice, "validation")
    assert len(held_out) == 3 * fashion.CHOICE_IMAGES
    trained = [select(read_splits(tmp_path, draw), "train") for draw in fashion.DRAWS]
    assert not any(held_out & images for images in trained)
    assert len(set(map(frozenset, trained))) == len(fashion.DRAWS)


def test_flags_and_other_vendors_are_left_out_of_the_images_of_a_vendor(tmp_path, monkeypatch):
    monkeypatch.setattr(emoji, "DATA", tmp_path)
    listed = [
        {"image": "a.png", "category": "Objects"},
        {"image": "b.png", "category": "Flags"},
        {"image": "c.png", "category": "Symbols"},
    ]
    contents = {f"img/apple/64/{name}.png": name.encode() for name in "ab"}
    contents |= {"img/google/64/c.png": b"c", "emoji.json": json.dumps(listed).encode()}
    with tarfile.open(tmp_path / "apple.tgz", "w:gz") as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    rows = emoji.extract(tmp_path / "apple.tgz", "apple")
    assert rows == [("apple/a.png", "Objects", "apple")]
    assert (tmp_path / "apple" / "a.png").read_bytes() == b"a"


def test_a_vendor_is_a_group_and_the_test_vendor_is_in_no_other_split(tmp_path):
    rows = [(f"{vendor}/a.png", "Objects", vendor) for vendor in ("google", "apple")]
    emoji.write_list(rows, tmp_path / "list.csv")
    lines = (tmp_path / "list.csv").read_text().splitlines()[1:]
    assert lines == ["google/a.png,Objects,train,google", "apple/a.png,Objects,test,apple"]


def test_the_tables_have_mean_std_and_the_widest_interval():
    accuracies = [0.8, 0.9, 0.85]
    difference = {"task": "toy", "old": "a", "new": "b"}
    results = _measure.Results(
        trained=[make_trained("b", number, each) for number, each in enumerate(accuracies)],
        differences=[
            _measure.Difference(**difference, number=1, difference=0.02, interval=(0.01, 0.03)),
            _measure.Difference(**difference, number=2, difference=0.01, interval=(-0.01, 0.03)),
        ],
    )
    lines = _tables.format_tables(results, "toy", {"a": "random", "b": "with weights"}).splitlines()
    mean, std = numpy.mean(accuracies), numpy.std(accuracies, ddof=1)
    assert lines[2].startswith(f"| with weights | 3 | {mean:.3f} ± {std:.3f} | 0.726 to 0.974 |")
    assert lines[2].endswith("| ± 0.020 | 11 s |")
    assert "| +0.015 ± 0.007 | -0.049 to +0.079 | ± 0.020 | 1 of 2 |" in lines[-1]


@pytest.mark.parametrize("module", [fashion, emoji])
def test_the_page_has_the_tables_of_what_was_measured(module):
    results = _measure.read_results(module.RESULTS)
    page = (ROOT / "docs" / "transfer.md").read_text()
    assert _tables.format_tables(results, module.TASK, module.TITLES) in page
