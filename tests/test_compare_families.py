"""Families are compared by the spread of their runs: a difference inside it is never "better"."""

import json
from pathlib import Path

import numpy
import pytest
from compared_runs import change_predictions, make_compared, make_family, set_correct
from experiments import command
from scipy import stats

from imgcls.comparison import page
from imgcls.evaluation import predictions
from imgcls.verbs.compare import compare

IMAGES = 24


@pytest.fixture(autouse=True)
def without_page(monkeypatch):
    """Draw nothing, which takes longer than all else; test_comparison_page.py tests the page."""
    monkeypatch.setattr(page, "write_page", lambda *arguments: None)


def right(*counts: int, offset: int = 0) -> list[numpy.ndarray]:
    """Return for each run that the first images are right, as many as are given."""
    return [(numpy.arange(IMAGES) - offset) % IMAGES < count for count in counts]


def compare_families(old, new, by="seed"):
    """Return the comparison of two families with these images right."""
    make_family(Path("old"), old, by)
    make_family(Path("new"), new, by)
    return compare([Path("old"), Path("new")])


def test_families_whose_difference_is_outside_the_spread_of_their_seeds_are_called_better(
    workspace,
):
    found = compare_families(right(8, 9, 10), right(20, 21, 22)).comparisons[0]
    accuracy = found.metrics[0]
    expected = stats.ttest_ind(
        numpy.array([20, 21, 22]) / IMAGES, numpy.array([8, 9, 10]) / IMAGES, equal_var=False
    ).confidence_interval(0.95)
    assert accuracy.interval_over_runs == pytest.approx(tuple(expected))
    assert accuracy.conclusion == "better"
    assert found.sentence.startswith("new is better: a higher mean accuracy on these images")


def test_families_whose_difference_is_inside_the_spread_of_their_seeds_are_not(workspace):
    found = compare_families(right(2, 9, 20), right(9, 16, 23)).comparisons[0]
    accuracy = found.metrics[0]
    assert accuracy.interval[0] > 0
    low, high = accuracy.interval_over_runs
    assert low < 0 < high
    assert accuracy.conclusion == "higher"
    assert "But the difference lies inside the spread of the seeds" in found.sentence
    assert "better" not in found.sentence


def test_random_families_without_a_true_difference_are_seldom_called_better(workspace):
    generator = numpy.random.default_rng(5)
    claimed = 0
    families = [make_family(Path(name), right(0, 0, 0)) for name in ("old", "new")]
    for _ in range(10):
        for run in [*families[0].runs, *families[1].runs]:
            set_correct(run, generator.random(IMAGES) < generator.uniform(0.3, 0.9))
        found = compare([Path("old"), Path("new")]).comparisons[0].metrics[0]
        claimed += found.conclusion in ("better", "worse")
        is_outside = found.interval_over_runs and numpy.prod(found.interval_over_runs) > 0
        assert is_outside or found.conclusion not in ("better", "worse")
    assert claimed <= 2  # 0.5 expected


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ((8,), (22,), "With one seed on each side"),
        ((8,), (20, 21, 22), "With one seed on one side"),
        ((8, 8), (22, 22), "show no spread to compare it with"),
    ],
)
def test_families_without_a_spread_are_not_called_better(workspace, old, new, words):
    found = compare_families(right(*old), right(*new)).comparisons[0]
    assert found.metrics[0].interval_over_runs is None
    assert found.metrics[0].conclusion == "higher"
    assert words in found.sentence


def test_a_run_is_compared_with_the_mean_of_a_family(workspace):
    make_compared(Path("run"), 0.3)
    make_family(Path("family"), right(20, 21, 22))
    found = compare([Path("run"), Path("family")])
    accuracy = found.comparisons[0].metrics[0]
    assert accuracy.new == pytest.approx(21 / IMAGES)
    assert found.comparisons[0].agreement is None
    assert found.candidates[1].accuracy_interval is None
    assert found.candidates[1].spreads["accuracy"].std == pytest.approx(1 / IMAGES)
    assert found.candidates[0].spreads == {}


def test_gains_and_losses_of_a_family_are_fractions_of_its_runs(workspace):
    found = compare_families(right(0, 0), right(8, 16)).comparisons[0].classes
    assert [(each.images, each.gained, each.lost, each.p_value) for each in found] == [
        (8, 8, 0, None),
        (8, 4, 0, None),
        (8, 0, 0, None),
    ]


def test_settings_that_differ_between_the_runs_of_a_family_are_a_list(workspace):
    make_compared(Path("run"), seed=7)
    make_family(Path("family"), right(20, 21, 22))
    rows = {each.key: each.values for each in compare([Path("run"), Path("family")]).settings}
    assert rows["seed"] == [7, [0, 1, 2]]


def test_folds_are_pooled_and_their_differences_are_paired(workspace):
    counts = ([10, 12, 14], [13, 16, 19])
    found = compare_families(right(*counts[0]), right(*counts[1]), "fold")
    assert found.examples == 3 * IMAGES
    pair = found.comparisons[0]
    assert pair.metrics[0].old == pytest.approx(36 / (3 * IMAGES))
    assert pair.agreement.only_new == 12
    sizes = json.loads(Path("new/fold-1/data.json").read_text())["sizes"]
    differences = numpy.array([3, 4, 5]) / IMAGES
    scale = ((1 / 3 + sizes["test"] / sizes["train"]) * differences.var(ddof=1)) ** 0.5
    half = stats.t.ppf(0.975, 2) * scale
    middle = 4 / IMAGES
    assert pair.metrics[0].interval_over_runs == pytest.approx((middle - half, middle + half))
    assert pair.metrics[0].conclusion == "better"


def test_other_folds_are_refused(workspace):
    make_family(Path("old"), right(10, 12), "fold")
    family = make_family(Path("new"), right(13, 16), "fold")
    for run in family.runs:
        ids = predictions.load(run, "test").ids
        change_predictions(run, ids=[f"other {name}" for name in ids])
    exit_code, _, stderr = command("compare", "old", "new")
    assert exit_code == 3
    assert "old/fold-1 and new/fold-1 were not evaluated on the same images" in stderr


@pytest.mark.parametrize("other", [right(10, 12), right(10, 12, 14)])
def test_a_family_by_fold_is_refused_beside_anything_but_as_many_folds(workspace, other):
    make_family(Path("old"), right(10, 12), "fold")
    make_family(Path("new"), other, "seed" if len(other) == 2 else "fold")
    exit_code, _, stderr = command("compare", "old", "new")
    assert exit_code == 3
    assert "compare a family by fold with another that has as many folds" in stderr


def test_folds_are_compared_on_their_test_splits_alone(workspace):
    for name in ("old", "new"):
        make_family(Path(name), right(10, 12), "fold")
    exit_code, _, stderr = command("compare", "old", "new", "--split", "validation")
    assert exit_code == 2
    assert "only the test splits are disjoint; leave out --split" in stderr


def test_a_family_that_is_not_finished_is_named_with_the_command_to_continue(workspace):
    make_family(Path("old"), right(10, 12))
    family = make_family(Path("new"), right(10, 12))
    family.runs[1].write_status("interrupted")
    exit_code, _, stderr = command("compare", "old", "new")
    assert exit_code == 3
    assert "new is not finished: 1 of 2 runs are; run `imgcls train new/experiment.yaml" in stderr
