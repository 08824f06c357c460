"""Intervals of fractions are those of scipy, and `eval` reports them."""

from pathlib import Path

import pytest
from scipy.stats import binomtest
from synthetic_run import make_run

from imgcls.evaluation.intervals import compute_wilson_interval
from imgcls.run import Run
from imgcls.verbs import evaluate


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


@pytest.fixture
def run(tmp_path: Path) -> Run:
    metrics = [{"name": "accuracy"}, {"name": "brier"}, {"name": "top_k", "k": 3}]
    return make_run(
        tmp_path / "run", evaluate={"metrics": metrics, "intervals": [], "confidence": 0.9}
    )


def test_fractions_of_images_have_wilsons_interval(run: Run):
    summary = evaluate.evaluate(run)
    right = round(summary.examples * summary.metrics["accuracy"])
    expected = binomtest(right, summary.examples).proportion_ci(0.9, method="wilson")
    assert summary.wilson_intervals["accuracy"] == pytest.approx(tuple(expected))
    report = run.report_file("test").read_text(encoding="utf-8").splitlines()
    (line,) = (line for line in report if line.startswith("accuracy "))
    assert line.endswith(f"  -  [{expected.low:.4f}, {expected.high:.4f}]")


def test_an_undefined_fraction_of_images_has_no_interval(run: Run):
    summary = evaluate.evaluate(run)
    assert summary.metrics["top_3_accuracy"] is None
    assert summary.wilson_intervals["top_3_accuracy"] is None
    assert "brier" not in summary.wilson_intervals
