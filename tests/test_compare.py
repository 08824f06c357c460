"""`imgcls compare`: what differs between runs on the same images, and what that shows."""

import hashlib
import json
from pathlib import Path

import numpy
import pytest
from compared_runs import make_compared, make_pair, set_correct
from experiments import change_json, command, json_of
from scipy import stats

from imgcls.comparison import page
from imgcls.errors import GateError
from imgcls.evaluation import predictions
from imgcls.run import Run
from imgcls.verbs.compare import compare


@pytest.fixture(autouse=True)
def without_page(monkeypatch):
    """Draw nothing, which takes longer than all else; test_comparison_page.py tests the page."""
    monkeypatch.setattr(page, "write_page", lambda *arguments: None)


@pytest.fixture
def pair(workspace) -> tuple[Run, Run]:
    """Two runs, `old` and `new`, of which the second has more images right."""
    return make_pair()


def set_counts(pair, both_right: int, only_old: int, only_new: int) -> None:
    """Change which images the runs have right; all others are wrong for both."""
    images = numpy.arange(24)
    set_correct(pair[0], images < both_right + only_old, 0)
    only = (images >= both_right + only_old) & (images < both_right + only_old + only_new)
    set_correct(pair[1], (images < both_right) | only, 1)


def list_content(folder: Path) -> dict[Path, str]:
    return {
        path: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def find_metric(comparison, name: str):
    (found,) = [each for each in comparison.comparisons[0].metrics if each.metric == name]
    return found


# The numbers.


def test_the_four_counts_of_images_and_mcnemars_test_are_those_of_the_predictions(pair):
    set_counts(pair, both_right=10, only_old=1, only_new=9)
    found = json_of("compare", "old", "new")["comparisons"][0]["agreement"]
    counts = [found[key] for key in ("both_right", "only_old", "only_new", "both_wrong")]
    assert counts == [10, 1, 9, 4]
    assert found["p_value"] == pytest.approx(stats.binomtest(1, 10).pvalue)
    assert found["adjusted_p_value"] == found["p_value"]


def test_each_metric_has_both_values_of_the_evaluations_and_their_difference(pair):
    found = compare([Path("old"), Path("new")])
    evaluated = [json_of("eval", run.folder)["metrics"] for run in pair]
    assert {each.metric for each in found.comparisons[0].metrics} == evaluated[0].keys()
    for each in found.comparisons[0].metrics:
        before, after = (metrics[each.metric] for metrics in evaluated)
        assert (each.old, each.new) == (before, after)
        assert each.difference == (None if before is None else after - before)


def test_the_accuracy_has_wilsons_interval_for_each_run(pair):
    set_counts(pair, both_right=10, only_old=1, only_new=9)
    found = compare([Path("old"), Path("new")])
    for each, right in zip(found.candidates, (11, 19), strict=True):
        expected = stats.binomtest(right, 24).proportion_ci(method="wilson")
        assert each.accuracy_interval == pytest.approx(tuple(expected))


def test_classes_are_listed_from_the_largest_gain_to_the_largest_loss(pair):
    labels = predictions.load(pair[0], "test").labels
    set_correct(pair[0], labels != 1)
    set_correct(pair[1], labels != 2)
    found = compare([Path("old"), Path("new")]).comparisons[0].classes
    classes = predictions.load(pair[0], "test").classes
    rows = [(each.name, each.gained, each.lost, each.old, each.new) for each in found]
    assert rows == [
        (classes[1], 8, 0, 0, 1),
        (classes[0], 0, 0, 1, 1),
        (classes[2], 0, 8, 1, 0),
    ]
    p_value = stats.binomtest(0, 8).pvalue
    assert [each.p_value for each in found] == pytest.approx([3 * p_value, 1, 3 * p_value])


def test_several_runs_are_each_compared_with_the_first_and_p_values_adjusted(pair):
    make_compared(Path("third"), 0.5, 2)
    found = compare([Path("old"), Path("new"), Path("third")])
    assert [(each.old, each.new) for each in found.comparisons] == [
        ("old", "new"),
        ("old", "third"),
    ]
    agreements = [each.agreement for each in found.comparisons]
    small, large = sorted(agreements, key=lambda each: each.p_value)
    assert small.adjusted_p_value == pytest.approx(min(1, 2 * small.p_value))
    assert large.adjusted_p_value == pytest.approx(max(large.p_value, small.adjusted_p_value))
    alone = compare([Path("old"), Path("third")]).comparisons[0]
    assert alone.metrics == found.comparisons[1].metrics


# What is concluded.


def test_one_run_on_each_side_is_never_called_better(pair):
    set_counts(pair, both_right=1, only_old=0, only_new=23)
    found = compare([Path("old"), Path("new")]).comparisons[0]
    assert found.metrics[0].conclusion == "higher"
    assert "new has a higher accuracy on these images, by 0.9583" in found.sentence
    assert "the difference may be due to the seed alone" in found.sentence
    assert "better" not in json.dumps([each.conclusion for each in found.metrics])


def test_a_small_difference_is_not_shown(pair):
    set_counts(pair, both_right=10, only_old=2, only_new=3)
    found = compare([Path("old"), Path("new")]).comparisons[0]
    assert found.metrics[0].conclusion == "no_difference_shown"
    assert found.sentence.startswith("No difference in accuracy shown: its 95 % confidence")


def test_four_images_that_tell_two_models_apart_are_too_few(pair):
    set_counts(pair, both_right=20, only_old=0, only_new=4)
    found = compare([Path("old"), Path("new")]).comparisons[0]
    assert found.metrics[0].interval[0] > 0
    assert found.agreement.p_value == pytest.approx(0.125)
    assert found.metrics[0].conclusion == "no_difference_shown"
    assert "only 4 images tell the two apart" in found.sentence


@pytest.mark.parametrize("name", ["old", "copy"])
def test_identical_predictions_are_no_difference(pair, name):
    copied = make_compared(Path("copy"), 0.6, 0)
    assert copied.folder.is_dir()
    exit_code, stdout, stderr = command("compare", "old", name)
    assert exit_code == 0
    assert "No difference found: identical predictions." in stdout
    assert ("note: old is given twice" in stderr) == (name == "old")


def test_it_is_said_that_models_were_selected_on_the_validation_split(pair):
    for run in pair:
        saved = predictions.load(run, "test")
        data = json.loads(run.data_file.read_text())
        data["sizes"]["validation"] = data["sizes"]["test"]
        data["class_counts"]["validation"] = data["class_counts"]["test"]
        run.data_file.write_text(json.dumps(data))
        predictions.save(saved, run.predictions_file("validation"))
    exit_code, stdout, _ = command("compare", "old", "new", "--split", "validation")
    assert exit_code == 0
    assert "The epochs were selected, and temperatures fitted, on these images." in stdout


# What differs.


def test_only_settings_that_differ_are_listed_with_their_defaults(pair):
    make_compared(Path("other"), 0.5, 2, train={"batch_size": 64}, seed=3)
    found = compare([Path("old"), Path("other")])
    rows = {each.key: each.values for each in found.settings}
    assert rows["train.batch_size"] == [128, 64]
    assert rows["seed"] == [0, 3]
    assert set(rows) == {"train.batch_size", "seed"}


def test_versions_and_devices_that_differ_are_listed(pair):
    content = json.loads(pair[1].environment_file.read_text())
    content["versions"]["keras"] = "3.0.0"
    change_json(pair[1].environment_file, versions=content["versions"], devices=["GPU:0"])
    found = compare([Path("old"), Path("new")])
    keras = pair[0].environment.versions["keras"]
    assert {each.key: each.values for each in found.environment} == {
        "versions.keras": [keras, "3.0.0"],
        "devices.0": ["CPU:0", "GPU:0"],
    }


def test_image_sizes_that_differ_are_listed(pair):
    height, width, channels = pair[0].data.shape
    change_json(pair[1].data_file, shape=[height + 1, width + 2, channels])
    found = compare([Path("old"), Path("new")])
    assert {each.key: each.values for each in found.data} == {
        "shape.0": [height, height + 1],
        "shape.1": [width, width + 2],
    }


def test_a_run_without_a_record_of_its_environment_is_still_compared(pair):
    pair[0].environment_file.unlink()
    exit_code, stdout, stderr = command("compare", "old", "new")
    assert exit_code == 0
    assert "note: environments are not compared: cannot read old/environment.json" in stderr
    assert "environment: not compared" in stdout


def test_size_and_training_of_a_model_are_those_of_its_files(pair):
    found = compare([Path("old"), Path("new")]).candidates[0].properties
    log = pair[0].log
    assert found.epochs == len(log) == 5
    assert found.seconds == sum(epoch.seconds for epoch in log)
    assert found.selected_epoch == max(log, key=lambda epoch: epoch.val_accuracy).epoch
    assert found.model_bytes == pair[0].model_file.stat().st_size


# The gates.


def test_a_gate_fails_when_the_whole_interval_is_beyond_the_loss_and_all_is_written(pair):
    exit_code, stdout, stderr = command(
        *("compare", "new", "old", "--fail-if-worse", "accuracy=0.01", "--output", "out", "--json")
    )
    assert exit_code == 6
    assert "1 of 1 gates failed: old: accuracy lost 0." in stderr
    assert json.loads(stdout) == json.loads(Path("out/comparison.json").read_text())
    assert len(json.loads(stdout)["failed_gates"]) == 1


@pytest.mark.parametrize(
    ("metric", "loss"), [("accuracy", 0.0), ("log_loss", 0.0), ("expected_calibration_error", 0.5)]
)
def test_a_gate_passes_when_the_interval_reaches_the_loss(pair, metric, loss):
    found = compare([Path("old"), Path("new")], fail_if_worse={metric: loss})
    assert find_metric(found, metric).interval is not None
    assert found.failed_gates == []


def test_a_gate_on_a_metric_that_is_better_when_lower_fails_when_it_is_higher(pair):
    set_counts(pair, both_right=4, only_old=16, only_new=0)
    with pytest.raises(GateError, match="new: log_loss gained"):
        compare([Path("old"), Path("new")], fail_if_worse={"log_loss": 0.001})


@pytest.mark.parametrize("fraction", [0.999, 1.001])
def test_the_end_of_the_interval_decides(pair, fraction):
    _, high = find_metric(compare([Path("new"), Path("old")]), "accuracy").interval
    exit_code, _, _ = command(
        "compare", "new", "old", "--fail-if-worse", f"accuracy={-high * fraction}"
    )
    assert exit_code == (6 if fraction < 1 else 0)


def test_an_undefined_metric_does_not_pass(pair):
    with pytest.raises(GateError, match="the difference in top_5_accuracy is undefined"):
        compare([Path("old"), Path("new")], fail_if_worse={"top_5_accuracy": 0.1})


# The files.


def test_comparisons_are_numbered_and_change_no_run(pair):
    before = [list_content(run.folder) for run in pair]
    for number in (1, 2):
        exit_code, _, stderr = command("compare", "old", "new")
        assert exit_code == 0
        assert f"note: written to runs/comparisons/{number}" in stderr
    assert [list_content(run.folder) for run in pair] == before
    first, second = (Path(f"runs/comparisons/{n}/comparison.json").read_text() for n in (1, 2))
    assert first == second
    assert "comparisons" not in command("runs")[1]
