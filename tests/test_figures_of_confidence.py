"""The reliability diagram and the risk-coverage curve show what the metrics compute."""

from dataclasses import replace
from pathlib import Path

import numpy
import pytest
from figure_drawing import draw
from scipy.stats import binomtest
from synthetic_run import TEMPERATURE, make_predictions, make_run

from imgcls.evaluation import predictions
from imgcls.evaluation.predictions import Predictions, undo_temperature
from imgcls.run import Run

IMAGES = 8
"""Images a class."""


@pytest.fixture(params=[2, 10], ids=["2 classes", "10 classes"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    return make_run(tmp_path / "run", classes=request.param)


def save(run: Run, split: str, **changes: object) -> Predictions:
    """Save predictions with changes on a split."""
    saved = replace(make_predictions(len(run.data.classes), IMAGES), **changes)
    predictions.save(saved, run.predictions_file(split))
    return saved


def bin_images(case: Predictions, bins: int = 15) -> dict[int, tuple[float, int, int]]:
    """Return mean confidence, correct images and images of each bin that is not empty."""
    confidence, right = case.probabilities.max(axis=1), case.predicted == case.labels
    index = numpy.ceil(confidence.astype(float) * bins).astype(int) - 1
    return {
        i: (
            confidence[index == i].mean(dtype=float),
            right[index == i].sum(),
            (index == i).sum(),
        )
        for i in sorted(set(index.tolist()))
    }


def test_the_reliability_diagram_shows_the_bins_before_and_after_the_temperature(run: Run):
    after = make_predictions(len(run.data.classes), IMAGES)
    upper, lower = draw(run, "calibration").axes
    dots = [each.get_offsets() for each in upper.collections if len(each.get_offsets()) > 1]
    for found, stairs, case in zip(
        dots, lower.patches, (undo_temperature(after), after), strict=True
    ):
        bins = bin_images(case)
        expected = [(confidence, right / images) for confidence, right, images in bins.values()]
        assert numpy.asarray(found) == pytest.approx(numpy.array(expected), abs=1e-6)
        counts = stairs.get_data().values
        assert {i: count for i, count in enumerate(counts) if count} == {
            i: images for i, (_, _, images) in bins.items()
        }
    title = upper.get_title(loc="left")
    assert title.startswith(f"The temperature {TEMPERATURE} ")
    assert upper.get_legend_handles_labels()[1][1:] == ["before the temperature", "after it"]


def test_without_a_temperature_there_is_one_set_of_dots_with_wilsons_intervals(run: Run):
    case = save(run, "test", temperature=1.0)
    upper, lower = draw(run, "calibration").axes
    assert len(lower.patches) == 1
    assert "perfect" in upper.get_legend_handles_labels()[1][0]
    segments = upper.collections[0].get_segments()
    for segment, (confidence, right, images) in zip(
        segments, bin_images(case).values(), strict=True
    ):
        low, high = binomtest(int(right), int(images)).proportion_ci(0.95, method="wilson")
        assert segment.tolist() == pytest.approx(
            numpy.array([[confidence, low], [confidence, high]]), abs=1e-6
        )
    assert upper.get_title(loc="left").startswith("Mean confidence 0.")


def test_the_confidence_level_of_the_intervals_is_that_of_the_experiment(tmp_path: Path):
    run = make_run(tmp_path / "run", evaluate={"confidence": 0.8})
    case = save(run, "test", temperature=1.0)
    upper, _ = draw(run, "calibration").axes
    assert upper.get_ylabel() == "accuracy, with 80 % confidence interval"
    _, right, images = next(iter(bin_images(case).values()))
    low, high = binomtest(int(right), int(images)).proportion_ci(0.8, method="wilson")
    assert upper.collections[0].get_segments()[0][:, 1] == pytest.approx([low, high], abs=1e-6)


def test_the_reliability_diagram_uses_the_bins_of_the_experiments_metric(tmp_path: Path):
    run = make_run(tmp_path / "run", evaluate={"metrics": [{"name": "calibration", "bins": 5}]})
    stairs = draw(run, "calibration").axes[1].patches[0]
    assert len(stairs.get_data().values) == 5


def test_the_risk_coverage_curve_ends_at_the_error_of_all_images(run: Run):
    case = make_predictions(len(run.data.classes), IMAGES)
    axes = draw(run, "risk_coverage").axes[0]
    curve, baseline = axes.lines[:2]
    error = (case.predicted != case.labels).mean()
    assert (curve.get_xdata()[-1], curve.get_ydata()[-1]) == pytest.approx((1, error))
    assert baseline.get_ydata()[0] == pytest.approx(error)
    assert axes.get_title(loc="left").startswith("Risk by coverage")


def test_the_area_below_the_curve_as_drawn_is_the_area_stated(run: Run):
    axes = draw(run, "risk_coverage").axes[0]
    x, y = axes.lines[0].get_data()
    label = axes.lines[0].get_label()
    assert numpy.sum(numpy.diff(x) * y[1:]) == pytest.approx(float(label.split()[-1]), abs=5.1e-5)


def test_the_threshold_chosen_on_validation_is_shown_where_it_is_on_this_split(tmp_path: Path):
    metrics = [{"name": "risk_coverage", "precision": 0.9}]
    run = make_run(tmp_path / "run", classes=10, evaluate={"metrics": metrics})
    case = make_predictions(10, IMAGES)
    half = slice(0, None, 2)
    save(
        run,
        "validation",
        probabilities=case.probabilities[half],
        labels=case.labels[half],
        ids=case.ids[half],
    )
    axes = draw(run, "risk_coverage").axes[0]
    title = axes.get_title(loc="left")
    accepted = case.probabilities.max(axis=1) >= float(title.split()[5]) - 1e-4
    right = (case.predicted == case.labels)[accepted].mean()
    assert f"accepts {accepted.mean():.1%} of images, of which {right:.2%} are right" in title
    dot = axes.lines[-1]
    assert (dot.get_xdata()[0], dot.get_ydata()[0]) == pytest.approx((accepted.mean(), 1 - right))


def test_a_precision_that_no_threshold_reaches_is_said(run: Run):
    case = make_predictions(len(run.data.classes), IMAGES)
    save(run, "validation", labels=(case.predicted + 1).astype(numpy.int32) % len(case.classes))
    title = draw(run, "risk_coverage").axes[0].get_title(loc="left")
    assert title.startswith("No threshold reaches a precision of 0.99 on validation")
