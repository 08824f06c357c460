"""Where a model fails: the results of every image, the worst classes, the hardest images, and
groups of images.
"""

import csv
import dataclasses
import json
from pathlib import Path

import numpy
import pytest
from experiments import source_of, stored
from scipy.stats import ttest_1samp
from synthetic_run import NASTY, make_predictions, make_run

from imgcls.config import Evaluate
from imgcls.datasets import Entry
from imgcls.errors import DataError, UserError
from imgcls.evaluation import failures, groups, image_results
from imgcls.evaluation.intervals import compute_wilson_interval
from imgcls.evaluation.predictions import Predictions
from imgcls.result_folder import ResultFolder
from imgcls.verbs import evaluate


def write(folder: Path, found: Predictions) -> tuple[list[dict[str, str]], list[dict]]:
    """Return the rows of images.csv and images.jsonl."""
    results = ResultFolder(folder)
    image_results.write_image_results(results, "test", found)
    path = results.image_results_file("test", "csv")
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as stream:
        rows = list(csv.DictReader(stream))
    lines = results.image_results_file("test", "jsonl").read_text().splitlines()
    return rows, [json.loads(line) for line in lines]


# Every image.


def test_both_files_have_the_saved_predictions_to_the_last_bit(tmp_path):
    made = make_predictions(len(NASTY), 4)
    rows, lines = write(tmp_path, made)
    assert [row["filepath"] for row in rows] == [line["filepath"] for line in lines] == made.ids
    for i, (row, line) in enumerate(zip(rows, lines, strict=True)):
        expected = dict(zip(made.classes, made.probabilities[i].tolist(), strict=True))
        assert {name: numpy.float32(p) for name, p in line["probabilities"].items()} == expected
        assert all(numpy.float32(row[f"probability_{name}"]) == p for name, p in expected.items())
        assert row["predicted"] == line["predicted"] == made.classes[made.predicted[i]]
        assert row["correct"] == str(line["correct"]) == str(made.predicted[i] == made.labels[i])
        assert numpy.float32(line["self_confidence"]) == expected[line["label"]]
        assert numpy.float32(line["confidence"]) == max(expected.values())


def test_the_columns_are_what_cleanlab_takes(tmp_path):
    """cleanlab.filter.find_label_issues takes whole numbers and a matrix with a column each."""
    made = make_predictions(3, 5)
    rows, _ = write(tmp_path, made)
    names = [name for name in rows[0] if name.startswith("probability_")]
    matrix = numpy.array([[float(row[name]) for name in names] for row in rows])
    labels = numpy.array([int(row["label_number"]) for row in rows])
    assert labels.tolist() == made.labels.tolist()
    scores = matrix[numpy.arange(len(labels)), labels]
    assert scores.tolist() == pytest.approx([float(row["self_confidence"]) for row in rows])


def test_of_many_classes_the_five_most_probable_are_listed(tmp_path):
    rows, lines = write(tmp_path, make_predictions(101, 1))
    assert not [name for name in rows[0] if name.startswith("probability_")]
    for line in lines:
        assert len(line["probabilities"]) == 5
        assert line["confidence"] == max(line["probabilities"].values())
        assert next(iter(line["probabilities"])) == line["predicted"]


def test_chunks_change_no_byte(tmp_path, monkeypatch):
    made = make_predictions(3, 5)
    whole = write(tmp_path / "whole", made)
    monkeypatch.setattr("imgcls.evaluation.chunks.ELEMENTS", 6)
    assert write(tmp_path / "chunks", made) == whole


# Classes and images.


def test_the_worst_classes_have_the_lowest_recall_with_wilsons_interval():
    made = make_predictions(30, 8)
    rows = failures.list_worst_classes(made, 0.95)
    recall = [(made.predicted[made.labels == label] == label).mean() for label in range(30)]
    assert [row["recall"] for row in rows] == sorted(recall)[:10]
    for row in rows:
        label = made.classes.index(row["class"])
        assert row["recall"] == recall[label]
        assert (row["low"], row["high"]) == compute_wilson_interval(
            round(8 * recall[label]), 8, 0.95
        )
        wrong = made.predicted[(made.labels == label) & (made.predicted != label)].tolist()
        taken_for = made.classes.index(row["mostly_predicted_as"])
        assert wrong.count(taken_for) == max(map(wrong.count, wrong))


def test_the_hardest_images_have_the_highest_loss_in_whatever_order_the_images_are():
    made = make_predictions(5, 9)
    rows = failures.list_hardest_images(made)
    true = made.probabilities[numpy.arange(45), made.labels]
    assert [row["probability"] for row in rows] == sorted(true.tolist())[:10]
    order = numpy.random.default_rng(1).permutation(45)
    shuffled = Predictions(
        made.probabilities[order],
        made.labels[order],
        [made.ids[i] for i in order],
        made.classes,
        made.model,
        1.0,
    )
    assert failures.list_hardest_images(shuffled) == rows


def test_without_a_mistake_no_class_is_listed():
    eye = numpy.eye(3, dtype=numpy.float32)
    made = Predictions(eye, numpy.arange(3, dtype=numpy.int32), list("abc"), list("xyz"), "", 1.0)
    assert failures.list_worst_classes(made, 0.95) == []
    assert [row["image"] for row in failures.list_hardest_images(made)] == list("abc")


# Groups.


def measure(values: list[str], made: Predictions) -> dict:
    return groups.measure_groups({"camera": values}, made, 0.95)


def test_a_groups_numbers_are_those_of_its_images_alone():
    made = make_predictions(3, 20)
    values = [("left", "right")[i % 3 == 0] for i in range(60)]
    for row in measure(values, made)["groups"]:
        inside = numpy.array(values) == row["group"]
        correct = (made.predicted == made.labels)[inside]
        assert (row["images"], row["accuracy"]) == (inside.sum(), correct.mean())
        low, high = compute_wilson_interval(int(correct.sum()), len(correct), 0.95)
        assert (row["accuracy_low"], row["accuracy_high"]) == (low, high)
        losses = -numpy.log(made.probabilities[inside, made.labels[inside]].astype(float))
        interval = ttest_1samp(losses, 0).confidence_interval(0.95)
        assert row["log_loss"] == pytest.approx(losses.mean())
        assert row["log_loss_high"] == pytest.approx(interval.high)


def test_newcombes_interval_is_that_of_his_paper():
    """Newcombe, 1998, table II, method 10: 56/70 and 48/80, 9/10 and 3/10, 0/10 and 0/20."""
    for one, other, low, high in (
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((0, 10), (0, 20), -0.1611, 0.2775),
    ):
        found = groups.compute_newcombe_interval(one, other, 0.95)
        assert found == pytest.approx((low, high), abs=1e-4)


def test_the_gap_is_that_of_the_two_extreme_groups_and_allows_for_their_choice():
    labels = numpy.zeros(90, numpy.int32)
    probabilities = numpy.tile(numpy.float32([0.9, 0.1]), (90, 1))
    probabilities[:15] = [0.1, 0.9]  # mistakes: 15 of the first 30, 3 of the second
    probabilities[30:33] = [0.1, 0.9]
    made = Predictions(probabilities, labels, list(map(str, range(90))), ["a", "b"], "", 1.0)
    (gap,) = measure(["x"] * 30 + ["y"] * 30 + ["z"] * 30, made)["group_gaps"]
    assert (gap["lowest"], gap["highest"], gap["gap"]) == ("x", "z", 0.5)
    expected = groups.compute_newcombe_interval((30, 30), (15, 30), 1 - 0.05 / 3)
    assert (gap["gap_low"], gap["gap_high"]) == expected


def test_groups_of_one_image_have_wide_intervals_and_no_part_in_the_gap():
    tables = measure([str(i) for i in range(24)], make_predictions(3, 8))
    assert {row["images"] for row in tables["groups"]} == {1}
    assert all(row["log_loss_low"] is None for row in tables["groups"])
    assert all(row["accuracy_high"] - row["accuracy_low"] > 0.7 for row in tables["groups"])
    (gap,) = tables["group_gaps"]
    assert (gap["groups"], gap["compared"], gap["gap"]) == (24, 0, None)


def test_a_random_group_is_no_gap_and_a_real_one_is():
    made = make_predictions(3, 200)
    generator = numpy.random.default_rng(0)
    (gap,) = measure(generator.choice(list("abcd"), 600).tolist(), made)["group_gaps"]
    assert gap["gap_low"] < 0 < gap["gap"] < gap["gap_high"]
    right = numpy.where(made.predicted == made.labels, "bright", "dark")
    right[:30] = "dark"
    (gap,) = measure(right.tolist(), made)["group_gaps"]
    assert gap["gap_low"] > 0


def run_with_groups(tmp_path: Path, text: str, name: str = "list.csv", **changes):
    """Evaluate a synthetic run of 24 images with a list of groups."""
    (tmp_path / name).write_text(text)
    settings = {"bootstrap_samples": 100, "groups_file": str(tmp_path / name)}
    run = make_run(tmp_path / "run", evaluate={**settings, "groups": ["camera"], **changes})
    return evaluate.evaluate(run, run.experiment, "test")


CAMERAS = [(name, "left" if i % 2 else "") for i, name in enumerate(make_predictions(3, 8).ids)]


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl"])
def test_a_list_gives_every_image_its_group(tmp_path, kind):
    delimiter = {"csv": ",", "tsv": "\t"}.get(kind)
    lines = [f"{name}{delimiter}{camera}" for name, camera in [("path", "camera"), *CAMERAS]]
    if kind == "jsonl":
        lines = [json.dumps({"path": name, "camera": camera}) for name, camera in CAMERAS]
    found = run_with_groups(tmp_path, "\n".join(lines), f"list.{kind}")
    assert {row["group"]: row["images"] for row in found.tables["groups"]} == {
        "left": 12,
        "(none)": 12,
    }
    report = evaluate.format_report(found, tmp_path / "run")
    assert "group_gaps" in report


@pytest.mark.parametrize(
    ("text", "name", "error", "message"),
    [
        ("path,site\na,b\n", "list.csv", UserError, "no column 'camera'.*it has path, site"),
        ("camera\nleft\n", "list.csv", UserError, "no column 'path'"),
        ("path,camera\ntest/0/0,left\n", "list.csv", DataError, "23 of 24 images are not in"),
        ("[1]\n", "list.jsonl", UserError, "cannot read"),
        ("path,camera\n", "list.txt", UserError, "does not end in .csv, .tsv or .jsonl"),
        ("", "list.csv", UserError, "no column 'path'"),
    ],
)
def test_a_wrong_list_is_an_error_of_one_line(tmp_path, text, name, error, message):
    with pytest.raises(error, match=message) as raised:
        run_with_groups(tmp_path, text, name)
    assert "\n" not in str(raised.value)


def test_a_missing_list_is_an_error(tmp_path):
    run = make_run(tmp_path / "run", evaluate={"groups": ["x"], "groups_file": "absent.csv"})
    with pytest.raises(UserError, match=r"cannot read absent\.csv"):
        evaluate.evaluate(run, run.experiment, "test")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"groups": ["camera"]}, "needs a groups_file"),
        ({"groups": ["group", "group"]}, "lists a column twice"),
        ({"groups_file": "list.csv"}, "without groups"),
    ],
)
def test_settings_of_groups_that_contradict_each_other_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Evaluate.model_validate(settings)


def test_the_groups_of_the_data_set_are_those_of_its_store(tmp_path):
    run = make_run(tmp_path / "run", evaluate={"bootstrap_samples": 100, "groups": ["group"]})
    with pytest.raises(UserError, match="the data set digits has no groups"):
        evaluate.evaluate(run, run.experiment, "test")
    made = make_predictions(2, 6)
    entries = [Entry(name, i // 6, "test", f"patient {i % 2}") for i, name in enumerate(made.ids)]
    store = stored(
        tmp_path / "grouped",
        source_of(numpy.zeros((12, 2, 2, 1), numpy.uint8), entries, ["a", "b"]),
    )
    changed = run.data.model_copy(update={"fingerprint": store.fingerprint, "dataset": "toy"})
    opened = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            groups.lookup, "open_run_store", lambda *given: opened.append(given) or (store, None)
        )
        found = groups.find_groups(
            changed, run.experiment, dataclasses.replace(made, classes=["a", "b"])
        )
    assert found == {"group": ["patient 0", "patient 1"] * 6}
    assert len(opened) == 1
