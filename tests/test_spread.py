"""The spread over runs: mean, std and Student's t interval of the mean, as scipy computes it."""

import numpy
import pytest
from scipy import stats

from imgcls.evaluation.spread import compute_spread


@pytest.mark.parametrize("count", [2, 3, 5, 20])
def test_the_interval_of_the_mean_is_that_of_scipy(count):
    values = numpy.random.default_rng(count).normal(0.9, 0.02, count)
    spread = compute_spread(values.tolist(), 0.95)
    expected = stats.t.interval(0.95, count - 1, values.mean(), stats.sem(values))
    assert spread.interval == pytest.approx(expected, rel=1e-12)
    assert spread.std == pytest.approx(values.std(ddof=1), rel=1e-12)
    assert (spread.count, spread.values) == (count, values.tolist())


def test_the_interval_covers_the_true_mean_as_often_as_it_says():
    values = numpy.random.default_rng(0).normal(0.9, 0.02, (2000, 3))
    spreads = [compute_spread(row, 0.9) for row in values.tolist()]
    covered = sum(each.interval[0] <= 0.9 <= each.interval[1] for each in spreads)
    low, high = stats.binom.interval(0.999, 2000, 0.9)
    assert low <= covered <= high


def test_one_run_has_a_mean_but_no_std_and_no_interval():
    spread = compute_spread([0.9], 0.95)
    assert (spread.mean, spread.std, spread.interval, spread.count) == (0.9, None, None, 1)


def test_runs_that_do_not_define_a_number_do_not_count():
    spread = compute_spread([0.9, None, 0.8], 0.95)
    assert (spread.mean, spread.count) == (pytest.approx(0.85), 2)
    assert compute_spread([None, None], 0.95).mean is None
