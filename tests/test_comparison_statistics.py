"""The tests and intervals of a comparison agree with SciPy's, and what is concluded from them does
not claim more than they show.
"""

import numpy
import pytest
from scipy import stats

from imgcls.comparison import mcnemar, run_intervals
from imgcls.comparison.conclusion import conclude

ABOVE, BELOW, AROUND = (0.01, 0.03), (-0.03, -0.01), (-0.01, 0.01)


@pytest.mark.parametrize("only_old", [0, 1, 5, 40, 3000])
@pytest.mark.parametrize("only_new", [0, 1, 4, 41, 3100])
def test_mcnemars_test_is_the_binomial_test_of_the_images_that_one_has_right(only_old, only_new):
    images = only_old + only_new
    expected = stats.binomtest(only_old, images).pvalue if images else 1
    assert mcnemar.compute_p_value(only_old, only_new) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("p_values", "adjusted"),
    [
        ([], []),
        ([0.03], [0.03]),
        ([0.01, 0.04, 0.03], [0.03, 0.06, 0.06]),
        ([0.5, 0.01, 0.4], [0.8, 0.03, 0.8]),
        ([0.9, 0.9], [1.0, 1.0]),
    ],
)
def test_holms_method_multiplies_each_p_value_by_the_number_of_those_not_smaller(
    p_values, adjusted
):
    assert mcnemar.adjust_p_values(p_values) == pytest.approx(adjusted)


@pytest.mark.parametrize("sizes", [(2, 2), (5, 5), (3, 8)])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_the_interval_over_seeds_is_welchs(sizes, confidence):
    generator = numpy.random.default_rng(sizes)
    old, new = generator.normal(0.9, 0.01, sizes[0]), generator.normal(0.92, 0.03, sizes[1])
    expected = stats.ttest_ind(new, old, equal_var=False).confidence_interval(confidence)
    found = run_intervals.compute_welch_interval(old.tolist(), new.tolist(), confidence)
    assert found == pytest.approx(tuple(expected))


def test_a_family_without_spread_beside_one_with_it_has_an_interval():
    expected = stats.ttest_1samp([0.1, 0.3, 0.2], 0).confidence_interval(0.95)
    found = run_intervals.compute_welch_interval([0.0, 0.0], [0.1, 0.3, 0.2], 0.95)
    assert found == pytest.approx(tuple(expected))


@pytest.mark.parametrize(
    ("old", "new"), [([0.5], [0.9, 0.8]), ([0.5, 0.6], [0.9]), ([0.5, 0.5], [0.9, 0.9])]
)
def test_one_run_or_equal_runs_show_no_spread(old, new):
    assert run_intervals.compute_welch_interval(old, new, 0.95) is None


def test_the_interval_over_folds_is_students_if_the_training_sets_did_not_overlap():
    differences = [0.01, 0.03, 0.02, 0.05, 0.0]
    expected = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    assert run_intervals.compute_fold_interval(differences, 0.0, 0.95) == pytest.approx(
        tuple(expected)
    )


def test_the_interval_over_folds_is_wider_by_nadeau_and_bengios_correction():
    differences = [0.01, 0.03, 0.02, 0.05, 0.0]
    plain, corrected = (
        run_intervals.compute_fold_interval(differences, ratio, 0.95) for ratio in (0.0, 1 / 4)
    )
    widths = [high - low for low, high in (plain, corrected)]
    assert widths[1] / widths[0] == pytest.approx(((1 / 5 + 1 / 4) / (1 / 5)) ** 0.5)
    assert sum(plain) == pytest.approx(sum(corrected))


@pytest.mark.parametrize("differences", [[0.1], [0.1, 0.1, 0.1]])
def test_one_fold_or_equal_folds_show_no_spread(differences):
    assert run_intervals.compute_fold_interval(differences, 0.25, 0.95) is None


@pytest.mark.parametrize(
    ("better", "images", "runs", "expected"),
    [
        ("higher", ABOVE, ABOVE, "better"),
        ("higher", BELOW, BELOW, "worse"),
        ("lower", ABOVE, ABOVE, "worse"),
        ("lower", BELOW, BELOW, "better"),
        ("higher", ABOVE, None, "higher"),
        ("higher", ABOVE, AROUND, "higher"),
        ("lower", ABOVE, AROUND, "higher"),
        ("higher", BELOW, None, "lower"),
        ("lower", BELOW, AROUND, "lower"),
        ("higher", ABOVE, BELOW, "higher"),
        ("higher", AROUND, ABOVE, "no_difference_shown"),
        ("higher", AROUND, None, "no_difference_shown"),
        ("higher", (0.0, 0.01), ABOVE, "no_difference_shown"),
        ("higher", ABOVE, (0.0, 0.01), "higher"),
        ("higher", None, ABOVE, "no_difference_shown"),
    ],
)
def test_better_needs_both_intervals_on_the_same_side_of_0(better, images, runs, expected):
    assert conclude(better, images, runs) == expected


def compare_families_without_a_difference(seed: int) -> tuple[str, str]:
    """Return what is concluded of two families of five seeds that are trained in the same way, with
    and without the interval over runs; the seed alone moves their accuracy by 0.02.
    """
    generator = numpy.random.default_rng(seed)
    accuracies = generator.normal(0.85, 0.02, 10)
    difficulty = 0.7 * generator.random(2000) + 0.3 * generator.random((2, 5, 2000))
    right = difficulty < numpy.quantile(difficulty, accuracies).reshape(2, 5, 1)
    difference = right[1].mean(axis=0) - right[0].mean(axis=0)
    half = 1.96 * difference.std() / 2000**0.5
    images = (difference.mean() - half, difference.mean() + half)
    old, new = right.mean(axis=2).tolist()
    runs = run_intervals.compute_welch_interval(old, new, 0.95)
    return conclude("higher", images, runs), conclude("higher", images, images)


def test_families_without_a_true_difference_are_called_better_or_worse_in_at_most_5_percent():
    found = [compare_families_without_a_difference(seed) for seed in range(400)]
    claims = [
        sum(each in ("better", "worse") for each in column) for column in zip(*found, strict=True)
    ]
    assert claims[0] <= 30  # 20 expected at most, and a binomial spread of 4.4
    assert claims[1] >= 80  # what would be claimed without looking at the spread of the seeds
