"""Intervals of fractions are those of scipy."""

import pytest
from scipy.stats import binomtest

from imgcls.evaluation.intervals import compute_wilson_interval


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.999])
@pytest.mark.parametrize(
    ("successes", "count"),
    [(0, 1), (1, 1), (0, 10), (10, 10), (1, 3), (357, 360), (50_000, 50_000), (38_211, 50_000)],
)
def test_the_wilson_interval_is_that_of_scipy(successes: int, count: int, confidence: float):
    expected = binomtest(successes, count).proportion_ci(confidence, method="wilson")
    assert compute_wilson_interval(successes, count, confidence) == pytest.approx(
        tuple(expected), rel=1e-9, abs=1e-12
    )


def test_the_wilson_interval_of_none_or_all_ends_at_0_or_1_exactly():
    for count in (1, 3, 7, 49, 997):
        assert compute_wilson_interval(0, count, 0.95)[0] == 0
        assert compute_wilson_interval(count, count, 0.95)[1] == 1
