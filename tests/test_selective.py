"""Selective classification agrees with brute force over all thresholds, and with known cases."""

import dataclasses

import numpy
import pytest
from prediction_cases import CASES, compute, every_case, make
from sklearn.metrics import accuracy_score

from imgcls.evaluation import selective
from imgcls.evaluation.predictions import Predictions
from imgcls.metrics.risk_coverage import compute_curve


def confidences(case: Predictions) -> numpy.ndarray:
    return case.probabilities.max(axis=1).astype(float)


def accepted_at(case: Predictions, threshold: float) -> numpy.ndarray:
    return numpy.flatnonzero(confidences(case) >= threshold)


def make_certain(confidence: list[float], right: list[bool]) -> Predictions:
    """Return predictions of two classes with these confidences."""
    rows = [[value, 1 - value] for value in confidence]
    return make([0 if each else 1 for each in right], rows)


@every_case
def test_the_curve_is_what_each_threshold_accepts(case):
    curve = compute_curve(case)
    assert curve.thresholds.tolist() == sorted(set(confidences(case).tolist()), reverse=True)
    for i, threshold in enumerate(curve.thresholds):
        rows = accepted_at(case, threshold)
        accuracy = accuracy_score(case.labels[rows], case.predicted[rows])
        assert curve.coverage[i] == pytest.approx(len(rows) / len(case.labels))
        assert curve.precision[i] == pytest.approx(accuracy)
        assert curve.risk[i] == pytest.approx(1 - accuracy)


@every_case
def test_the_area_is_the_mean_risk_over_thresholds_at_each_image(case):
    risks = []
    for threshold in confidences(case):
        rows = accepted_at(case, threshold)
        risks.append((case.predicted[rows] != case.labels[rows]).mean())
    assert compute("risk_coverage", case).scalars["aurc"] == pytest.approx(numpy.mean(risks))


def test_the_area_of_a_known_case():
    # Accepted one by one: risks 0, 1/2, 1/3, 1/4.
    case = make_certain([0.9, 0.8, 0.7, 0.6], [True, False, True, True])
    assert compute("risk_coverage", case).scalars["aurc"] == pytest.approx(
        (1 / 2 + 1 / 3 + 1 / 4) / 4
    )


def test_images_of_the_same_confidence_are_accepted_together():
    case = make_certain([0.75, 0.75, 0.6], [True, False, True])
    curve = compute_curve(case)
    assert curve.accepted.tolist() == [2, 3]
    assert selective.choose_threshold(curve, 0.6) == selective.Threshold(
        pytest.approx(0.6), pytest.approx(2 / 3), 1
    )
    assert selective.choose_threshold(curve, 0.7) is None


@pytest.mark.parametrize("precision", [0.3, 0.7, 0.9, 1.0])
@pytest.mark.parametrize("name", ["2 classes", "10 classes", "ties", "absent classes"])
def test_the_threshold_accepts_the_most_images_of_all_that_reach_the_precision(name, precision):
    case = CASES[name]
    reached = [
        (len(rows), threshold)
        for threshold in confidences(case)
        if (case.predicted[rows := accepted_at(case, threshold)] == case.labels[rows]).mean()
        >= precision
    ]
    found = selective.choose_threshold(compute_curve(case), precision)
    if not reached:
        assert found is None
    else:
        assert (found.coverage * len(case.labels), found.confidence) == pytest.approx(max(reached))


def test_a_precision_that_is_just_reached_is_reached():
    case = make_certain([0.9] * 10, [True] * 7 + [False] * 3)
    assert selective.choose_threshold(compute_curve(case), 0.7).coverage == 1


def test_the_threshold_is_chosen_on_validation_and_measured_on_the_evaluated_split():
    validation = make_certain([0.9, 0.8, 0.7, 0.6], [True, True, True, False])
    case = make_certain([0.95, 0.75, 0.75, 0.65, 0.6], [True, True, False, True, True])
    result = compute(
        "risk_coverage", dataclasses.replace(case, validation=validation), precision=0.9
    )
    assert result.tables["selective_classification"] == [
        {
            "wanted_precision": 0.9,
            "validation_images": 4,
            "threshold": pytest.approx(0.7),
            "validation_precision": 1,
            "validation_coverage": 0.75,
        }
    ]
    assert result.scalars["selective_precision"] == pytest.approx(2 / 3)
    assert result.scalars["selective_coverage"] == pytest.approx(3 / 5)
    assert result.fractions == {"selective_precision": (2, 3), "selective_coverage": (3, 5)}


def test_without_validation_there_is_no_threshold_but_an_area():
    result = compute("risk_coverage", CASES["2 classes"])
    assert result.scalars["aurc"] > 0
    assert result.scalars["selective_precision"] is result.scalars["selective_coverage"] is None
    assert result.tables == {"selective_classification": []}


def test_a_precision_that_no_threshold_reaches_leaves_the_numbers_undefined():
    validation = make_certain([0.9, 0.8], [False, True])
    case = dataclasses.replace(make_certain([0.9], [True]), validation=validation)
    result = compute("risk_coverage", case)
    assert result.scalars["selective_precision"] is result.scalars["selective_coverage"] is None
    (row,) = result.tables["selective_classification"]
    assert row["threshold"] is row["validation_precision"] is row["validation_coverage"] is None


def test_a_threshold_that_accepts_no_image_has_coverage_0_and_no_precision():
    validation = make_certain([0.9, 0.8], [True, False])
    case = dataclasses.replace(make_certain([0.7], [True]), validation=validation)
    scalars = compute("risk_coverage", case).scalars
    assert scalars["selective_precision"] is None
    assert scalars["selective_coverage"] == 0
